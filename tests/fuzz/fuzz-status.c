/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <string.h>

#include "kernel/thread.h"

static void check_switches(const uint8_t *data, size_t size)
{
        struct kernel_switches switches = {.n_voluntary = 1, .n_involuntary = 2};

        if (thread_parse_switches((const char *)data, size, &switches) < 0)
                REQUIRE(switches.n_voluntary == 1 && switches.n_involuntary == 2);
        else
                REQUIRE(memmem(data, size, "\nnonvoluntary_ctxt_switches:", 28));
}

static void check_process(const uint8_t *data, size_t size)
{
        pid_t tgid = -1;

        if (thread_parse_process((const char *)data, size, &tgid) < 0)
                REQUIRE(tgid == -1);
        else
                REQUIRE(tgid > 0 && memmem(data, size, "Tgid:", 5));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_cpuset_ struct cpuset set = {0};

        check_switches(data, size);
        check_process(data, size);

        if (thread_parse_allowed((const char *)data, size, &set) < 0) {
                REQUIRE(!set.words);
                return 0;
        }
        REQUIRE(!cpuset_is_empty(&set) && cpuset_count(&set) <= CPUSET_MAX);
        REQUIRE(memchr(data, '\n', size));
        return 0;
}
