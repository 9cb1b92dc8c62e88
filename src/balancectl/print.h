/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Output that is no table: JSON, lines of "key: value", and what several commands say beside it. */

#include <jansson.h>

#include "balancectl/request.h"
#include "base/macro.h"

/* VALUE, an object or array (NULL: an empty object), and a newline. Returns 0, or -ENOMEM, which
 * has been told. */
int print_json(const json_t *value, enum json_mode mode);

/* A process's number alone means its first thread: says so on standard error where that is what was
 * shown, THREAD of the interface's type of that name. */
void tell_alone(const struct request *request, const json_t *thread);

/* Tells of a lack of memory on standard error, and returns -ENOMEM. */
int tell_no_memory(void);

/* Hands over what was printed so far. Returns 0, or a negative errno where it, or something before,
 * could not be written. That has been told, but for a pipe whose reader has left. */
int flush_output(void);

/* Keys are right-aligned to this column. */
#define CARD_KEY_WIDTH 14

/* "          Key: what FORMAT says"; KEY NULL: one more line for the key before. */
void print_card(const struct terminal *terminal, const char *key, const char *format, ...)
        _printf_(3, 4);

/* The same for a sentence, which is broken between words where a terminal is too narrow for it. */
void print_card_sentence(const struct terminal *terminal, const char *key, const char *sentence);
