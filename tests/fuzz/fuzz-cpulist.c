/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include "base/cpuset.h"

static void check_members(const struct cpuset *set)
{
        unsigned n = 0;
        int cpu, last = -1;

        CPUSET_FOREACH (cpu, set) {
                REQUIRE(cpu > last && cpu < (int)CPUSET_MAX);
                REQUIRE(cpuset_contains(set, (unsigned)cpu));
                last = cpu;
                n++;
        }
        REQUIRE(n == cpuset_count(set) && (n == 0) == cpuset_is_empty(set));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_cpuset_ struct cpuset set = {0}, again = {0};
        _cleanup_free_ char *text = NULL;

        if (cpuset_parse_list((const char *)data, size, &set) < 0) {
                REQUIRE(!set.words);
                return 0;
        }
        check_members(&set);
        REQUIRE(cpuset_format_list(&set, &text) == 0);
        REQUIRE(cpuset_parse_list(text, strlen(text), &again) == 0);
        REQUIRE(cpuset_equal(&set, &again) && cpuset_equal(&again, &set));

        /* Whatever is taken away is a part, and put back it makes the whole again. */
        for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu += 3)
                cpuset_remove(&again, cpu);
        REQUIRE(cpuset_is_subset(&again, &set));
        cpuset_subtract(&set, &again);
        REQUIRE(!cpuset_intersects(&set, &again));
        return 0;
}
