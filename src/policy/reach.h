/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the threads of a mask class can go best. Asked for every class on every source that is
 * looked at, and mostly only to learn that it is not worth it: so the best CPU of a class is
 * remembered, and kept as a lower bound while other CPUs change.
 */

#include <stdbool.h>
#include <stdint.h>

#include "model/snapshot.h"
#include "policy/arena.h"
#include "policy/tree.h"

/* The best CPU of a class in one tree, as of the tree's change number AS_OF. */
struct reach_best {
        double value; /* no CPU of the class has less */
        int cpu;      /* had it; -1: none was in the tree */
        bool known;
        unsigned as_of;
};

/* Classes of so few CPUs have them listed: looking at each beats any search. */
#define REACH_LISTED 32U

struct reach {
        const struct snapshot *snapshot;
        const struct tree *tree;
        struct reach_best *best; /* by class */
        uint16_t *members;       /* REACH_LISTED a class */
        bool *listed;            /* by class: its members are there */
};

void reach_layout(struct reach *r, struct arena *arena, unsigned n_classes);
void reach_init(struct reach *r, const struct snapshot *snapshot, const struct tree *tree);

/* No CPU of the class has a value less than this. */
double reach_bound(struct reach *r, unsigned mask_class);
/* The CPU of the class with the least value in RANGE, or -1. */
int reach_find(struct reach *r, unsigned mask_class, struct topology_range range);
