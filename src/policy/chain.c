/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/chain.h"

#include "policy/planner.h"

#define WORD_BITS 64U

/* What is asked of one search. */
struct asked {
        struct planner *p;
        unsigned from;
        enum chain_kind kind;
        double needed;
        double needed_node;
};

/* Where a path could end. */
struct ending {
        unsigned cpu;
        unsigned thread;
        unsigned from;
        double gain;
};

void chain_layout(struct chain_search *s, struct arena *arena, unsigned n_cpus, unsigned n_classes)
{
        s->n_words = (n_cpus + WORD_BITS - 1) / WORD_BITS;
        ARENA_TAKE(arena, s->reached, s->n_words);
        ARENA_TAKE(arena, s->domain, s->n_words);
        ARENA_TAKE(arena, s->queue, n_cpus);
        ARENA_TAKE(arena, s->hops, n_cpus);
        ARENA_TAKE(arena, s->closed, n_cpus);
        ARENA_TAKE(arena, s->opened, n_classes);
        ARENA_TAKE(arena, s->fit_of_class, n_classes);
        ARENA_TAKE(arena, s->fits, n_classes);
}

void chain_init(struct planner *p)
{
        struct chain_search *s = &p->chain;

        s->number = 0;
        memset(s->closed, 0, p->snapshot->topology->n_cpus * sizeof(*s->closed));
        memset(s->opened, 0, p->snapshot->n_classes * sizeof(*s->opened));
        memset(s->fit_of_class, 0, p->snapshot->n_classes * sizeof(*s->fit_of_class));
}

static void start(struct asked *asked)
{
        struct planner *p = asked->p;
        struct chain_search *s = &p->chain;

        s->number++;
        memset(s->reached, 0, s->n_words * sizeof(*s->reached));
        memset(s->domain, 0, s->n_words * sizeof(*s->domain));
        for (unsigned cpu = 0; cpu < p->snapshot->topology->n_cpus; cpu++) {
                const struct snapshot_cpu *k = &p->snapshot->cpus[cpu];

                if (!k->draining && (asked->kind == CHAIN_STUCK || !k->balanced))
                        s->domain[cpu / WORD_BITS] |= UINT64_C(1) << (cpu % WORD_BITS);
        }
        s->reached[asked->from / WORD_BITS] |= UINT64_C(1) << (asked->from % WORD_BITS);
        s->hops[asked->from] = (struct chain_hop){.weight_counts = true};
        s->queue[0] = asked->from;
}

/* The demand that comes in on the path at CPU; at its start, what had best go out. */
static double incoming(const struct asked *asked, unsigned cpu)
{
        const struct contention *c = &asked->p->contention;
        double least = tree_minimum(&c->by_seen);

        if (cpu != asked->from)
                return load_of(planner_thread(asked->p, asked->p->chain.hops[cpu].thread)).demand;
        return isinf(least) ? 1 : (1 + c->cpus[cpu].demand - least * c->cpus[cpu].capacity) / 2;
}

static bool is_closer(const struct planner *p, const struct chain_fit *fit, unsigned thread,
                      double distance)
{
        if (distance < fit->distance || distance > fit->distance)
                return distance < fit->distance;
        return planner_thread(p, thread)->tid < planner_thread(p, fit->thread)->tid;
}

static void note_fit(struct chain_search *s, const struct planner *p, unsigned thread,
                     double distance)
{
        unsigned mask_class = planner_thread(p, thread)->mask_class;
        unsigned at = s->fit_of_class[mask_class];

        if (at >= s->n_fits || s->fits[at].mask_class != mask_class) {
                s->fit_of_class[mask_class] = s->n_fits;
                s->fits[s->n_fits++] = (struct chain_fit){thread, mask_class, distance};
        } else if (is_closer(p, &s->fits[at], thread, distance)) {
                s->fits[at].thread = thread;
                s->fits[at].distance = distance;
        }
}

static int compare_fits(const struct planner *p, const struct chain_fit *a,
                        const struct chain_fit *b)
{
        pid_t x = planner_thread(p, a->thread)->tid, y = planner_thread(p, b->thread)->tid;

        return (x > y) - (x < y);
}

/* By tid: classes have no order of their own. Few, and mostly in order. */
static void sort_fits(struct chain_search *s, const struct planner *p)
{
        for (unsigned i = 1; i < s->n_fits; i++) {
                struct chain_fit fit = s->fits[i];
                unsigned j = i;

                for (; j > 0 && compare_fits(p, &fit, &s->fits[j - 1]) < 0; j--)
                        s->fits[j] = s->fits[j - 1];
                s->fits[j] = fit;
        }
}

