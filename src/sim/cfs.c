/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/cfs.h"

#include "base/macro.h"

/* Between two looks of a busy CPU and of an idle one (busy_factor of struct sched_domain). */
#define BUSY_FACTOR 16U

/* Load that must be there beyond a fair share, in percent (imbalance_pct), within a node and
 * beyond. */
#define IMBALANCE_PERCENT      117
#define IMBALANCE_PERCENT_NODE 125

/* A weight is shifted right once for each attempt that failed, and so at last small enough. */
#define FAILED_MAX 20U

static struct topology_range range_of(const struct topology *topology, unsigned cpu,
                                      enum machine_level level)
{
        const struct topology_cpu *place = &topology->cpus[cpu];

        switch (level) {
        case MACHINE_CORE:
                return topology->cores[place->core];
        case MACHINE_LLC:
                return topology->llcs[place->llc];
        case MACHINE_NODE:
                return topology->nodes[place->node];
        case MACHINE_ALL:
        case _MACHINE_LEVEL_MAX:
                break;
        }
        return (struct topology_range){.first = 0, .count = topology->n_cpus};
}

/* The parts that the level's domain is balanced between; below the core they are single CPUs. */
static struct topology_range group_of(const struct topology *topology, unsigned cpu,
                                      enum machine_level level)
{
        if (level == MACHINE_CORE)
                return (struct topology_range){.first = cpu, .count = 1};
        return range_of(topology, cpu, level - 1);
}

static unsigned n_running(const struct machine_cpu *c)
{
        return c->n_queue + (c->current >= 0);
}

static double load_of(const struct machine *machine, const struct machine_cpu *c)
{
        double load = c->current >= 0 ? machine->threads[c->current].weight : 0;

        for (int i = c->first; i >= 0; i = machine->threads[i].next)
                load += machine->threads[i].weight;
        return load;
}

static bool may_go(const struct machine *machine, unsigned thread, unsigned cpu)
{
        return machine->cpus[cpu].balanced && cpuset_contains(&machine->threads[thread].mask, cpu);
}

/* The idle CPU that THREAD may use, the nearest behind START in a circle around RANGE, or -1. */
static int find_idle(const struct machine *machine, unsigned thread, struct topology_range range,
                     unsigned start)
{
        for (unsigned i = 0; i < range.count; i++) {
                unsigned k = range.first + (start - range.first + i) % range.count;

                if (may_go(machine, thread, k) && n_running(&machine->cpus[k]) == 0)
                        return (int)k;
        }
        return -1;
}

static int find_idlest(const struct machine *machine, unsigned thread, struct topology_range range)
{
        double least = 0;
        int best = -1;

        for (unsigned k = range.first; k < range.first + range.count; k++) {
                double load;

                if (!may_go(machine, thread, k))
                        continue;
                load = load_of(machine, &machine->cpus[k]);
                if (best < 0 || load < least) {
                        best = (int)k;
                        least = load;
                }
        }
        return best;
}

unsigned cfs_wake_cpu(const struct machine *machine, unsigned thread)
{
        const struct machine_thread *t = &machine->threads[thread];
        struct topology_range llc = range_of(machine->topology, t->cpu, MACHINE_LLC);
        int cpu;

        cpu = find_idle(machine, thread, llc, t->cpu);
        if (cpu >= 0)
                return (unsigned)cpu;
        if (cpuset_contains(&t->mask, t->cpu))
                return t->cpu;
        return (unsigned)cpuset_next(&t->mask, 0);
}

unsigned cfs_fork_cpu(const struct machine *machine, unsigned thread)
{
        const struct machine_thread *t = &machine->threads[thread];
        int cpu = -1;

        for (enum machine_level level = MACHINE_LLC; level <= machine->options.kernel_reach;
             level++) {
                struct topology_range range = range_of(machine->topology, t->cpu, level);

                cpu = find_idle(machine, thread, range, t->cpu);
                if (cpu >= 0)
                        return (unsigned)cpu;
        }
        cpu = find_idlest(machine, thread,
                          range_of(machine->topology, t->cpu, machine->options.kernel_reach));
        return cpu >= 0 ? (unsigned)cpu : (unsigned)cpuset_next(&t->mask, 0);
}

/* A waiting thread of FROM that may run on TO and weighs at most MOST (shifted by FAILED), or -1.
 */
static int find_movable(const struct machine *machine, unsigned from, unsigned to, double most,
                        unsigned failed)
{
        for (int i = machine->cpus[from].first; i >= 0; i = machine->threads[i].next) {
                double weight = machine->threads[i].weight / (double)(1U << failed);

                if (may_go(machine, (unsigned)i, to) && weight <= most)
                        return i;
        }
        return -1;
}

static void pull(struct machine *machine, unsigned thread, unsigned cpu, nsec_t at)
{
        machine_migrate(machine, thread, cpu, at);
        machine->n_kernel_moved++;
}

