/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/procstat.h"

#include <errno.h>

#include "kernel/text.h"

/* The columns behind "cpuN"; guest and guest_nice follow, and are in user and nice already. */
enum column {
        COLUMN_USER,
        COLUMN_NICE,
        COLUMN_SYSTEM,
        COLUMN_IDLE,
        COLUMN_IOWAIT,
        COLUMN_IRQ,
        COLUMN_SOFTIRQ,
        COLUMN_STEAL,
        _COLUMN_MAX,
};

static bool sum_nsec(const uint64_t *ticks, unsigned columns, nsec_t tick_nsec, nsec_t *ret)
{
        uint64_t sum = 0;

        for (unsigned i = 0; i < _COLUMN_MAX; i++)
                if (columns >> i & 1 && __builtin_add_overflow(sum, ticks[i], &sum))
                        return false;
        return !__builtin_mul_overflow(sum, tick_nsec, ret);
}

/* The columns of a line, behind its name. */
static bool parse_columns(struct scanner line, nsec_t tick_nsec, struct kernel_cpu *ret)
{
        static const unsigned idle = 1U << COLUMN_IDLE | 1U << COLUMN_IOWAIT;
        struct kernel_cpu cpu = {.online = true};
        uint64_t ticks[_COLUMN_MAX];

        for (unsigned i = 0; i < _COLUMN_MAX; i++)
                if (!text_number(&line, &ticks[i]))
                        return false;
        if (!text_only_numbers(&line, 0) || !sum_nsec(ticks, idle, tick_nsec, &cpu.idle_nsec) ||
            !sum_nsec(ticks, ~idle, tick_nsec, &cpu.busy_nsec))
                return false;
        *ret = cpu;
        return true;
}

/* The lines of the CPUs, which are the first ones, in ascending order. */
static int take_cpus(struct scanner *s, nsec_t tick_nsec, struct kernel_cpus *cpus)
{
        struct scanner rest = *s, line;
        int last = -1;

        while (text_line(&rest, &line) && scan_prefix(&line, "cpu")) {
                uint64_t cpu;
                int r;

                if (!text_number(&line, &cpu) || cpu >= CPUSET_MAX || (int)cpu <= last)
                        return -EPROTO;
                r = kernel_cpus_reserve(cpus, (unsigned)cpu + 1);
                if (r < 0)
                        return r;
                if (!parse_columns(line, tick_nsec, &cpus->cpus[cpu]))
                        return -EPROTO;
                last = (int)cpu;
                *s = rest;
        }
        return last < 0 ? -EPROTO : 0;
}

static bool parse_total(struct scanner line, const char *name, uint64_t *ret)
{
        uint64_t value;

        if (!scan_prefix(&line, name) || !text_number(&line, &value) || !scan_end(&line))
                return false;
        *ret = value;
        return true;
}

int procstat_parse(const char *text, size_t length, nsec_t tick_nsec, struct kernel_cpus *cpus)
{
        struct scanner rest = {text, text + length}, line;
        bool has_forks = false, has_runnable = false;
        int r;

        for (unsigned i = 0; i < cpus->n_ids; i++)
                cpus->cpus[i] = (struct kernel_cpu){0};
        cpus->has_run_delay = false;

        /* The first line has the sums over all CPUs. */
        if (!text_line(&rest, &line) || !scan_prefix(&line, "cpu "))
                return -EPROTO;
        r = take_cpus(&rest, tick_nsec, cpus);
        if (r < 0)
                return r;
        while (!(has_forks && has_runnable)) {
                if (!text_line(&rest, &line))
                        return -EPROTO;
                has_forks |= parse_total(line, "processes ", &cpus->n_forks);
                has_runnable |= parse_total(line, "procs_running ", &cpus->n_runnable);
        }
        return 0;
}
