/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rotation pass: hogs that do not divide by CPUs take turns. Moving the thread that is behind
 * would help nobody: it would share again. A mate of it moves to where a leader runs.
 */

#include "policy/arena.h"

struct planner;

/* A CPU that may take part in a rotation. */
struct rotate_cpu {
        unsigned cpu;
        unsigned laggard, leader; /* threads of it */
};

struct rotate_search {
        struct rotate_cpu *cpus;
        unsigned n_cpus;
        unsigned *laggards, *leaders; /* indexes into `cpus`, the one furthest behind or ahead first
                                       */
        unsigned *place;              /* by CPU: index into `cpus`, or UINT_MAX */
        unsigned *first_hog;          /* by place: head of a list of its hogs */
        unsigned *next_hog;           /* by thread */
};

void rotate_layout(struct rotate_search *s, struct arena *arena, unsigned n_cpus,
                   unsigned n_threads);
void rotate_pass(struct planner *p);
