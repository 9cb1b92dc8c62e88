/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/pressure.h"

#include <errno.h>

#include "kernel/text.h"

static bool parse_some(struct scanner line, uint64_t *ret)
{
        struct scanner word;

        while (scan_word(&line, &word)) {
                if (scan_prefix(&word, "total="))
                        return text_number(&word, ret) && scan_end(&word);
                scan_blank(&line);
        }
        return false;
}

int pressure_parse(const char *text, size_t length, uint64_t *ret_some_total_usec)
{
        struct scanner rest = {text, text + length}, line;
        uint64_t total;

        while (text_line(&rest, &line)) {
                if (!scan_prefix(&line, "some "))
                        continue;
                if (!parse_some(line, &total))
                        return -EPROTO;
                *ret_some_total_usec = total;
                return 0;
        }
        return -EPROTO;
}
