/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/planner.h"

#include <assert.h>

#define STUCK_WAIT 0.2F

/* Crossing nodes leaves memory behind: besides the cold cache it must repay this share of the time
 * in which a move has to pay. */
#define NODE_COST_SHARE 0.05

enum distance planner_distance(const struct topology *topology, unsigned a, unsigned k)
{
        const struct topology_cpu *x = &topology->cpus[a], *y = &topology->cpus[k];

        if (x->core == y->core)
                return DISTANCE_CORE;
        if (x->llc == y->llc)
                return DISTANCE_LLC;
        return x->node == y->node ? DISTANCE_NODE : DISTANCE_MACHINE;
}

bool planner_stuck_on_node(const struct planner *p, const struct snapshot_thread *thread)
{
        return thread->wait >= STUCK_WAIT && thread->node_since != 0 &&
               p->snapshot->now - thread->node_since >= p->params->stuck;
}

bool planner_may_go(const struct planner *p, const struct snapshot_thread *thread,
                    enum distance distance)
{
        if (distance != DISTANCE_MACHINE)
                return true;
        switch (p->settings->balance.across_nodes) {
        case ACROSS_NODES_NEVER:
                return false;
        case ACROSS_NODES_STUCK:
                return planner_stuck_on_node(p, thread);
        case ACROSS_NODES_ALWAYS:
                return true;
        }
        return false;
}

bool planner_returns(const struct planner *p, const struct snapshot_thread *thread, unsigned cpu)
{
        return thread->left_at != 0 && thread->left_cpu == cpu &&
               p->snapshot->now - thread->left_at < p->params->no_return;
}

double planner_cost_sec(enum distance distance)
{
        switch (distance) {
        case DISTANCE_CORE:
                return 0.02e-3;
        case DISTANCE_LLC:
                return 0.05e-3;
        case DISTANCE_NODE:
                return 0.3e-3;
        case DISTANCE_MACHINE:
                return 1.5e-3;
        }
        return 0;
}

double planner_needed(const struct planner *p, double least_gain, double cost_sec,
                      enum distance distance)
{
        double repays = cost_sec / p->params->horizon_sec;

        if (distance == DISTANCE_MACHINE)
                repays += NODE_COST_SHARE;
        return MAX(least_gain, repays);
}

void planner_move(struct planner *p, unsigned thread, unsigned to, enum move_reason reason,
                  unsigned chain, double gain)
{
        struct load load = load_of(planner_thread(p, thread));
        unsigned from = planner_thread(p, thread)->cpu;

        assert(p->n_moves < p->n_moves_max && !p->moved[thread]);
        p->moves[p->n_moves++] = (struct move){
                .thread = thread,
                .from = from,
                .to = to,
                .reason = reason,
                .chain = chain,
                .gain = (float)gain,
                .load_from = (float)p->contention.cpus[from].demand,
                .load_to = (float)p->contention.cpus[to].demand,
        };
        p->moved[thread] = true;
        p->touched[from] = p->touched[to] = true;
        contention_move(&p->contention, &load, from, to);
}
