/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/escape.h"

#include <stdbool.h>

static bool is_plain(unsigned char c)
{
        return c > ' ' && c < 127 && c != '\\' && c != '"';
}

char *escape_text(const char *text, size_t length, char *ret)
{
        static const char digits[] = "0123456789abcdef";
        char *out = ret;

        for (size_t i = 0; i < length && text[i] != '\0'; i++) {
                unsigned char c = (unsigned char)text[i];

                if (is_plain(c)) {
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
