/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include "kernel/taskstats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct kernel_switches switches, again;

        if (taskstats_parse(data, size, 1, &switches) < 0)
                return 0;
        REQUIRE(taskstats_parse(data, size, 1, &again) == 0);
        REQUIRE(again.n_voluntary == switches.n_voluntary &&
                again.n_involuntary == switches.n_involuntary);
        /* It is about one thread only. */
        REQUIRE(taskstats_parse(data, size, 2, &again) < 0);
        return 0;
}
