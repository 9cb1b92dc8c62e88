/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/reach.h"

void reach_layout(struct reach *r, struct arena *arena, unsigned n_classes)
{
        ARENA_TAKE(arena, r->best, n_classes);
        ARENA_TAKE(arena, r->listed, n_classes);
        ARENA_TAKE(arena, r->members, (size_t)n_classes * REACH_LISTED);
}

void reach_init(struct reach *r, const struct snapshot *snapshot, const struct tree *tree)
{
        r->snapshot = snapshot;
        r->tree = tree;
        for (unsigned i = 0; i < snapshot->n_classes; i++) {
                r->best[i].known = false;
                r->listed[i] = false;
        }
}

static const uint16_t *members_of(struct reach *r, unsigned mask_class)
{
        const struct snapshot_class *mask = &r->snapshot->classes[mask_class];
        uint16_t *members = r->members + (size_t)mask_class * REACH_LISTED;
        unsigned n = 0;
        int cpu;

        if (r->listed[mask_class])
                return members;
        CPUSET_FOREACH (cpu, &mask->cpus)
                members[n++] = (uint16_t)cpu;
        r->listed[mask_class] = true;
        return members;
}

static int find_in_list(struct reach *r, unsigned mask_class, struct topology_range range)
{
        const uint16_t *members = members_of(r, mask_class);
        double least = TREE_ABSENT;
        int best = -1;

        for (unsigned i = 0; i < r->snapshot->classes[mask_class].n_cpus; i++) {
                unsigned cpu = members[i];

                if (cpu - range.first >= range.count || tree_get(r->tree, cpu) >= least)
                        continue;
                least = tree_get(r->tree, cpu);
                best = (int)cpu;
        }
        return best;
}

static int find(struct reach *r, unsigned mask_class, struct topology_range range)
{
        const struct snapshot_class *mask = &r->snapshot->classes[mask_class];

        if (mask->n_cpus <= REACH_LISTED)
                return find_in_list(r, mask_class, range);
        return tree_find_least(r->tree, range,
                               mask->n_cpus < r->snapshot->topology->n_cpus ? &mask->cpus : NULL);
}

static double value_of(const struct reach *r, int cpu)
{
        return cpu < 0 ? TREE_ABSENT : tree_get(r->tree, (unsigned)cpu);
}

static void find_best(struct reach *r, unsigned mask_class)
{
        struct topology_range all = {0, r->snapshot->topology->n_cpus};
        int cpu = find(r, mask_class, all);

        r->best[mask_class] = (struct reach_best){
                .value = value_of(r, cpu),
                .cpu = cpu,
                .known = true,
                .as_of = r->tree->n_lowered,
        };
}

/* Takes in what has become less since. False if that is too long ago. */
static bool catch_up(struct reach *r, unsigned mask_class)
{
        struct reach_best *best = &r->best[mask_class];
        const struct cpuset *set = &r->snapshot->classes[mask_class].cpus;

        if (!best->known || r->tree->n_lowered - best->as_of > TREE_LOG)
                return false;
        for (; best->as_of != r->tree->n_lowered; best->as_of++) {
                unsigned cpu = r->tree->lowered[best->as_of % TREE_LOG];

                if (tree_get(r->tree, cpu) < best->value && cpuset_contains(set, cpu)) {
                        best->value = tree_get(r->tree, cpu);
                        best->cpu = (int)cpu;
                }
        }
        return true;
}

double reach_bound(struct reach *r, unsigned mask_class)
{
        if (!catch_up(r, mask_class))
                find_best(r, mask_class);
        return r->best[mask_class].value;
}

int reach_find(struct reach *r, unsigned mask_class, struct topology_range range)
{
        const struct reach_best *best = &r->best[mask_class];

        if (range.count < r->snapshot->topology->n_cpus)
                return find(r, mask_class, range);
        if (reach_bound(r, mask_class) < value_of(r, best->cpu))
                find_best(r, mask_class);
        return best->cpu;
}
