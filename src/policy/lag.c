/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fair shares, by connected group: CPUs that hogs' masks tie together share what other threads
 * leave of them. Within a group masks are not looked at: a hog that can reach only its crowded half
 * is owed more than it can get, which costs a few rotations, but never a hog its turn.
 */

#include "policy/lag.h"

#include <errno.h>
#include <math.h>

#include "base/macro.h"

#define MOST_LAG_SEC 5.0

/* What a CPU has for hogs, and (where it stands for its group) what the group has. */
struct share {
        unsigned parent; /* a CPU of the same group; of the one that stands for it: itself */
        double free;     /* capacity that other threads leave */
        unsigned n_hogs, n_used;
        double capacity; /* of as many CPUs, the freest first, as there are hogs */
        double weight;   /* of hogs that are not content */
        double rest;     /* of the capacity: what those that are content leave */
        double level;    /* share of a hog by weight; one with a share of 1 is content */
};

/* A CPU in the order of what it has for hogs. */
struct freedom {
        double free;
        unsigned cpu;
};

static bool takes_part(const struct snapshot *snapshot, const struct snapshot_thread *thread)
{
        return lag_is_hog(thread) && !(thread->flags & THREAD_REALTIME) &&
               !snapshot->cpus[thread->cpu].balanced;
}

static unsigned group_of(struct share *shares, unsigned cpu)
{
        while (shares[cpu].parent != cpu) {
                shares[cpu].parent = shares[shares[cpu].parent].parent;
                cpu = shares[cpu].parent;
        }
        return cpu;
}

static void join(struct share *shares, unsigned a, unsigned b)
{
        a = group_of(shares, a);
        b = group_of(shares, b);
        shares[MAX(a, b)].parent = MIN(a, b);
}

/* Ties together what the class can reach of the CPUs that the kernel leaves alone. */
static void join_class(const struct snapshot *snapshot, struct share *shares,
                       const struct snapshot_class *mask)
{
        int cpu, first = -1;

        CPUSET_FOREACH (cpu, &mask->cpus) {
                if (snapshot->cpus[cpu].balanced)
                        continue;
                if (first >= 0)
                        join(shares, (unsigned)first, (unsigned)cpu);
                else
                        first = cpu;
        }
}

static void init_shares(const struct snapshot *snapshot, struct share *shares)
{
        for (unsigned k = 0; k < snapshot->topology->n_cpus; k++)
                shares[k] = (struct share){
                        .parent = k,
                        .free = (double)snapshot->topology->cpus[k].capacity -
                                (double)snapshot->cpus[k].background,
                };
        for (unsigned i = 0; i < snapshot->n_threads; i++)
                if (!takes_part(snapshot, &snapshot->threads[i]))
                        shares[snapshot->threads[i].cpu].free -=
                                (double)snapshot->threads[i].demand;
}

/* Finds the groups. Returns how many hogs there are. */
static unsigned find_groups(const struct snapshot *snapshot, struct share *shares, bool *joined)
{
        unsigned n_hogs = 0;

        for (unsigned i = 0; i < snapshot->n_threads; i++) {
                const struct snapshot_thread *t = &snapshot->threads[i];

                if (!takes_part(snapshot, t))
                        continue;
                n_hogs++;
                if (!joined[t->mask_class]) {
                        joined[t->mask_class] = true;
                        join_class(snapshot, shares, &snapshot->classes[t->mask_class]);
                }
        }
        return n_hogs;
}

static int compare_freedom(const void *a, const void *b)
{
        const struct freedom *x = a, *y = b;

        if (x->free > y->free || x->free < y->free)
                return x->free > y->free ? -1 : 1;
        return (x->cpu > y->cpu) - (x->cpu < y->cpu);
}

/* A hog uses one CPU at a time: where there are fewer hogs than CPUs the fastest ones count. */
static void sum_capacities(const struct snapshot *snapshot, struct share *shares,
                           struct freedom *order)
{
        unsigned n_cpus = snapshot->topology->n_cpus;

