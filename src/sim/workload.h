/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What simulated threads want: when each is ready to run, and for how much work. It knows no CPU:
 * whoever runs the tasks (a simulated machine, or the free queue that is the yardstick) says how
 * much work each got. Every task draws from its own stream of chance, so that two runs of one seed
 * ask for the same work in the same order, however fast they serve it.
 *
 * Work is counted in nanoseconds of the machine's fastest CPU, undisturbed.
 */

#include <stdbool.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "sim/random.h"

enum task_kind {
        TASK_HOG,      /* always ready */
        TASK_SLEEPER,  /* `work`, then sleeps for `pause` */
        TASK_OPEN,     /* `work` falls due every `pause`, whether the last one is done or not */
        TASK_PERIODIC, /* the same, but what falls due before the last one is done is left out */
        TASK_BARRIER,  /* `work`, then waits until every task of its group has done the same */
        TASK_ONCE,     /* `work`, then it is gone */
};

/* How lengths vary around their mean. */
enum task_chance {
        TASK_EXACT,
        TASK_REGULAR,     /* evenly, by a tenth to either side: just enough not to stay in step */
        TASK_SPREAD,      /* evenly, by a half to either side */
        TASK_EXPONENTIAL, /* as a memoryless process has them */
};

#define TASK_NO_HOME (-1)

struct task_spec {
        enum task_kind kind;
        enum task_chance chance;
        nsec_t work, pause;
        int nice;
        int home_node;      /* index of the node of its memory, or TASK_NO_HOME */
        unsigned group;     /* of TASK_BARRIER */
        unsigned cpu;       /* index of the CPU that it starts on */
        int parent;         /* of a birth: the task that it was forked out of; otherwise -1 */
        struct cpuset mask; /* indexes; empty: every CPU. The workload makes its own copy */
};

enum task_state {
        TASK_READY,
        TASK_ASLEEP,
        TASK_AT_BARRIER,
        TASK_GONE,
};

struct task {
        struct task_spec spec;
        enum task_state state;
        nsec_t wake_at; /* TASK_ASLEEP; of TASK_OPEN and TASK_PERIODIC: when the next falls due */
        nsec_t born_at;
        double left; /* work until it is done with this burst */
        double done; /* work in all */
        struct random random;
};

struct workload {
        struct task *tasks;
        unsigned n_tasks, n_allocated;
        /* Tasks that slept until the last workload_advance(), which woke them. */
        unsigned *woken;
        unsigned n_woken;

        uint64_t seed;
        struct random random;
        struct task_spec birth; /* what is born */
        double birth_mean_nsec; /* between two births; 0: none */
        nsec_t next_birth;
        nsec_t next_wake; /* nothing wakes before */
};

void workload_init(struct workload *workload, uint64_t seed);
void workload_done(struct workload *workload);

/* Adds a task, to be there from the start. Returns its index, or -ENOMEM. */
int workload_add(struct workload *workload, const struct task_spec *spec);

/* From now on tasks like SPEC are born, PER_SEC of them in the mean. SPEC's mask is left empty. */
void workload_add_births(struct workload *workload, const struct task_spec *spec, double per_sec);

/* Wakes what is due at NOW, and gives birth: tasks are only ever added at the end, and a newborn
 * one is ready to run. Returns 0, or -ENOMEM. */
int workload_advance(struct workload *workload, nsec_t now);

/* Task number TASK, which was ready, has got WORK by the time AT; its state may change. */
void workload_give(struct workload *workload, unsigned task, double work, nsec_t at);

/* The share of a CPU that a task wants when nothing is in its way, 0 ... 1. */
double task_demand(const struct task *task);
