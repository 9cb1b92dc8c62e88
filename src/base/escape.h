/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Foreign bytes, made safe to show: thread names may hold newlines, terminal codes and anything. */

#include <stddef.h>

/* The room that escape_text() needs for LENGTH bytes, final NUL included. */
#define ESCAPED_SIZE(length) ((length)*4 + 1)

/*
 * Writes LENGTH bytes of TEXT (fewer if a NUL comes first) to RET, at least ESCAPED_SIZE(LENGTH)
 * bytes, as printable ASCII: backslash, blank, quote, control bytes and bytes above 126 become
 * \xNN. Returns RET.
 */
char *escape_text(const char *text, size_t length, char *ret);

/* The same for text that stands by itself, such as a path or a sentence: blanks and quotes stay as
 * they are. */
char *escape_line(const char *text, size_t length, char *ret);

/* The same for text that may hold escapes already: backslashes stay as they are too. */
char *escape_again(const char *text, size_t length, char *ret);
