/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading what a daemon has sent, which may be older, newer or no balancerd at all: a field that is
 * missing, null or of another type is simply not there. OBJECT may be NULL or anything else.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

/* Text that lives as long as OBJECT; OTHERWISE where there is none. */
const char *field_text(const json_t *object, const char *key, const char *otherwise);
bool field_flag(const json_t *object, const char *key);

/* Return whether it is there; *ret is left alone if not. */
bool field_integer(const json_t *object, const char *key, int64_t *ret);
bool field_number(const json_t *object, const char *key, double *ret); /* integers too */
/* Microseconds; negative ones are not there. */
bool field_span(const json_t *object, const char *key, nsec_t *ret);

/*
 * Writes every byte of every string below VALUE that is not printable ASCII as \xNN, so that
 * nothing that a daemon, or a thread's name, holds can speak to a terminal. What has been
 * escaped already stays as it is. Returns 0 or -ENOMEM.
 */
int make_printable(json_t *value);