/* Of each class on CPU that is not opened yet: the thread that leaves CPU most nearly as it was. */
static void find_fits(const struct asked *asked, unsigned cpu)
{
        struct planner *p = asked->p;
        struct chain_search *s = &p->chain;
        const struct runnables *r = &p->runnables;
        bool must_be_stuck = asked->kind == CHAIN_STUCK && cpu == asked->from;
        double in = incoming(asked, cpu);

        s->n_fits = 0;
        for (unsigned i = r->start[cpu]; i < r->start[cpu + 1]; i++) {
                const struct snapshot_thread *t = planner_thread(p, r->threads[i]);

                if (p->moved[r->threads[i]] || s->opened[t->mask_class] == s->number)
                        continue;
                if (must_be_stuck && !stuck_is_candidate(p, r->threads[i]))
                        continue;
                note_fit(s, p, r->threads[i], fabs(load_of(t).demand - in));
        }
        sort_fits(s, p);
}

/* The change that a CPU's sums bring to the potential, if demands IN and OUT come and go. */
static double change_of_cpu(const struct contention *c, unsigned cpu, double in, double out)
{
        const struct cpu_load *k = &c->cpus[cpu];
        double demand = k->demand + in - out;
        double change = contention_of_cpu(c, cpu, demand, k->squares + in * in - out * out) -
                        contention_of_cpu(c, cpu, k->demand, k->squares);

        if (k->core.count > 1)
                change += (MIN(1.0, demand) - MIN(1.0, k->demand)) *
                          contention_of_siblings(c, cpu) / k->capacity;
        return change;
}

static double weight_change_of_cpu(const struct contention *c, unsigned cpu, double in, double out)
{
        double weight = c->cpus[cpu].weight;

        return ((weight + in - out) * (weight + in - out) - weight * weight) / 2;
}

/* The hop of THREAD from CPU on to TO. */
static struct chain_hop hop_to(const struct asked *asked, unsigned cpu, unsigned thread,
                               unsigned to)
{
        const struct planner *p = asked->p;
        const struct contention *c = &p->contention;
        const struct chain_hop *before = &p->chain.hops[cpu];
        struct load out = load_of(planner_thread(p, thread)), in = {0};
        enum distance distance = planner_distance(p->snapshot->topology, cpu, to);

        if (cpu != asked->from)
                in = load_of(planner_thread(p, before->thread));
        return (struct chain_hop){
                .from = cpu,
                .thread = thread,
                .first = cpu == asked->from ? thread : before->first,
                .depth = before->depth + 1,
                .change = before->change + change_of_cpu(c, cpu, in.demand, out.demand) +
                          contention_of_nodes(c, &out, cpu, to),
                .weight_change =
                        before->weight_change + weight_change_of_cpu(c, cpu, in.weight, out.weight),
                .cost_sec = before->cost_sec + planner_cost_sec(distance),
                .weight_counts =
                        before->weight_counts &&
                        contention_saturates(c, cpu, c->cpus[cpu].demand + in.demand - out.demand),
                .crosses = before->crosses || distance == DISTANCE_MACHINE,
        };
}

/* Whether both ends of the path are and stay busy all the time: then it goes by weight. */
static bool ends_saturated(const struct asked *asked, const struct chain_hop *hop, unsigned cpu)
{
        const struct contention *c = &asked->p->contention;
        double first = load_of(planner_thread(asked->p, hop->first)).demand;

        return c->even && contention_saturated(c, cpu) &&
               contention_saturates(c, asked->from, c->cpus[asked->from].demand - first);
}

static double gain_by_weight(const struct asked *asked, const struct chain_hop *hop, unsigned cpu)
{
        const struct contention *c = &asked->p->contention;
        double unit = (double)planner_thread(asked->p, hop->first)->weight;
        double load = load_of(planner_thread(asked->p, hop->thread)).weight;
        double change = hop->weight_change + weight_change_of_cpu(c, cpu, load, 0);

        if (!hop->weight_counts ||
            -change <= LEAST_WEIGHT_SHARE * c->cpus[asked->from].weight * unit)
                return 0;
        return MIN(1.0, -change / (unit * unit));
}

/* What the path gains if it ends with HOP on CPU. */
static double gain_of(const struct asked *asked, const struct chain_hop *hop, unsigned cpu)
{
        struct load load = load_of(planner_thread(asked->p, hop->thread));

        if (ends_saturated(asked, hop, cpu))
                return gain_by_weight(asked, hop, cpu);
        return -(hop->change + change_of_cpu(&asked->p->contention, cpu, load.demand, 0));
}

/* With siblings the changes of the path's CPUs do not add up exactly: makes the whole path in the
 * model, and takes it back. */
static bool really_gains(const struct asked *asked, unsigned cpu)
{
        struct contention *c = &asked->p->contention;
        const struct chain_hop *hops = asked->p->chain.hops;
        double before, after;

        if (!c->smt)
                return true;
        before = contention_potential(c);
        for (unsigned k = cpu; k != asked->from; k = hops[k].from) {
                struct load load = load_of(planner_thread(asked->p, hops[k].thread));

                contention_shift(c, &load, hops[k].from, k);
        }
        after = contention_potential(c);
        for (unsigned k = cpu; k != asked->from; k = hops[k].from) {
                struct load load = load_of(planner_thread(asked->p, hops[k].thread));

                contention_shift(c, &load, k, hops[k].from);
        }
        return before - after > asked->needed;
}

