/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/escape.h"

#include <string.h>

/* Writes all but printable ASCII, and those of it that stand in SPECIAL, as \xNN. */
static char *escape(const char *text, size_t length, const char *special, char *ret)
{
        static const char digits[] = "0123456789abcdef";
        char *out = ret;

        for (size_t i = 0; i < length && text[i] != '\0'; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c >= ' ' && c < 127 && !strchr(special, c)) {
                        *out++ = (char)c;
                        continue;
                }
                *out++ = '\\';
                *out++ = 'x';
                *out++ = digits[c >> 4];
                *out++ = digits[c & 15];
        }
        *out = '\0';
        return ret;
}

char *escape_text(const char *text, size_t length, char *ret)
{
        return escape(text, length, " \"\\", ret);
}

char *escape_line(const char *text, size_t length, char *ret)
{
        return escape(text, length, "\\", ret);
}

char *escape_again(const char *text, size_t length, char *ret)
{
        return escape(text, length, "", ret);
}