/* Pulls one thread to TO from the most loaded CPU of RANGE that has one for it. */
static bool pull_from(struct machine *machine, struct topology_range range, unsigned to,
                      double most, nsec_t at, unsigned failed)
{
        double highest = 0;
        int best = -1;

        for (unsigned k = range.first; k < range.first + range.count; k++) {
                double load;
                int thread;

                if (k == to || !machine->cpus[k].balanced || machine->cpus[k].n_queue == 0)
                        continue;
                load = load_of(machine, &machine->cpus[k]);
                if (best >= 0 && load <= highest)
                        continue;
                thread = find_movable(machine, k, to, most, failed);
                if (thread < 0)
                        continue;
                best = thread;
                highest = load;
        }
        if (best < 0)
                return false;
        pull(machine, (unsigned)best, to, at);
        return true;
}

void cfs_balance_newly_idle(struct machine *machine, unsigned cpu, nsec_t at)
{
        for (enum machine_level level = MACHINE_CORE; level <= machine->options.kernel_reach;
             level++) {
                struct topology_range range = range_of(machine->topology, cpu, level);

                if (pull_from(machine, range, cpu, (double)INT32_MAX, at, 0))
                        return;
        }
}

/* What the balancer knows of a group of CPUs. */
struct group {
        struct topology_range range;
        unsigned n_cpus, n_running;
        double load;
};

static struct group look_at(const struct machine *machine, struct topology_range range)
{
        struct group group = {.range = range};

        for (unsigned k = range.first; k < range.first + range.count; k++) {
                const struct machine_cpu *c = &machine->cpus[k];

                if (!c->balanced)
                        continue;
                group.n_cpus++;
                group.n_running += n_running(c);
                group.load += load_of(machine, c);
        }
        return group;
}

static double mean_load(const struct group *group)
{
        return group->n_cpus ? group->load / group->n_cpus : 0;
}

static struct group find_busiest(const struct machine *machine, struct topology_range domain,
                                 const struct group *local, enum machine_level level)
{
        struct group busiest = {0};
        unsigned k = domain.first;

        while (k < domain.first + domain.count) {
                struct topology_range range = group_of(machine->topology, k, level);

                if (range.first != local->range.first) {
                        struct group group = look_at(machine, range);

                        if (mean_load(&group) > mean_load(&busiest))
                                busiest = group;
                }
                k = range.first + range.count;
        }
        return busiest;
}

/* The weight that should come over from BUSIEST; 0: none. */
static double imbalance(const struct machine *machine, struct topology_range domain,
                        const struct group *local, const struct group *busiest,
                        enum machine_level level)
{
        int percent = level >= MACHINE_ALL ? IMBALANCE_PERCENT_NODE : IMBALANCE_PERCENT;
        struct group all;

        if (busiest->n_running <= busiest->n_cpus)
                return 0;
        if (local->n_running < local->n_cpus)
                return (double)INT32_MAX;
        if (100 * mean_load(busiest) <= percent * mean_load(local))
                return 0;
        all = look_at(machine, domain);
        return MIN(mean_load(busiest) - mean_load(&all), mean_load(&all) - mean_load(local));
}

/* One CPU of a group does the work of all: the first idle one, or the first of all. */
static bool speaks_for_group(const struct machine *machine, struct topology_range group,
                             unsigned cpu)
{
        int first = -1;

        for (unsigned k = group.first; k < group.first + group.count; k++) {
                if (!machine->cpus[k].balanced)
                        continue;
                if (n_running(&machine->cpus[k]) == 0)
                        return k == cpu;
                if (first < 0)
                        first = (int)k;
        }
        return first == (int)cpu;
}

static void balance_level(struct machine *machine, unsigned cpu, enum machine_level level)
{
        struct machine_cpu *c = &machine->cpus[cpu];
        struct topology_range domain = range_of(machine->topology, cpu, level);
        struct group local = look_at(machine, group_of(machine->topology, cpu, level)), busiest;
        double most;

        if (!speaks_for_group(machine, local.range, cpu))
                return;
        busiest = find_busiest(machine, domain, &local, level);
        most = imbalance(machine, domain, &local, &busiest, level);
        if (!(most > 0))
                return;
        if (pull_from(machine, busiest.range, cpu, most, machine->now, c->n_failed[level]))
                c->n_failed[level] = 0;
        else
                c->n_failed[level] = MIN(c->n_failed[level] + 1, FAILED_MAX);
}

/* Softirqs come late; in step with the slices, the same thread would be pulled every time. */
static nsec_t jitter(struct machine *machine, nsec_t interval)
{
        return (nsec_t)random_between(&machine->random, (double)interval, 1.2 * (double)interval);
}

static void balance_cpu(struct machine *machine, unsigned cpu)
{
        struct machine_cpu *c = &machine->cpus[cpu];

        for (enum machine_level level = MACHINE_CORE; level <= machine->options.kernel_reach;
             level++) {
                struct topology_range domain = range_of(machine->topology, cpu, level);
                nsec_t interval = domain.count * NSEC_PER_MSEC;

                if (domain.count == group_of(machine->topology, cpu, level).count ||
                    c->next_balance[level] > machine->now)
                        continue;
                if (n_running(c) > 0)
                        interval *= BUSY_FACTOR;
                c->next_balance[level] = machine->now + jitter(machine, interval);
                balance_level(machine, cpu, level);
        }
}

void cfs_balance_periodic(struct machine *machine)
{
        for (unsigned k = 0; k < machine->topology->n_cpus; k++)
                if (machine->cpus[k].balanced)
                        balance_cpu(machine, k);
}
