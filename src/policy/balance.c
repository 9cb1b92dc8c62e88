/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/balance.h"

#include "policy/planner.h"

/* Moves between saturated CPUs even out weights only where they differ by more than this. */
#define LEAST_WEIGHT_SHARE 0.05

/* How many threads beside the best fit are tried when that one may not go. */
#define TRIES 8U

/* What is looked for on one source. */
struct picking {
        struct planner *p;
        unsigned from;
        double seen;       /* by a thread that left nothing behind: (1 + D + siblings) / capacity */
        double least_seen; /* by a newcomer on the best target, permitted or not */
        double least_weight; /* of the lightest saturated target */
        double slack;        /* what nodes may add to a gain */
        struct option best;
};

static bool equally_fast(const struct contention *c, unsigned a, unsigned k)
{
        return c->even || (c->cpus[a].capacity >= c->cpus[k].capacity &&
                           c->cpus[a].capacity <= c->cpus[k].capacity);
}

/* On CPUs that are and stay busy all the time a thread gets its share by weight, not by demand. */
static bool goes_by_weight(const struct contention *c, const struct load *load, unsigned a,
                           unsigned k)
{
        return equally_fast(c, a, k) && contention_saturated(c, k) &&
               contention_saturates(c, a, c->cpus[a].demand - load->demand);
}

static double gain_by_weight(const struct contention *c, const struct load *load, unsigned a,
                             unsigned k)
{
        double difference = c->cpus[a].weight - load->weight - c->cpus[k].weight;
        double mean = (c->cpus[a].weight + c->cpus[k].weight) / 2;

        if (difference <= LEAST_WEIGHT_SHARE * mean || load->weight <= 0)
                return 0;
        return load->demand * MIN(1.0, load->demand * difference / load->weight);
}

/* What the thread gains by going to TO; 0 where the potential would not fall with it. */
static double gain_of(struct contention *c, const struct load *load, unsigned from, unsigned to)
{
        double gain;

        if (goes_by_weight(c, load, from, to))
                return gain_by_weight(c, load, from, to);
        gain = load->demand *
               (contention_seen(c, load, from, from) - contention_seen(c, load, from, to));
        if (gain <= 0)
                return 0;
        /* Exact on equal CPUs; with siblings and unequal ones the potential has the last word, or
         * threads could go round for ever. */
        if ((c->smt || !c->even) && contention_change(c, load, from, to) >= 0)
                return 0;
        return gain;
}

static double least_gain(const struct planner *p, enum distance distance)
{
        double least = distance == DISTANCE_MACHINE ? (double)p->params->least_gain_node
                                                    : (double)p->params->least_gain;

        return planner_needed(p, least, planner_cost_sec(distance), distance);
}

static bool is_better(const struct planner *p, const struct option *a, const struct option *b)
{
        if (a->gain > b->gain || a->gain < b->gain)
                return a->gain > b->gain;
        if (a->distance != b->distance)
                return a->distance < b->distance;
        if (a->thread != b->thread)
                return planner_thread(p, a->thread)->tid < planner_thread(p, b->thread)->tid;
        return a->to < b->to;
}

/* Takes the option if it is allowed, worth it, and better than the best so far. Returns false if
 * another thread of the same demand might do. */
static bool consider(struct picking *pick, unsigned thread, unsigned to)
{
        struct planner *p = pick->p;
        const struct snapshot_thread *t = planner_thread(p, thread);
        struct option option = {
                .thread = thread,
                .to = to,
                .distance = planner_distance(p->snapshot->topology, pick->from, to),
        };
        struct load load = load_of(t);
        double least;

        if (p->moved[thread] || !planner_may_go(p, t, option.distance))
                return false;
        option.gain = gain_of(&p->contention, &load, pick->from, to);
        least = least_gain(p, option.distance);
        if (option.gain <= least)
                return true;
        if (option.gain <= 2 * least && planner_returns(p, t, to))
                return false;
        if (is_better(p, &option, &pick->best))
                pick->best = option;
        return true;
}

/* Tries the threads of the group with the demands nearest to FIT, from above and from below. */
static void consider_nearest(struct picking *pick, const struct runnable_group *group, double fit,
                             unsigned to)
{
        const struct runnables *r = &pick->p->runnables;
        unsigned at = runnables_find(r, group, fit), tries = 0;

        for (unsigned i = at; i < group->end && tries < TRIES; i++)
                if (!pick->p->moved[r->threads[i]]) {
                        if (consider(pick, r->threads[i], to))
                                break;
                        tries++;
                }
        tries = 0;
        for (unsigned i = at; i-- > group->first && tries < TRIES;)
                if (!pick->p->moved[r->threads[i]]) {
                        if (consider(pick, r->threads[i], to))
                                break;
                        tries++;
                }
}

/* The demand that a move to a CPU where a newcomer sees SEEN would gain most with. */
static double fitting_demand(const struct picking *pick, double seen)
{
        return pick->p->contention.cpus[pick->from].capacity * (pick->seen - seen) / 2;
}

