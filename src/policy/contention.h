/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Contention as the policy sees it: the demand on every CPU, what a thread would see of it here or
 * there, and the potential that moves lower. Must not know which moves are allowed.
 *
 * Demands are rounded to a fixed grain, so that sums are exact: the same in whatever order threads
 * stand, and after any number of moves the same as if they were added up anew.
 */

#include <stdint.h>

#include "model/snapshot.h"
#include "policy/arena.h"
#include "policy/plan.h"
#include "policy/tree.h"

struct cpu_load {
        double demand;  /* "D": of its threads and of its background */
        double squares; /* sum of the squared demands of its threads */
        double weight;  /* "Wt": sum of demand x weight */
        double wait;    /* sum of the smoothed waits of its threads */
        double capacity;
        struct topology_range core;
        unsigned node;
        bool target; /* an unbalanced CPU that is not closing */
        bool source; /* threads on it may be worth moving */
};

struct contention {
        const struct topology *topology;
        struct cpu_load *cpus;
        double smt_weight, node_penalty;
        double away;           /* sum of the demands of threads that are not on their home node */
        bool smt;              /* some core has several CPUs */
        bool even;             /* all capacities are equal */
        struct tree by_seen;   /* targets by what a newcomer would see */
        struct tree by_weight; /* saturated targets by weight */
        struct tree sources;   /* sources by what is seen on them, negated */
        double *scratch;       /* n_cpus, to fill trees from */
};

/* A thread as contention knows it. */
struct load {
        double demand;
        double weight; /* demand x weight */
        unsigned home_node;
};

struct load load_of(const struct snapshot_thread *thread);

void contention_layout(struct contention *c, struct arena *arena, unsigned n_cpus);
void contention_init(struct contention *c, const struct snapshot *snapshot,
                     const struct plan_params *params);

/* Of its capacity: more demand makes no CPU busier. */
#define SATURATED 0.98

/* Whether the CPU is busy all the time with DEMAND on it. */
static inline bool contention_saturates(const struct contention *c, unsigned cpu, double demand)
{
        return demand >= SATURATED * c->cpus[cpu].capacity;
}

static inline bool contention_saturated(const struct contention *c, unsigned cpu)
{
        return contention_saturates(c, cpu, c->cpus[cpu].demand);
}

/* What a thread of demand LOAD, now on FROM, sees on CPU: itself and its competitors. */
double contention_seen(const struct contention *c, const struct load *load, unsigned from,
                       unsigned cpu);

/* What siblings of CPU cost a thread there: `smt_weight` by busy sibling. */
double contention_of_siblings(const struct contention *c, unsigned cpu);

/* What the thread's going from one CPU to another adds for being away from its home node. */
double contention_of_nodes(const struct contention *c, const struct load *load, unsigned from,
                           unsigned to);

/* Puts a thread from one CPU on another, in all sums (the trees apart). */
void contention_shift(struct contention *c, const struct load *load, unsigned from, unsigned to);
/* Brings the trees up to date with the CPU's sums. */
void contention_refresh(struct contention *c, unsigned cpu);
/* Both. */
void contention_move(struct contention *c, const struct load *load, unsigned from, unsigned to);
/* The CPU is no longer to be looked at as a source. */
void contention_drop_source(struct contention *c, unsigned cpu);

/* The potential of the whole machine, and by how much a move would raise it. */
double contention_potential(const struct contention *c);
double contention_change(struct contention *c, const struct load *load, unsigned from, unsigned to);
/* The potential of one CPU without siblings and nodes, if DEMAND and SQUARES were its sums. */
double contention_of_cpu(const struct contention *c, unsigned cpu, double demand, double squares);
/* Half the sum of squared weights over all CPUs: what moves for the sake of weights lower. */
double contention_weight_potential(const struct contention *c);
