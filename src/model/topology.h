/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The machine's online CPUs and how they hang together. CPUs have two numbers: the kernel's (`id`,
 * what masks, files and messages use) and an index, dense from 0 and in topology order, so that a
 * core, a last-level cache and a node are each one range of indexes. Policy knows indexes only.
 */

#include <stdbool.h>

#include "base/cpuset.h"

/* CPUs that share something: indexes first ... first + count - 1. */
struct topology_range {
        unsigned first;
        unsigned count;
};

struct topology_cpu {
        unsigned id;
        unsigned core; /* index into cores, likewise the next two */
        unsigned llc;
        unsigned node;
        float capacity; /* work done in a second beside the machine's fastest CPU; 0 < capacity <= 1
                         */
};

struct topology {
        struct topology_cpu *cpus;
        unsigned n_cpus;
        struct topology_range *cores; /* SMT siblings; disjoint, in order, together all CPUs */
        unsigned n_cores;
        struct topology_range *llcs;
        unsigned n_llcs;
        struct topology_range *nodes;
        unsigned n_nodes;
        int *index_of_id; /* n_ids entries; -1 for an id that is not online */
        unsigned n_ids;
};

/* What topology_new() is told of one CPU. Group numbers may be sparse; they need only be equal
 * where CPUs share the group. A core lies within a cache, a cache within a node. */
struct topology_seed {
        unsigned id;
        unsigned core, llc, node;
        float capacity;
};

/* Orders N_SEEDS CPUs by node, cache, core and id. A core number counts within its cache, a cache
 * number within its node. Returns 0, -EINVAL (no CPU, an id twice, a capacity outside (0, 1]), or
 * -ENOMEM. */
int topology_new(struct topology **ret, const struct topology_seed *seeds, unsigned n_seeds);
void topology_free(struct topology *topology);

static inline void topology_freep(struct topology **topology)
{
        topology_free(*topology);
}

/* The index of the online CPU ID, or -1. */
_pure_ int topology_index(const struct topology *topology, unsigned id);

/* Translates a set of ids to a set of indexes (CPUs that are not online are dropped), and back.
 * Return 0 or -ENOMEM. */
int topology_to_indexes(const struct topology *topology, const struct cpuset *ids,
                        struct cpuset *ret_indexes);
int topology_to_ids(const struct topology *topology, const struct cpuset *indexes,
                    struct cpuset *ret_ids);
