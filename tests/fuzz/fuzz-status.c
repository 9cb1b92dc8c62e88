/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <string.h>

#include "kernel/thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_cpuset_ struct cpuset set = {0};

        if (thread_parse_allowed((const char *)data, size, &set) < 0) {
                REQUIRE(!set.words);
                return 0;
        }
        REQUIRE(!cpuset_is_empty(&set) && cpuset_count(&set) <= CPUSET_MAX);
        REQUIRE(memchr(data, '\n', size));
        return 0;
}
