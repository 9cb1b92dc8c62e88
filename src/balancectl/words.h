/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Times and numbers as people write them. */

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* The largest of all of these. */
#define WORDS_SIZE 48

/* "0", "12us", "1.5ms", "20ms", "2s", "5min 3s", "2h 5min", "3d 4h": two units at most, cut off and
 * not rounded; "infinity". parse_nsec() reads it. Returns RET. */
char *format_span(nsec_t span, char ret[static WORDS_SIZE]);

/* The same in whole seconds; "less than a second". */
char *format_age(nsec_t age, char ret[static WORDS_SIZE]);

/* Microseconds since 1970, as local time: "Nov 23 15:04:05.123"; "?" for what no clock shows. */
char *format_moment(int64_t usec, char ret[static WORDS_SIZE]);
/* The same with its year and without fractions: "2026-11-23 15:04:05". */
char *format_date(int64_t usec, char ret[static WORDS_SIZE]);

/* "0.25", and shares as "25%"; numbers beyond all reason in scientific notation. */
char *format_number(double number, char ret[static WORDS_SIZE]);
char *format_share(double share, char ret[static WORDS_SIZE]);
