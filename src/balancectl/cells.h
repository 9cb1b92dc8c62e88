/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fields of a reply as text that people read. What is not there is "-". All return BUFFER, or text
 * that is static. */

#include <jansson.h>

#include "balancectl/words.h"

const char *cell_integer(const json_t *object, const char *key, char buffer[static WORDS_SIZE]);
/* "1 move", "4 moves", "- moves"; NOUN is short. */
const char *cell_count(const json_t *object, const char *key, const char *noun,
                       char buffer[static WORDS_SIZE]);
const char *cell_number(const json_t *object, const char *key, char buffer[static WORDS_SIZE]);
const char *cell_share(const json_t *object, const char *key, char buffer[static WORDS_SIZE]);
const char *cell_span(const json_t *object, const char *key, char buffer[static WORDS_SIZE]);

/* The interface's Verdict in a few words; one that is not known, as it is: it lives as long as
 * THREAD. */
const char *cell_verdict(const json_t *thread);
