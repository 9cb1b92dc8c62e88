/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include "base/cpuset.h"
#include "kernel/schedstat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        struct schedstat_reader reader;
        struct schedstat_cpu cpu;
        int last = -1, r;

        if (schedstat_begin(&reader, text, size) < 0)
                return 0;
        while ((r = schedstat_next(&reader, &cpu)) > 0) {
                REQUIRE(cpu.cpu < CPUSET_MAX && (int)cpu.cpu > last);
                last = (int)cpu.cpu;
        }
        /* A good end is the end of the last line, with some CPU before it. */
        if (r == 0)
                REQUIRE(last >= 0 && text[size - 1] == '\n' && scan_end(&reader.rest));
        return 0;
}
