/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#include "kernel/thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct kernel_counters counters, again;
        char text[128];

        if (thread_parse_counters((const char *)data, size, &counters) < 0)
                return 0;
        REQUIRE(data[size - 1] == '\n');
        REQUIRE(thread_parse_counters((const char *)data, size - 1, &again) < 0);
        (void)snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                       counters.run_nsec, counters.wait_nsec, counters.n_slices);
        REQUIRE(thread_parse_counters(text, strlen(text), &again) == 0);
        REQUIRE(again.run_nsec == counters.run_nsec && again.wait_nsec == counters.wait_nsec &&
                again.n_slices == counters.n_slices);
        return 0;
}