        for (unsigned k = 0; k < n_cpus; k++)
                order[k] = (struct freedom){shares[k].free, k};
        qsort(order, n_cpus, sizeof(*order), compare_freedom);
        for (unsigned k = 0; k < n_cpus; k++) {
                struct share *group = &shares[group_of(shares, order[k].cpu)];

                if (group->n_used < group->n_hogs && order[k].free > 0) {
                        group->capacity += order[k].free;
                        group->n_used++;
                }
        }
}

static double share_at(const struct share *group, const struct snapshot_thread *hog)
{
        return MIN(1.0, group->level * (double)hog->weight);
}

/* Deals out what hogs that are content leave, until no other becomes so. */
static void find_levels(const struct snapshot *snapshot, struct share *shares)
{
        bool changed = true;

        while (changed) {
                changed = false;
                for (unsigned k = 0; k < snapshot->topology->n_cpus; k++) {
                        shares[k].weight = 0;
                        shares[k].rest = shares[k].capacity;
                }
                for (unsigned i = 0; i < snapshot->n_threads; i++) {
                        const struct snapshot_thread *t = &snapshot->threads[i];
                        struct share *group;

                        if (!takes_part(snapshot, t))
                                continue;
                        group = &shares[group_of(shares, t->cpu)];
                        if (share_at(group, t) < 1)
                                group->weight += (double)t->weight;
                        else
                                group->rest -= 1;
                }
                for (unsigned k = 0; k < snapshot->topology->n_cpus; k++) {
                        double level = shares[k].weight > 0
                                               ? MAX(0.0, shares[k].rest) / shares[k].weight
                                               : shares[k].level;

                        changed |= level > shares[k].level * (1 + 1e-9);
                        shares[k].level = MAX(level, shares[k].level);
                }
        }
}

static void write_lags(const struct snapshot *snapshot, struct share *shares, float *ret_lag_sec)
{
        double interval = nsec_to_sec(snapshot->interval);

        for (unsigned i = 0; i < snapshot->n_threads; i++) {
                const struct snapshot_thread *t = &snapshot->threads[i];
                double capacity = (double)snapshot->topology->cpus[t->cpu].capacity;
                double lag;

                if (!takes_part(snapshot, t) || (t->flags & THREAD_NEWBORN))
                        continue;
                lag = (double)t->lag_sec +
                      (share_at(&shares[group_of(shares, t->cpu)], t) - (double)t->run * capacity) *
                              interval;
                ret_lag_sec[i] = (float)fmax(-MOST_LAG_SEC, fmin(lag, MOST_LAG_SEC));
        }
}

static void count_hogs(const struct snapshot *snapshot, struct share *shares)
{
        for (unsigned i = 0; i < snapshot->n_threads; i++)
                if (takes_part(snapshot, &snapshot->threads[i]))
                        shares[group_of(shares, snapshot->threads[i].cpu)].n_hogs++;
}

int lag_update(const struct snapshot *snapshot, const struct settings *settings, float *ret_lag_sec)
{
        unsigned n_cpus = snapshot->topology->n_cpus;
        _cleanup_free_ struct share *shares = NULL;
        _cleanup_free_ struct freedom *order = NULL;
        _cleanup_free_ bool *joined = NULL;

        shares = malloc(n_cpus * sizeof(*shares));
        order = malloc(n_cpus * sizeof(*order));
        joined = calloc(snapshot->n_classes ? snapshot->n_classes : 1, sizeof(*joined));
        if (!shares || !order || !joined)
                return -ENOMEM;
        for (unsigned i = 0; i < snapshot->n_threads; i++)
                ret_lag_sec[i] = snapshot->threads[i].lag_sec;
        if (settings->balance.rotate == NSEC_INFINITY)
                return 0;
        init_shares(snapshot, shares);
        if (find_groups(snapshot, shares, joined) == 0)
                return 0;
        count_hogs(snapshot, shares);
        sum_capacities(snapshot, shares, order);
        find_levels(snapshot, shares);
        write_lags(snapshot, shares, ret_lag_sec);
        return 0;
}
