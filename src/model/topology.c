/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/topology.h"

#include <errno.h>

static int compare_unsigned(unsigned a, unsigned b)
{
        return (a > b) - (a < b);
}

static int compare_seeds(const void *a, const void *b)
{
        const struct topology_seed *x = a, *y = b;
        int c;

        if ((c = compare_unsigned(x->node, y->node)) != 0)
                return c;
        if ((c = compare_unsigned(x->llc, y->llc)) != 0)
                return c;
        if ((c = compare_unsigned(x->core, y->core)) != 0)
                return c;
        return compare_unsigned(x->id, y->id);
}

/* Extends the last of N ranges by one CPU, or opens the next one, and returns the range's index. */
static unsigned range_add(struct topology_range *ranges, unsigned *n, bool same, unsigned index)
{
        if (!same)
                ranges[(*n)++] = (struct topology_range){.first = index};
        ranges[*n - 1].count++;
        return *n - 1;
}

static void fill(struct topology *t, const struct topology_seed *seeds)
{
        for (unsigned i = 0; i < t->n_cpus; i++) {
                const struct topology_seed *seed = &seeds[i], *previous = i ? seed - 1 : NULL;
                bool same_node = previous && previous->node == seed->node;
                bool same_llc = same_node && previous->llc == seed->llc;
                bool same_core = same_llc && previous->core == seed->core;

                t->cpus[i] = (struct topology_cpu){
                        .id = seed->id,
                        .capacity = seed->capacity,
                        .node = range_add(t->nodes, &t->n_nodes, same_node, i),
                        .llc = range_add(t->llcs, &t->n_llcs, same_llc, i),
                        .core = range_add(t->cores, &t->n_cores, same_core, i),
                };
                t->index_of_id[seed->id] = (int)i;
        }
}

static int check(const struct topology_seed *sorted, unsigned n, unsigned *ret_n_ids)
{
        _cleanup_cpuset_ struct cpuset seen = {0};
        unsigned n_ids = 0;

        for (unsigned i = 0; i < n; i++) {
                int r;

                if (!(sorted[i].capacity > 0) || sorted[i].capacity > 1 ||
                    cpuset_contains(&seen, sorted[i].id))
                        return -EINVAL;
                r = cpuset_add(&seen, sorted[i].id);
                if (r < 0)
                        return r == -ERANGE ? -EINVAL : r;
                n_ids = MAX(n_ids, sorted[i].id + 1);
        }
        *ret_n_ids = n_ids;
        return 0;
}

int topology_new(struct topology **ret, const struct topology_seed *seeds, unsigned n_seeds)
{
        _cleanup_(topology_freep) struct topology *t = NULL;
        _cleanup_free_ struct topology_seed *sorted = NULL;
        unsigned n_ids;
        int r;

        if (n_seeds == 0)
                return -EINVAL;
        sorted = malloc(n_seeds * sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        memcpy(sorted, seeds, n_seeds * sizeof(*sorted));
        qsort(sorted, n_seeds, sizeof(*sorted), compare_seeds);
        r = check(sorted, n_seeds, &n_ids);
        if (r < 0)
                return r;

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->n_cpus = n_seeds;
        t->n_ids = n_ids;
        t->cpus = calloc(n_seeds, sizeof(*t->cpus));
        t->cores = calloc(n_seeds, sizeof(*t->cores));
        t->llcs = calloc(n_seeds, sizeof(*t->llcs));
        t->nodes = calloc(n_seeds, sizeof(*t->nodes));
        t->index_of_id = malloc(n_ids * sizeof(*t->index_of_id));
        if (!t->cpus || !t->cores || !t->llcs || !t->nodes || !t->index_of_id)
                return -ENOMEM;
        for (unsigned i = 0; i < n_ids; i++)
                t->index_of_id[i] = -1;
        fill(t, sorted);
        *ret = TAKE_PTR(t);
        return 0;
}

void topology_free(struct topology *topology)
{
        if (!topology)
                return;
        free(topology->cpus);
        free(topology->cores);
        free(topology->llcs);
        free(topology->nodes);
        free(topology->index_of_id);
        free(topology);
}

int topology_index(const struct topology *topology, unsigned id)
{
        return id < topology->n_ids ? topology->index_of_id[id] : -1;
}

int topology_to_indexes(const struct topology *topology, const struct cpuset *ids,
                        struct cpuset *ret_indexes)
{
        _cleanup_cpuset_ struct cpuset indexes = {0};
        int id, r;

        CPUSET_FOREACH (id, ids) {
                int index = topology_index(topology, (unsigned)id);

                if (index < 0)
                        continue;
                r = cpuset_add(&indexes, (unsigned)index);
                if (r < 0)
                        return r;
        }
        *ret_indexes = TAKE_CPUSET(indexes);
        return 0;
}

int topology_to_ids(const struct topology *topology, const struct cpuset *indexes,
                    struct cpuset *ret_ids)
{
        _cleanup_cpuset_ struct cpuset ids = {0};
        int index, r;

        CPUSET_FOREACH (index, indexes) {
                if ((unsigned)index >= topology->n_cpus)
                        break;
                r = cpuset_add(&ids, topology->cpus[index].id);
                if (r < 0)
                        return r;
        }
        *ret_ids = TAKE_CPUSET(ids);
        return 0;
}
