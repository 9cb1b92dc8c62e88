/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The threads that a plan may choose from, by CPU: those that are ready to run, not held by
 * anything, and past their cooldown. Those of one CPU are sorted only when that CPU is first looked
 * at: most never are.
 */

#include <stdbool.h>
#include <stdint.h>

#include "model/snapshot.h"
#include "model/settings.h"
#include "policy/arena.h"
#include "policy/plan.h"

/* An entry of the sort; fields in the order of their significance. */
struct runnable_key {
        uint64_t major; /* class, weight */
        uint64_t minor; /* demand, tid */
        unsigned index;
};

/* Threads of one CPU with the same affinity and weight, by demand and tid. */
struct runnable_group {
        unsigned first, end; /* places in `threads` */
        unsigned mask_class;
        bool away; /* some are not on their home node */
        double weight;
        double largest; /* demand of the last */
        /* Of the balance pass: no thread of the group gains more than `bound` while nothing
         * fell below what the class could reach at best when it was worked out. */
        double bound, least_seen, least_weight;
};

struct runnables {
        const struct snapshot *snapshot;
        unsigned *start;   /* by CPU, and one more: where its threads begin in `threads` */
        unsigned *threads; /* indexes into snapshot->threads */
        double *demands;   /* of these threads, rounded as loads are; there once sorted */
        struct runnable_group *groups; /* those of a CPU begin where its threads do; the one with
                                          the largest demand first */
        unsigned *n_groups;            /* by CPU; 0 until it is sorted */
        bool *away;                    /* by CPU, once sorted: some group is `away` */
        /* Of the balance pass, by CPU: what was seen there, and its weight, when the bounds of its
         * groups were last worked out (more than that makes them void); and which gained most. */
        double *seen, *weight;
        unsigned *promising;
        struct runnable_key *keys, *spare;
        struct runnable_group *spare_groups;
};

void runnables_layout(struct runnables *r, struct arena *arena, unsigned n_cpus,
                      unsigned n_threads);
void runnables_init(struct runnables *r, const struct snapshot *snapshot,
                    const struct settings *settings, const struct plan_params *params);

/* Whether its last move is long enough ago. */
bool runnables_cooled(const struct snapshot *snapshot, const struct snapshot_thread *thread,
                      const struct plan_params *params);

/* Makes sure that the CPU's groups are there. */
void runnables_sort(struct runnables *r, unsigned cpu);

static inline unsigned runnables_count(const struct runnables *r, unsigned cpu)
{
        return r->start[cpu + 1] - r->start[cpu];
}

/* The first place of the group whose thread has DEMAND or more; the group's end if there is none.
 */
unsigned runnables_find(const struct runnables *r, const struct runnable_group *group,
                        double demand);
