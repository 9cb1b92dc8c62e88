/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/tree.h"

#define WORD_BITS 64U

/* Where the search stands: what is asked, and the best leaf so far. */
struct search {
        const struct tree *tree;
        const struct cpuset *set;
        unsigned first, end;
        double value;
        int cpu;
};

static unsigned leaves_for(unsigned n_cpus)
{
        unsigned n = 1;

        while (n < n_cpus)
                n *= 2;
        return n;
}

void tree_layout(struct tree *tree, struct arena *arena, unsigned n_cpus)
{
        tree->n_leaves = leaves_for(n_cpus);
        ARENA_TAKE(arena, tree->least, 2 * (size_t)tree->n_leaves);
}

void tree_fill(struct tree *tree, const double *values, unsigned n_cpus)
{
        double *least = tree->least;

        tree->n_lowered = 0;
        tree->lowest = TREE_ABSENT;
        for (unsigned i = 0; i < tree->n_leaves; i++)
                least[tree->n_leaves + i] = i < n_cpus ? values[i] : TREE_ABSENT;
        for (unsigned node = tree->n_leaves - 1; node > 0; node--)
                least[node] = MIN(least[2 * node], least[2 * node + 1]);
}

void tree_set(struct tree *tree, unsigned cpu, double value)
{
        double *least = tree->least;
        unsigned node = tree->n_leaves + cpu;

        if (value < least[node]) {
                tree->lowered[tree->n_lowered++ % TREE_LOG] = cpu;
                tree->lowest = MIN(tree->lowest, value);
        }
        least[node] = value;
        while (node > 1) {
                double lower;

                node /= 2;
                lower = MIN(least[2 * node], least[2 * node + 1]);
                if (least[node] <= lower && least[node] >= lower)
                        return;
                least[node] = lower;
        }
}

/* Whether SET has a member among the WIDTH CPUs from FIRST on, WIDTH a power of two that FIRST is a
 * multiple of; wider than a word: not worth looking. */
static bool may_have_member(const struct cpuset *set, unsigned first, unsigned width)
{
        unsigned word = first / WORD_BITS;
        uint64_t bits;

        if (!set || width > WORD_BITS)
                return true;
        if (word >= set->n_words)
                return false;
        bits = set->words[word] >> (first % WORD_BITS);
        return width == WORD_BITS ? bits != 0 : (bits & ((UINT64_C(1) << width) - 1)) != 0;
}

static void descend(struct search *s, unsigned node, unsigned first, unsigned width)
{
        const double *least = s->tree->least;
        unsigned half = width / 2, left = 2 * node, right = left + 1;

        if (first >= s->end || first + width <= s->first || least[node] >= s->value ||
            !may_have_member(s->set, first, width))
                return;
        if (width == 1) {
                s->value = least[node];
                s->cpu = (int)first;
                return;
        }
        if (least[left] <= least[right]) {
                descend(s, left, first, half);
                descend(s, right, first + half, half);
        } else {
                descend(s, right, first + half, half);
                descend(s, left, first, half);
        }
}

int tree_find_least(const struct tree *tree, struct topology_range range, const struct cpuset *set)
{
        struct search s = {
                .tree = tree,
                .set = set,
                .first = range.first,
                .end = range.first + range.count,
                .value = TREE_ABSENT,
                .cpu = -1,
        };

        descend(&s, 1, 0, tree->n_leaves);
        return s.cpu;
}
