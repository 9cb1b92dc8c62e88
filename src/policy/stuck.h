/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The stuck pass: on CPUs that the kernel balances only a thread that kept waiting where it is
 * while a CPU that it may use idled is moved. On a healthy machine that is none.
 */

#include <stdbool.h>

#include "policy/arena.h"

struct planner;

struct stuck_search {
        unsigned *threads; /* indexes of those that may be stuck, the worst first */
        unsigned n_threads;
        unsigned *targets; /* CPUs that have idled enough */
        unsigned n_targets;
        double *idle_llc; /* smoothed idle, mean of the group */
        double *idle_node;
};

void stuck_layout(struct stuck_search *s, struct arena *arena, unsigned n_cpus, unsigned n_threads);

/* Until BUDGET moves were added, or no thread is stuck. */
void stuck_pass(struct planner *p, unsigned budget);

/* Whether the snapshot, after a quiet time, cannot tell what is stuck. */
bool stuck_is_unclear(const struct planner *p);
/* Finds the CPUs that could take a stuck thread; false if there are none, or that cannot be told.
 */
bool stuck_begin(struct planner *p);
/* Whether THREAD is stuck and gains enough by going anywhere; after stuck_begin() has said true. */
bool stuck_gains(struct planner *p, unsigned thread);

/* Whether THREAD may be stuck, wherever it could go: it waits hard, or shares a core. */
bool stuck_is_candidate(const struct planner *p, unsigned thread);
/* Whether THREAD is stuck with respect to CPU: all tests but those of its mask and of the gain. */
bool stuck_may_go(const struct planner *p, unsigned thread, unsigned cpu);
