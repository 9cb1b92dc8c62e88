/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A segment tree over CPUs: the CPU with the least value, of all or of a range and a set, in
 * O(log CPUs) where no set is in the way. An infinite value takes a CPU out.
 */

#include <math.h>
#include <stdint.h>

#include "base/cpuset.h"
#include "model/topology.h"
#include "policy/arena.h"

/* So many of the last changes for less are remembered. */
#define TREE_LOG 256U

struct tree {
        double *least; /* n_leaves leaves from [n_leaves] on, their parents before */
        unsigned n_leaves;
        unsigned lowered[TREE_LOG]; /* CPUs whose values became less, the Nth at N % TREE_LOG */
        unsigned n_lowered;
        double lowest; /* of these values */
};

#define TREE_ABSENT ((double)INFINITY)

void tree_layout(struct tree *tree, struct arena *arena, unsigned n_cpus);

/* All values at once: [0, n_cpus) as VALUES says. */
void tree_fill(struct tree *tree, const double *values, unsigned n_cpus);
void tree_set(struct tree *tree, unsigned cpu, double value);

static inline double tree_get(const struct tree *tree, unsigned cpu)
{
        return tree->least[tree->n_leaves + cpu];
}

/* The least value of all; TREE_ABSENT if no CPU is in. */
static inline double tree_minimum(const struct tree *tree)
{
        return tree->least[1];
}

/* The CPU with the least value in RANGE and in SET (NULL: all CPUs), or -1 if none is in. Equal
 * ones: the lowest index, as far as SET leaves the search the choice. */
int tree_find_least(const struct tree *tree, struct topology_range range, const struct cpuset *set);
