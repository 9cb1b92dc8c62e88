/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The threads that a plan may choose from, by CPU: those that are ready to run, not held by
 * anything, and past their cooldown. Those of one CPU are sorted only when that CPU is first looked
 * at: most never are.
 */

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
        double weight;
};

struct runnables {
        const struct snapshot *snapshot;
        unsigned *start;   /* by CPU, and one more: where its threads begin in `threads` */
        unsigned *threads; /* indexes into snapshot->threads */
        struct runnable_group *groups; /* those of a CPU begin where its threads do; the one with
                                          the largest demand first */
        unsigned *n_groups;            /* by CPU; 0 until it is sorted */
        struct runnable_key *keys, *spare;
        struct runnable_group *spare_groups;
};

void runnables_layout(struct runnables *r, struct arena *arena, unsigned n_cpus,
                      unsigned n_threads);
void runnables_init(struct runnables *r, const struct snapshot *snapshot,
                    const struct settings *settings, const struct plan_params *params);

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