/* Whether the path may end with HOP on CPU, and better than at the best ending so far. */
static void consider_ending(const struct asked *asked, const struct chain_hop *hop, unsigned cpu,
                            struct ending *best)
{
        struct planner *p = asked->p;
        double gain, needed;

        if (hop->depth < 2)
                return; /* a single move: the other passes have their say on these */
        gain = gain_of(asked, hop, cpu);
        needed = planner_needed(p, hop->crosses ? asked->needed_node : asked->needed, hop->cost_sec,
                                hop->crosses ? DISTANCE_MACHINE : DISTANCE_NODE);
        if (gain <= needed || gain <= best->gain)
                return;
        if (asked->kind == CHAIN_STUCK && !stuck_may_go(p, hop->first, cpu))
                return;
        if (really_gains(asked, cpu))
                *best = (struct ending){cpu, hop->thread, hop->from, gain};
}

/* Whether THREAD may take part with a hop from CPU on to TO. */
static bool may_hop(const struct asked *asked, unsigned thread, unsigned cpu, unsigned to)
{
        const struct planner *p = asked->p;
        const struct snapshot_thread *t = planner_thread(p, thread);

        return planner_may_go(p, t, planner_distance(p->snapshot->topology, cpu, to)) &&
               !planner_returns(p, t, to);
}

/* Reaches all CPUs that the thread FIT may go on to from CPU, and looks for an ending there. */
static void open_class(const struct asked *asked, unsigned cpu, const struct chain_fit *fit,
                       unsigned *n_queued, struct ending *best)
{
        struct planner *p = asked->p;
        struct chain_search *s = &p->chain;
        const struct cpuset *set = &p->snapshot->classes[fit->mask_class].cpus;
        bool all = true;

        for (unsigned w = 0; w < MIN(s->n_words, set->n_words); w++) {
                uint64_t fresh = set->words[w] & s->domain[w] & ~s->reached[w];

                for (; fresh; fresh &= fresh - 1) {
                        unsigned to = w * WORD_BITS + (unsigned)__builtin_ctzll(fresh);

                        if (!may_hop(asked, fit->thread, cpu, to)) {
                                all = false;
                                continue;
                        }
                        s->reached[w] |= fresh & -fresh;
                        s->hops[to] = hop_to(asked, cpu, fit->thread, to);
                        s->queue[(*n_queued)++] = to;
                        consider_ending(asked, &s->hops[to], to, best);
                }
        }
        if (all)
                s->opened[fit->mask_class] = s->number;
}

/* Breadth-first from asked->from. Returns how many CPUs were queued. */
static unsigned search(const struct asked *asked, struct ending *best)
{
        struct chain_search *s = &asked->p->chain;
        unsigned n_queued = 1;

        for (unsigned i = 0; i < n_queued && best->gain <= 0; i++) {
                unsigned cpu = s->queue[i];

                find_fits(asked, cpu);
                for (unsigned j = 0; j < s->n_fits; j++)
                        open_class(asked, cpu, &s->fits[j], &n_queued, best);
        }
        return n_queued;
}

/* From the far end, so that no CPU holds two threads of the chain at a time. */
static void make_moves(const struct asked *asked, const struct ending *end)
{
        struct planner *p = asked->p;
        const struct chain_hop *hops = p->chain.hops;

        p->n_chains++;
        for (unsigned cpu = end->cpu; cpu != asked->from; cpu = hops[cpu].from)
                planner_move(p, hops[cpu].thread, cpu, MOVE_CHAIN, p->n_chains, end->gain);
}

bool chain_improve(struct planner *p, unsigned from, enum chain_kind kind)
{
        const struct plan_params *params = p->params;
        bool stuck = kind == CHAIN_STUCK;
        struct asked asked = {
                .p = p,
                .from = from,
                .kind = kind,
                .needed = (double)(stuck ? params->least_gain_balanced : params->least_gain),
                .needed_node = (double)(stuck ? params->least_gain_balanced_node
                                              : params->least_gain_node),
        };
        struct ending best = {0};
        unsigned n_queued;

        /* Another source found nothing from here, and sources come by falling load. */
        if (!stuck && p->chain.closed[from])
                return false;
        start(&asked);
        n_queued = search(&asked, &best);
        if (best.gain > 0) {
                make_moves(&asked, &best);
                return true;
        }
        if (!stuck)
                for (unsigned i = 0; i < n_queued; i++)
                        p->chain.closed[p->chain.queue[i]] = true;
        return false;
}
