/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

/* What the source is, and what is lost without it. */
static const char *describe(enum kernel_source source)
{
        switch (source) {
        case KERNEL_PRESSURE:
                return "no /proc/pressure/cpu (CONFIG_PSI, psi=1): whether anything waited is told "
                       "from the threads themselves, which costs more";
        case KERNEL_SCHEDSTAT:
                return "no /proc/schedstat (CONFIG_SCHEDSTATS): where threads waited is told from "
                       "the threads themselves, and CPUs without balancing from cpusets alone";
        case KERNEL_STAT:
                return "no /proc/stat: idle CPUs cannot be seen, so stuck threads are not moved";
        case KERNEL_THREAD_SCHEDSTAT:
                return "no /proc/PID/task/TID/schedstat (CONFIG_SCHED_INFO): how long a thread ran "
                       "and waited cannot be seen, so nothing is balanced";
        case KERNEL_EVENTS:
                return "no process events (CONFIG_PROC_EVENTS, initial namespaces): new threads "
                       "are "
                       "found by looking through /proc, later";
        case KERNEL_TASKSTATS:
                return "no taskstats (CONFIG_TASKSTATS, CAP_NET_ADMIN): switch counts are "
                       "read from status files";
        case KERNEL_CGROUP:
                return "no sight of cpusets (/sys/fs/cgroup): CPUs are taken to be balanced unless "
                       "the kernel lists them as isolated, and where there may be cpusets (EACCES) "
                       "only threads that may run on all CPUs are moved";
        case KERNEL_HWLOC:
                return "no topology (/sys/devices/system): CPUs are taken to be equal and to share "
                       "a cache";
        case KERNEL_PROCESSES:
                return "no sight of other users' processes (hidepid= of /proc): only threads of "
                       "balancerd's own user are balanced";
        case KERNEL_AFFINITY:
                return "no power over other users' threads (CAP_SYS_NICE): only threads of "
                       "balancerd's own user are moved";
        case KERNEL_REALTIME:
                return "no SCHED_FIFO for the mover (CAP_SYS_NICE): a move may wait for busy CPUs";
        case _KERNEL_SOURCE_MAX:
                break;
        }
        abort();
}

int sources_look(struct sources *sources, struct kernel *kernel, enum kernel_source source)
{
        int r = kernel->ops->probe ? kernel->ops->probe(kernel, source) : 0;

        if (r < 0)
                sources_note(sources, source, r);
        else
                sources->missing[source] = false;
        return r;
}

void sources_probe(struct sources *sources, struct kernel *kernel, bool moves)
{
        (void)sources_look(sources, kernel, KERNEL_CGROUP);
        (void)sources_look(sources, kernel, KERNEL_HWLOC);
        (void)sources_look(sources, kernel, KERNEL_PROCESSES);
        if (moves)
                (void)sources_look(sources, kernel, KERNEL_AFFINITY);
}

void sources_note(struct sources *sources, enum kernel_source source, int error)
{
        char line[256];
        const struct notice notice = {
                .kind = NOTICE_MISSING,
                .level = LOG_NOTICE,
                .text = line,
                .detail = kernel_source_to_string(source),
        };

        if (sources->missing[source])
                return;
        sources->missing[source] = true;
        if (!sources->on_notice)
                return;
        snprintf(line, sizeof(line), "%s (%s)", describe(source), strerrorname_np(-error));
        sources->on_notice(&notice, sources->userdata);
}
