/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading text that others wrote: a scanner over a buffer that need not end in NUL, and values as
 * people write them. Nothing here trusts its input or depends on the locale.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* What is left to read: [at, end). The functions move `at` past what they took, and leave it where
 * it was when they return false. */
struct scanner {
        const char *at;
        const char *end;
};

bool scan_end(const struct scanner *s);             /* nothing is left */
bool scan_char(struct scanner *s, char c);          /* takes C */
bool scan_prefix(struct scanner *s, const char *p); /* takes the text P */
bool scan_u64(struct scanner *s, uint64_t *ret);    /* decimal digits; false on overflow */
bool scan_i64(struct scanner *s, int64_t *ret);     /* the same with an optional '-' */

/* Skips blanks, tabs and newlines. */
void scan_space(struct scanner *s);
/* Skips blanks and tabs. */
void scan_blank(struct scanner *s);

/* Takes the longest run of bytes that are neither blank, tab nor newline; false if there is none.
 */
bool scan_word(struct scanner *s, struct scanner *ret_word);

/* Takes a line without its newline; the last one may lack it. False at the end. */
bool scan_line(struct scanner *s, struct scanner *ret_line);

/* Whether the word is exactly TEXT. */
bool scanner_equals(const struct scanner *word, const char *text);

/* The following read a whole NUL-terminated string and return 0, -EINVAL or -ERANGE. */
int parse_u64(const char *text, uint64_t *ret);
int parse_pid(const char *text, int *ret);
int parse_bool(const char *text, bool *ret); /* true, false, yes, no, on, off, 1, 0 */

/* A span as people write it: a decimal number and one of ns, us, ms, s, min, h, d ("20ms", "1.5s");
 * several add up ("1min 30s"); "infinity" is NSEC_INFINITY; a bare "0" is 0. */
int parse_nsec(const char *text, nsec_t *ret);

/* The room for the longest text of format_nsec(), final NUL included. */
#define NSEC_TEXT_SIZE 24

/* Writes NSEC as parse_nsec() reads it, exactly, in the largest unit that divides it: "20ms",
 * "1500ms", "2min". Returns RET. */
char *format_nsec(nsec_t nsec, char ret[static NSEC_TEXT_SIZE]);