static void consider_range(struct picking *pick, const struct runnable_group *group,
                           struct topology_range range)
{
        const struct planner *p = pick->p;
        const struct contention *c = &p->contention;
        const struct snapshot_class *mask = &p->snapshot->classes[group->mask_class];
        const struct cpuset *set =
                mask->n_cpus < p->snapshot->topology->n_cpus ? &mask->cpus : NULL;
        int to = tree_find_least(&c->by_seen, range, set);

        if (to >= 0 && (unsigned)to != pick->from)
                consider_nearest(pick, group, fitting_demand(pick, tree_get(&c->by_seen, to)), to);
        if (!contention_saturated(c, pick->from))
                return;
        to = tree_find_least(&c->by_weight, range, set);
        if (to >= 0 && (unsigned)to != pick->from && equally_fast(c, pick->from, to))
                consider_nearest(
                        pick, group,
                        (c->cpus[pick->from].weight - c->cpus[to].weight) / 2 / group->weight, to);
}

/* No thread of the group gains more than this, wherever it goes. */
static double upper_bound(const struct picking *pick, const struct runnable_group *group)
{
        const struct planner *p = pick->p;
        const struct runnables *r = &p->runnables;
        const struct contention *c = &p->contention;
        double smallest = load_of(planner_thread(p, r->threads[group->first])).demand;
        double largest = load_of(planner_thread(p, r->threads[group->end - 1])).demand;
        double fit = fmax(smallest, fmin(fitting_demand(pick, pick->least_seen), largest));
        double by_demand =
                fit * (pick->seen - fit / c->cpus[pick->from].capacity - pick->least_seen);
        double by_weight = (c->cpus[pick->from].weight - pick->least_weight) / group->weight;

        return MAX(by_demand + pick->slack, largest * fmin(1.0, by_weight));
}

static void consider_group(struct picking *pick, const struct runnable_group *group)
{
        const struct topology *t = pick->p->snapshot->topology;
        const struct topology_cpu *cpu = &t->cpus[pick->from];

        if (t->cores[cpu->core].count > 1)
                consider_range(pick, group, t->cores[cpu->core]);
        consider_range(pick, group, t->llcs[cpu->llc]);
        if (t->llcs[cpu->llc].count < t->nodes[cpu->node].count)
                consider_range(pick, group, t->nodes[cpu->node]);
        if (t->n_nodes > 1 && pick->p->settings->balance.across_nodes != ACROSS_NODES_NEVER)
                consider_range(pick, group, (struct topology_range){0, t->n_cpus});
}

static void pick_init(struct picking *pick, struct planner *p, unsigned from)
{
        const struct contention *c = &p->contention;
        const struct cpu_load *a = &c->cpus[from];

        *pick = (struct picking){
                .p = p,
                .from = from,
                .seen = (1 + a->demand + contention_of_siblings(c, from)) / a->capacity,
                .least_seen = tree_minimum(&c->by_seen),
                .least_weight =
                        contention_saturated(c, from) ? tree_minimum(&c->by_weight) : TREE_ABSENT,
                .slack = p->snapshot->topology->n_nodes > 1 ? c->node_penalty : 0,
        };
        if (c->even && !c->smt && pick->least_seen * a->capacity - 1 >= 0.98 * a->capacity)
                pick->least_seen = TREE_ABSENT; /* all is saturated: weights decide */
        /* Beside a thread's own sibling there may be less to see than a newcomer sees. */
        if (a->core.count > 1)
                pick->least_seen -= c->smt_weight / a->capacity;
}

/* Whether any move off FROM could gain: asked before its threads are sorted. */
static bool is_hopeless(const struct picking *pick)
{
        const struct contention *c = &pick->p->contention;
        double weight = c->cpus[pick->from].weight;

        return pick->seen - pick->least_seen + pick->slack <= (double)pick->p->params->least_gain &&
               weight - pick->least_weight <= LEAST_WEIGHT_SHARE * weight / 2;
}

static bool pick_best(struct picking *pick)
{
        struct runnables *r = &pick->p->runnables;
        const struct runnable_group *groups = r->groups + r->start[pick->from];

        runnables_sort(r, pick->from);
        for (unsigned i = 0; i < r->n_groups[pick->from]; i++)
                if (upper_bound(pick, &groups[i]) >
                    MAX(pick->best.gain, (double)pick->p->params->least_gain))
                        consider_group(pick, &groups[i]);
        return pick->best.gain > 0;
}

void balance_pass(struct planner *p, unsigned budget)
{
        struct contention *c = &p->contention;
        struct topology_range all = {0, p->snapshot->topology->n_cpus};

        while (p->n_moves < budget) {
                int from = tree_find_least(&c->sources, all, NULL);
                struct picking pick;

                if (from < 0)
                        return;
                pick_init(&pick, p, (unsigned)from);
                if (is_hopeless(&pick))
                        contention_drop_source(c, (unsigned)from);
                else if (pick_best(&pick))
                        planner_move(p, pick.best.thread, pick.best.to, MOVE_BALANCE, 0,
                                     pick.best.gain);
                else if (!chain_improve(p, (unsigned)from, CHAIN_UNBALANCED))
                        contention_drop_source(c, (unsigned)from);
        }
}
