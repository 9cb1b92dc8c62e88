/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Output that is no table: JSON, lines of "key: value", and what several commands say beside it. */

#include <jansson.h>

#include "balancectl/request.h"
#include "base/macro.h"

/* VALUE, an object or array (NULL: an empty object), and a newline. Returns 0, or -ENOMEM, which
 * has been told. */
int print_json(const json_t *value, enum json_mode mode);

/* Tells of a lack of memory on standard error, and returns -ENOMEM. */
int tell_no_memory(void);

/* Hands over what was printed so far. Returns 0, or a negative errno where it, or something before,
 * could not be written. That has been told, but for a pipe whose reader has left. */
int flush_output(void);

/* Keys are right-aligned to this column. */
#define CARD_KEY_WIDTH 14

/* "          Key: what FORMAT says"; KEY NULL: one more line for the key before. Where a terminal
 * is too narrow it is broken between words. */
void print_card(const struct terminal *terminal, const char *key, const char *format, ...)
        _printf_(3, 4);
