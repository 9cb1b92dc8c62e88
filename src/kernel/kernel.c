/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/kernel.h"

#include <errno.h>

#include "base/macro.h"

void kernel_cpus_done(struct kernel_cpus *cpus)
{
        free(cpus->cpus);
        *cpus = (struct kernel_cpus){0};
}

int kernel_cpus_reserve(struct kernel_cpus *cpus, unsigned n_ids)
{
        struct kernel_cpu *grown;

        if (n_ids <= cpus->n_ids)
                return 0;
        grown = realloc(cpus->cpus, n_ids * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        memset(grown + cpus->n_ids, 0, (n_ids - cpus->n_ids) * sizeof(*grown));
        cpus->cpus = grown;
        cpus->n_ids = n_ids;
        return 0;
}

const char *kernel_source_to_string(enum kernel_source source)
{
        switch (source) {
        case KERNEL_PRESSURE:
                return "pressure";
        case KERNEL_SCHEDSTAT:
                return "schedstat";
        case KERNEL_STAT:
                return "stat";
        case KERNEL_THREAD_SCHEDSTAT:
                return "threadSchedstat";
        case KERNEL_EVENTS:
                return "events";
        case KERNEL_TASKSTATS:
                return "taskstats";
        case KERNEL_CGROUP:
                return "cgroup";
        case KERNEL_HWLOC:
                return "hwloc";
        case KERNEL_PROCESSES:
                return "processes";
        case KERNEL_AFFINITY:
                return "affinity";
        case KERNEL_REALTIME:
                return "realtime";
        case _KERNEL_SOURCE_MAX:
                break;
        }
        abort();
}
