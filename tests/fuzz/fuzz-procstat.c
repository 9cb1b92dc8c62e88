/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include "base/cpuset.h"
#include "kernel/procstat.h"

#define TICK_NSEC (10 * NSEC_PER_MSEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        unsigned n_online = 0;

        /* What an earlier text said must be gone. */
        if (kernel_cpus_reserve(&cpus, 2) < 0)
                return 0;
        cpus.cpus[1] = (struct kernel_cpu){true, 1, 1, 1};
        if (procstat_parse((const char *)data, size, TICK_NSEC, &cpus) < 0)
                return 0;
        REQUIRE(cpus.n_ids <= CPUSET_MAX && !cpus.has_run_delay);
        for (unsigned i = 0; i < cpus.n_ids; i++) {
                const struct kernel_cpu *cpu = &cpus.cpus[i];

                n_online += cpu->online;
                REQUIRE(cpu->online || (cpu->idle_nsec == 0 && cpu->busy_nsec == 0));
                REQUIRE(cpu->idle_nsec % TICK_NSEC == 0 && cpu->busy_nsec % TICK_NSEC == 0);
                REQUIRE(cpu->run_delay_nsec == 0);
        }
        REQUIRE(n_online > 0);
        return 0;
}
