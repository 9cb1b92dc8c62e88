/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/text.h"

bool text_line(struct scanner *s, struct scanner *ret_line)
{
        struct scanner rest = *s, line;

        if (!scan_line(&rest, &line) || line.end == s->end)
                return false;
        *s = rest;
        *ret_line = line;
        return true;
}

bool text_number(struct scanner *s, uint64_t *ret)
{
        struct scanner rest = *s;
        uint64_t value;

        if (!scan_u64(&rest, &value))
                return false;
        if (!scan_char(&rest, ' ') && !scan_end(&rest))
                return false;
        *s = rest;
        *ret = value;
        return true;
}

bool text_only_numbers(struct scanner *s, unsigned least)
{
        struct scanner rest = *s;
        uint64_t ignored;
        unsigned n = 0;

        while (text_number(&rest, &ignored))
                n++;
        if (n < least || !scan_end(&rest))
                return false;
        *s = rest;
        return true;
}
