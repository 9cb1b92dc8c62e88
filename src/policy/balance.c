/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/balance.h"

#include "policy/planner.h"

/* How many threads beside the best fit are tried when that one may not go. */
#define TRIES 8U

/* CPUs as near to the source as some distance, and the least of them, permitted or not. */
struct surroundings {
        struct topology_range range;
        double least_seen;   /* by a newcomer */
        double least_weight; /* of saturated ones */
};

/* What is looked for on one source. */
struct picking {
        struct planner *p;
        unsigned from;
        double seen;           /* there, by one that adds nothing: (1 + D + siblings) / capacity */
        double seen_saturated; /* where a newcomer sees that much weights decide */
        struct surroundings around[DISTANCE_MACHINE + 1]; /* the furthest first */
        unsigned n_around;
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
        return load->demand * MIN(1.0, load->demand * difference / load->weight) -
               contention_of_nodes(c, load, a, k);
}

/* What the thread gains by going to TO; 0 where the potential would not fall with it. */
static double gain_of(struct contention *c, const struct load *load, unsigned from, unsigned to)
{
        double gain;

        if (goes_by_weight(c, load, from, to)) {
                /* Beside CPUs of other speeds, and on the way from home, demand is weighed
                 * against other things: what is raised here would come down there, and so on
                 * for ever. */
                if ((!c->even || contention_of_nodes(c, load, from, to) > 0) &&
                    contention_change(c, load, from, to) > 0)
                        return 0;
                return gain_by_weight(c, load, from, to);
        }
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
        const struct cpu_load *x = &p->contention.cpus[a->to], *y = &p->contention.cpus[b->to];
        float heavy, other;

        if (a->gain > b->gain || a->gain < b->gain)
                return a->gain > b->gain;
        if (b->gain <= 0)
                return false; /* neither is an option */
        /* By weight light threads gain as much as heavy ones, but a heavy one ends the matter. */
        heavy = planner_thread(p, a->thread)->weight;
        other = planner_thread(p, b->thread)->weight;
        if (heavy > other || heavy < other)
                return heavy > other;
        if (a->distance != b->distance)
                return a->distance < b->distance;
        if (x->weight > y->weight || x->weight < y->weight)
                return x->weight < y->weight;
        if (a->thread != b->thread)
                return planner_thread(p, a->thread)->tid < planner_thread(p, b->thread)->tid;
        return a->to < b->to;
}

/* What the thread gains by going to TO; 0 if that is not worth it, or it may not go: *RET_BARRED is
 * then set, since another thread of the same demand might do. */
static double worth_of(struct planner *p, unsigned thread, unsigned to, enum distance distance,
                       bool *ret_barred)
{
        const struct snapshot_thread *t = planner_thread(p, thread);
        struct load load = load_of(t);
        bool by_weight = goes_by_weight(&p->contention, &load, t->cpu, to);
        double gain, least;

        *ret_barred = p->moved[thread] || !planner_may_go(p, t, distance);
        if (*ret_barred)
                return 0;
        gain = gain_of(&p->contention, &load, t->cpu, to);
        least = least_gain(p, distance);
        if (gain <= least)
                return 0;
        /* By weight a light thread gains all there is from every little difference: its gain is no
         * reason to come back so soon. */
        *ret_barred = (by_weight || gain <= 2 * least) && planner_returns(p, t, to);
        return *ret_barred ? 0 : gain;
}

bool balance_gains(struct planner *p, unsigned thread)
{
        const struct cpuset *cpus =
                &p->snapshot->classes[planner_thread(p, thread)->mask_class].cpus;
        unsigned from = planner_thread(p, thread)->cpu;
        int to;

        if (!p->contention.cpus[from].source)
                return false;
        CPUSET_FOREACH (to, cpus) {
                enum distance distance =
                        planner_distance(p->snapshot->topology, from, (unsigned)to);
                bool barred;

                if ((unsigned)to != from && p->contention.cpus[to].target &&
                    worth_of(p, thread, (unsigned)to, distance, &barred) > 0)
                        return true;
        }
        return false;
}

