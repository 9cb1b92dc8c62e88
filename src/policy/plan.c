/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/plan.h"

#include <errno.h>

#include "policy/balance.h"
#include "policy/planner.h"

#define LEAST_BUDGET 16U
#define STUCK_BUDGET 4U

void plan_params_init(struct plan_params *params)
{
        *params = (struct plan_params){
                .least_gain = 0.05F,
                .least_gain_node = 0.15F,
                .least_gain_balanced = 0.1F,
                .least_gain_balanced_node = 0.3F,
                .cooldown = 100 * NSEC_PER_MSEC,
                .cooldown_node = 500 * NSEC_PER_MSEC,
                .cooldown_balanced = NSEC_PER_SEC,
                .cooldown_balanced_node = 2 * NSEC_PER_SEC,
                .stuck = 250 * NSEC_PER_MSEC,
                .no_return = 2 * NSEC_PER_SEC,
                .smt_weight = 0.4F,
                .node_penalty = 0.2F,
                .horizon_sec = 2,
                .rotate_lag_sec = 0.05F,
                .rotate_lag_node_sec = 0.2F,
                .budget = 0,
        };
}

/* All arrays, in whatever memory the arena has. */
static void layout(struct planner *p, struct arena *arena)
{
        unsigned n_cpus = p->snapshot->topology->n_cpus, n_threads = p->snapshot->n_threads;

        ARENA_TAKE(arena, p->moves, p->n_moves_max);
        ARENA_TAKE(arena, p->moved, n_threads);
        ARENA_TAKE(arena, p->touched, n_cpus);
        contention_layout(&p->contention, arena, n_cpus);
        reach_layout(&p->by_seen, arena, p->snapshot->n_classes);
        reach_layout(&p->by_weight, arena, p->snapshot->n_classes);
        runnables_layout(&p->runnables, arena, n_cpus, n_threads);
        chain_layout(&p->chain, arena, n_cpus, p->snapshot->n_classes);
        stuck_layout(&p->stuck, arena, n_cpus, n_threads);
        rotate_layout(&p->rotate, arena, n_cpus, n_threads);
}

static int allocate(struct planner *p, struct plan *plan)
{
        struct arena arena = {0};
        void *memory;

        layout(p, &arena);
        if (arena.used > plan->memory_size) {
                memory = malloc(arena.used);
                if (!memory)
                        return -ENOMEM;
                free(plan->memory);
                plan->memory = memory;
                plan->memory_size = arena.used;
        }
        arena = (struct arena){.block = plan->memory};
        layout(p, &arena);
        return 0;
}

static unsigned balance_budget(const struct planner *p)
{
        unsigned budget = p->params->budget;

        return budget ? budget : MAX(LEAST_BUDGET, p->snapshot->topology->n_cpus / 2);
}

static unsigned stuck_budget(const struct planner *p)
{
        return p->params->budget ? MIN(p->params->budget, STUCK_BUDGET) : STUCK_BUDGET;
}

/* No thread moves twice; a pass goes past its budget by the rest of a chain at most, and a CPU
 * rotates once. */
static unsigned most_moves(const struct planner *p)
{
        unsigned n_cpus = p->snapshot->topology->n_cpus, n_threads = p->snapshot->n_threads;
        unsigned long most = (unsigned long)balance_budget(p) + STUCK_BUDGET + 3UL * n_cpus;

        return (unsigned)MIN(most, n_threads);
}

/* Everything that the passes begin with. */
static void prepare(struct planner *p)
{
        memset(p->moved, 0, p->snapshot->n_threads * sizeof(*p->moved));
        memset(p->touched, 0, p->snapshot->topology->n_cpus * sizeof(*p->touched));
        contention_init(&p->contention, p->snapshot, p->params);
        runnables_init(&p->runnables, p->snapshot, p->settings, p->params);
        reach_init(&p->by_seen, p->snapshot, &p->contention.by_seen);
        reach_init(&p->by_weight, p->snapshot, &p->contention.by_weight);
        chain_init(p);
}

static void decide(struct planner *p, struct plan *plan)
{
        plan->potential_before = contention_potential(&p->contention);
        plan->weight_before = contention_weight_potential(&p->contention);
        if (p->settings->balance.unbalanced)
                balance_pass(p, balance_budget(p));
        if (p->settings->balance.stuck_threads)
                stuck_pass(p, stuck_budget(p));
        if (p->settings->balance.unbalanced && p->settings->balance.rotate != NSEC_INFINITY)
                rotate_pass(p);
        plan->potential_after = contention_potential(&p->contention);
        plan->weight_after = contention_weight_potential(&p->contention);
        plan->moves = p->moves;
        plan->n_moves = p->n_moves;
}

int planner_init(struct planner *p, const struct snapshot *snapshot,
                 const struct settings *settings, const struct plan_params *params,
                 struct plan *memory)
{
        int r;

        *p = (struct planner){.snapshot = snapshot, .settings = settings, .params = params};
        p->n_moves_max = most_moves(p);
        r = allocate(p, memory);
        if (r < 0)
                return r;
        prepare(p);
        return 0;
}

int plan_build(const struct snapshot *snapshot, const struct settings *settings,
               const struct plan_params *params, struct plan *ret_plan)
{
        struct plan_params defaults;
        struct planner planner;
        int r;

        plan_params_init(&defaults);
        r = planner_init(&planner, snapshot, settings, params ? params : &defaults, ret_plan);
        if (r < 0)
                return r;
        decide(&planner, ret_plan);
        return 0;
}

void plan_done(struct plan *plan)
{
        free(plan->memory);
        *plan = (struct plan){0};
}
