/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A plan in the making: what the passes of plan_build() share. Each pass looks for moves and makes
 * them in the model with planner_move(); the next one starts from what that left.
 */

#include <stdbool.h>
#include <stdint.h>

#include "model/move.h"
#include "model/settings.h"
#include "model/snapshot.h"
#include "policy/chain.h"
#include "policy/contention.h"
#include "policy/plan.h"
#include "policy/reach.h"
#include "policy/runnables.h"
#include "policy/rotate.h"
#include "policy/stuck.h"

/* Moves between saturated CPUs even out weights only where they differ by more than this. */
#define LEAST_WEIGHT_SHARE 0.05

/* How far two CPUs are apart: what their caches share. */
enum distance {
        DISTANCE_CORE,
        DISTANCE_LLC,
        DISTANCE_NODE,
        DISTANCE_MACHINE,
};

struct planner {
        const struct snapshot *snapshot;
        const struct settings *settings;
        const struct plan_params *params;
        struct contention contention;
        struct reach by_seen, by_weight; /* the best CPUs of classes, in contention's trees */
        struct runnables runnables;
        struct chain_search chain;
        struct stuck_search stuck;
        struct rotate_search rotate;

        struct move *moves;
        unsigned n_moves, n_moves_max;
        unsigned n_chains;
        bool *moved;   /* by thread: part of the plan already */
        bool *touched; /* by CPU: a move begins or ends there */
};

/* A thread and where it could go. */
struct option {
        unsigned thread;
        unsigned to;
        double gain;
        enum distance distance;
};

/* Before the first pass. All that is given must outlive P; its arrays are in MEMORY. Returns 0 or
 * -ENOMEM. (plan.c) */
int planner_init(struct planner *p, const struct snapshot *snapshot,
                 const struct settings *settings, const struct plan_params *params,
                 struct plan *memory);

enum distance planner_distance(const struct topology *topology, unsigned a, unsigned k);

static inline const struct snapshot_thread *planner_thread(const struct planner *p, unsigned thread)
{
        return &p->snapshot->threads[thread];
}

static inline bool planner_permits(const struct planner *p, unsigned thread, unsigned cpu)
{
        const struct snapshot_thread *t = planner_thread(p, thread);

        return cpuset_contains(&p->snapshot->classes[t->mask_class].cpus, cpu);
}

/* Whether it has waited hard, and on its node for long: what a move across nodes asks for. */
bool planner_stuck_on_node(const struct planner *p, const struct snapshot_thread *thread);
/* Whether the settings let the thread go so far. */
bool planner_may_go(const struct planner *p, const struct snapshot_thread *thread,
                    enum distance distance);
/* Whether the thread left CPU a short while ago. */
bool planner_returns(const struct planner *p, const struct snapshot_thread *thread, unsigned cpu);
/* What a cold cache costs, in seconds. */
double planner_cost_sec(enum distance distance);
/* What a move must gain so that it repays its cost; COST_SEC of all hops of a chain. */
double planner_needed(const struct planner *p, double least_gain, double cost_sec,
                      enum distance distance);

/* Appends a move and makes it in the model. CHAIN is 0 or the chain's number. */
void planner_move(struct planner *p, unsigned thread, unsigned to, enum move_reason reason,
                  unsigned chain, double gain);