/* Takes the option if it is allowed, worth it, and better than the best so far. Returns false if
 * another thread of the same demand might do. */
static bool consider(struct picking *pick, unsigned thread, unsigned to)
{
        struct planner *p = pick->p;
        struct option option = {
                .thread = thread,
                .to = to,
                .distance = planner_distance(p->snapshot->topology, pick->from, to),
        };
        bool barred;

        option.gain = worth_of(p, thread, to, option.distance, &barred);
        if (option.gain > 0 && is_better(p, &option, &pick->best))
                pick->best = option;
        return !barred;
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

/* No thread of the group gains more than this where a newcomer sees LEAST_SEEN or more. */
static double bound_by_demand(const struct picking *pick, const struct runnable_group *group,
                              double least_seen)
{
        const struct runnables *r = &pick->p->runnables;
        const struct contention *c = &pick->p->contention;
        double home = group->away ? c->node_penalty : 0;
        double fit;

        if (least_seen >= pick->seen_saturated)
                return 0;
        fit = fmin(fitting_demand(pick, least_seen - home), r->demands[group->end - 1]);
        fit = fmax(fit, r->demands[group->first]);
        return fit * (pick->seen - fit / c->cpus[pick->from].capacity - least_seen + home);
}

/* The same where saturated CPUs carry LEAST_WEIGHT or more. */
static double bound_by_weight(const struct picking *pick, const struct runnable_group *group,
                              double least_weight)
{
        const struct runnables *r = &pick->p->runnables;
        const struct contention *c = &pick->p->contention;
        double room = (c->cpus[pick->from].weight - least_weight) / group->weight;
        double fit;

        if (room <= 0)
                return 0;
        fit = fmin(fmax(room / 2, room - 1), r->demands[group->end - 1]);
        fit = fmax(fit, r->demands[group->first]);
        return fit * fmin(1.0, room - fit) + (group->away ? c->node_penalty * fit : 0);
}

/* No thread with a demand of LARGEST or less gains more than this, wherever it goes. */
static double bound_of_rest(const struct picking *pick, double largest)
{
        const struct contention *c = &pick->p->contention;
        const struct cpu_load *a = &c->cpus[pick->from];
        double home = pick->p->runnables.away[pick->from] ? c->node_penalty : 0;
        double seen =
                pick->around[0].least_seen - (a->core.count - 1) * c->smt_weight / a->capacity;
        double fit = fmin(fitting_demand(pick, seen - home), largest);

        if (seen >= pick->seen_saturated)
                return largest * (1 + home); /* by weight: at most its demand */
        return fmax(largest * (1 + home), fit * (pick->seen - fit / a->capacity - seen + home));
}

/* Whether a gain of BOUND could change what is best. */
static bool is_worth_it(const struct picking *pick, double bound)
{
        return bound >= pick->best.gain && bound > (double)pick->p->params->least_gain;
}

/* What a newcomer on a sibling of the source sees is partly the thread that would come. */
static double least_on_siblings(const struct picking *pick, unsigned mask_class)
{
        const struct contention *c = &pick->p->contention;
        struct topology_range core = c->cpus[pick->from].core;
        double least = TREE_ABSENT;

        for (unsigned k = core.first; k < core.first + core.count; k++)
                if (k != pick->from &&
                    cpuset_contains(&pick->p->snapshot->classes[mask_class].cpus, k))
                        least = fmin(least, tree_get(&c->by_seen, k) -
                                                    c->smt_weight / c->cpus[k].capacity);
        return least;
}

static void consider_by_demand(struct picking *pick, const struct runnable_group *group,
                               double least)
{
        struct planner *p = pick->p;
        struct topology_range core = p->contention.cpus[pick->from].core;
        unsigned n = pick->n_around;

        for (unsigned i = 0; i < n; i++) {
                const struct surroundings *near = &pick->around[i];
                int to;

                if (!is_worth_it(pick, bound_by_demand(pick, group, fmax(least, near->least_seen))))
                        continue;
                to = reach_find(&p->by_seen, group->mask_class, near->range);
                if (to >= 0 && (unsigned)to != pick->from)
                        consider_nearest(pick, group,
                                         fitting_demand(pick, tree_get(&p->contention.by_seen, to)),
                                         to);
        }
        for (unsigned k = core.first; core.count > 1 && k < core.first + core.count; k++)
                if (k != pick->from && p->contention.cpus[k].target &&
                    cpuset_contains(&p->snapshot->classes[group->mask_class].cpus, k))
                        consider_nearest(pick, group,
                                         (p->contention.cpus[pick->from].demand -
                                          p->contention.cpus[k].demand) /
                                                 2,
                                         k);
}

static void consider_by_weight(struct picking *pick, const struct runnable_group *group,
                               double least)
{
        struct planner *p = pick->p;
        const struct cpu_load *cpus = p->contention.cpus;

        for (unsigned i = 0; i < pick->n_around; i++) {
                const struct surroundings *near = &pick->around[i];
                int to;

                if (!is_worth_it(pick,
                                 bound_by_weight(pick, group, fmax(least, near->least_weight))))
                        continue;
                to = reach_find(&p->by_weight, group->mask_class, near->range);
                if (to < 0 || (unsigned)to == pick->from ||
                    !equally_fast(&p->contention, pick->from, (unsigned)to))
                        continue;
                consider_nearest(pick, group,
                                 (cpus[pick->from].weight - cpus[to].weight) / 2 / group->weight,
                                 (unsigned)to);
        }
}

/* The same wherever it goes, whatever its mask. */
static double outermost_bound(const struct picking *pick, const struct runnable_group *group)
{
        const struct surroundings *all = &pick->around[0];
        const struct contention *c = &pick->p->contention;
        double siblings = (c->cpus[pick->from].core.count - 1) * c->smt_weight;
        double seen = all->least_seen - siblings / c->cpus[pick->from].capacity;

        return fmax(bound_by_demand(pick, group, seen),
                    bound_by_weight(pick, group, all->least_weight));
}

/* Works out anew what the group can gain at most. */
static void renew_bound(struct picking *pick, struct runnable_group *group)
{
        struct planner *p = pick->p;
        double seen = reach_bound(&p->by_seen, group->mask_class);

        if (p->contention.smt)
                seen = fmin(seen, least_on_siblings(pick, group->mask_class));
        group->least_seen = seen;
        group->least_weight = TREE_ABSENT;
        group->bound = bound_by_demand(pick, group, seen);
        if (!contention_saturated(&p->contention, pick->from))
                return;
        group->least_weight = reach_bound(&p->by_weight, group->mask_class);
        group->bound = fmax(group->bound, bound_by_weight(pick, group, group->least_weight));
}

/* Takes threads at its ends that have moved out of the group. False if none is left. */
static bool trim(const struct planner *p, struct runnable_group *group)
{
        const unsigned *threads = p->runnables.threads;

        while (group->first < group->end && p->moved[threads[group->end - 1]])
                group->end--;
        while (group->first < group->end && p->moved[threads[group->first]])
                group->first++;
        return group->first < group->end;
}

/* A group whose bound only equals the best is passed by: groups come in an order of their own, so
 * the plan does not depend on it. */
static void consider_group(struct picking *pick, struct runnable_group *group)
{
        struct planner *p = pick->p;
        double enough = fmax(pick->best.gain, (double)p->params->least_gain);

        if (group->bound <= enough && group->least_seen <= p->contention.by_seen.lowest &&
            group->least_weight <= p->contention.by_weight.lowest)
                return;
        if (!trim(p, group) || outermost_bound(pick, group) <= enough)
                return;
        renew_bound(pick, group);
        if (group->bound <= enough)
                return;
        consider_by_demand(pick, group, group->least_seen);
        if (contention_saturated(&p->contention, pick->from))
                consider_by_weight(pick, group, group->least_weight);
}

static double value_at(const struct tree *tree, int cpu)
{
        return cpu < 0 ? TREE_ABSENT : tree_get(tree, (unsigned)cpu);
}

static void add_surroundings(struct picking *pick, struct topology_range range)
{
        const struct contention *c = &pick->p->contention;

        pick->around[pick->n_around++] = (struct surroundings){
                .range = range,
                .least_seen = value_at(&c->by_seen, tree_find_least(&c->by_seen, range, NULL)),
                .least_weight =
                        value_at(&c->by_weight, tree_find_least(&c->by_weight, range, NULL)),
        };
}

static void look_around(struct picking *pick)
{
        const struct topology *t = pick->p->snapshot->topology;
        const struct topology_cpu *cpu = &t->cpus[pick->from];

        if (t->n_nodes > 1 && pick->p->settings->balance.across_nodes != ACROSS_NODES_NEVER)
                add_surroundings(pick, (struct topology_range){0, t->n_cpus});
        add_surroundings(pick, t->nodes[cpu->node]);
        if (t->llcs[cpu->llc].count < t->nodes[cpu->node].count)
                add_surroundings(pick, t->llcs[cpu->llc]);
}

static void pick_init(struct picking *pick, struct planner *p, unsigned from)
{
        const struct contention *c = &p->contention;
        const struct cpu_load *a = &c->cpus[from];
        double siblings = (a->core.count - 1) * c->smt_weight;

        *pick = (struct picking){
                .p = p,
                .from = from,
                .seen = (1 + a->demand + contention_of_siblings(c, from)) / a->capacity,
                .seen_saturated = c->even ? (1 + siblings) / a->capacity + SATURATED : TREE_ABSENT,
        };
        look_around(pick);
}

/* Whether any move off FROM could gain: asked before its threads are sorted. */
static bool is_hopeless(const struct picking *pick)
{
        const struct contention *c = &pick->p->contention;
        double weight = c->cpus[pick->from].weight;
        double seen = pick->around[0].least_seen;

        if (c->cpus[pick->from].core.count > 1)
                return false;
        return (seen >= pick->seen_saturated ||
                pick->seen - seen + c->node_penalty <= (double)pick->p->params->least_gain) &&
               (!contention_saturated(c, pick->from) ||
                weight - pick->around[0].least_weight <= LEAST_WEIGHT_SHARE * weight / 2);
}

/* Bounds hold as long as the source only loses load. */
static void check_bounds(struct picking *pick, struct runnable_group *groups, unsigned n)
{
        struct runnables *r = &pick->p->runnables;
        double weight = pick->p->contention.cpus[pick->from].weight;

        if (pick->seen > r->seen[pick->from] || weight > r->weight[pick->from])
                for (unsigned i = 0; i < n; i++)
                        groups[i].bound = (double)INFINITY;
        r->seen[pick->from] = pick->seen;
        r->weight[pick->from] = weight;
}

/* Considers the group, and remembers it if it is the best so far. */
static void try_group(struct picking *pick, struct runnable_group *groups, unsigned i)
{
        double before = pick->best.gain;

        consider_group(pick, &groups[i]);
        if (pick->best.gain > before)
                pick->p->runnables.promising[pick->from] = i;
}

static bool pick_best(struct picking *pick)
{
        struct runnables *r = &pick->p->runnables;
        struct runnable_group *groups = r->groups + r->start[pick->from];
        double least_gain_of_all = (double)pick->p->params->least_gain;
        unsigned n;

        runnables_sort(r, pick->from);
        n = r->n_groups[pick->from];
        if (n == 0)
                return false;
        check_bounds(pick, groups, n);
        /* What gained most last time sets the mark for the others. */
        try_group(pick, groups, r->promising[pick->from]);
        for (unsigned i = 0; i < n; i++) {
                if (bound_of_rest(pick, groups[i].largest) <=
                    fmax(pick->best.gain, least_gain_of_all))
                        break;
                try_group(pick, groups, i);
        }
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
