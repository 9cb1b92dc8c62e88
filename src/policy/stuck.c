/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/stuck.h"

#include "policy/planner.h"

/* The tests of a stuck thread: what it waits, and that it still does, what the target has idled,
 * smoothed and in this very tick, and how much more than where the thread is. */
#define LEAST_WAIT      0.2F
#define MOST_RUN        0.9F
#define LEAST_IDLE      0.2F
#define LEAST_IDLE_NOW  0.05F
#define LEAST_IDLE_MORE 0.2

/* A sibling this busy costs something; a core this idle was idle throughout (in grains of 10 ms).
 */
#define SIBLING_BUSY 0.5F
#define CORE_IDLE    0.95F

/* More threads than this are not looked at in one plan: the next one comes soon. */
#define MAX_LOOKED_AT 256U
#define MAX_CHAINS    8U

void stuck_layout(struct stuck_search *s, struct arena *arena, unsigned n_cpus, unsigned n_threads)
{
        ARENA_TAKE(arena, s->threads, n_threads);
        ARENA_TAKE(arena, s->targets, n_cpus);
        ARENA_TAKE(arena, s->idle_llc, n_cpus);
        ARENA_TAKE(arena, s->idle_node, n_cpus);
}

static double mean_idle(const struct snapshot *snapshot, struct topology_range range)
{
        double sum = 0;

        for (unsigned k = range.first; k < range.first + range.count; k++)
                sum += (double)snapshot->cpus[k].idle;
        return sum / range.count;
}

/* Finds the targets, and the means of the groups. */
static void find_targets(struct planner *p)
{
        const struct topology *t = p->snapshot->topology;
        struct stuck_search *s = &p->stuck;

        for (unsigned i = 0; i < t->n_llcs; i++)
                s->idle_llc[i] = mean_idle(p->snapshot, t->llcs[i]);
        for (unsigned i = 0; i < t->n_nodes; i++)
                s->idle_node[i] = mean_idle(p->snapshot, t->nodes[i]);
        s->n_targets = 0;
        for (unsigned k = 0; k < t->n_cpus; k++) {
                const struct snapshot_cpu *cpu = &p->snapshot->cpus[k];

                if (!cpu->draining && cpu->idle >= LEAST_IDLE && cpu->idle_now > LEAST_IDLE_NOW)
                        s->targets[s->n_targets++] = k;
        }
}

/* Whether a sibling of CPU is busy: threads there run at half speed without waiting. */
static bool shares_core(const struct snapshot *snapshot, unsigned cpu)
{
        struct topology_range core = snapshot->topology->cores[snapshot->topology->cpus[cpu].core];

        for (unsigned k = core.first; k < core.first + core.count; k++)
                if (k != cpu && 1 - snapshot->cpus[k].idle >= SIBLING_BUSY)
                        return true;
        return false;
}

static bool core_idled(const struct snapshot *snapshot, unsigned cpu)
{
        struct topology_range core = snapshot->topology->cores[snapshot->topology->cpus[cpu].core];

        for (unsigned k = core.first; k < core.first + core.count; k++)
                if (snapshot->cpus[k].idle < CORE_IDLE || snapshot->cpus[k].idle_now < CORE_IDLE)
                        return false;
        return true;
}

static bool lasted(const struct planner *p, nsec_t since)
{
        return since != 0 && p->snapshot->now >= since &&
               p->snapshot->now - since >= p->params->stuck;
}

static bool cooled(const struct planner *p, const struct snapshot_thread *t)
{
        nsec_t cooldown = t->flags & THREAD_COLD_MOVED ? p->params->cooldown_balanced_node
                                                       : p->params->cooldown_balanced;

        return t->moved_at == 0 || p->snapshot->now - t->moved_at >= cooldown;
}

static bool waits(const struct snapshot_thread *t)
{
        return t->wait >= LEAST_WAIT && t->run <= MOST_RUN;
}

bool stuck_is_candidate(const struct planner *p, unsigned thread)
{
        const struct snapshot_thread *t = planner_thread(p, thread);

        return !p->moved[thread] && cooled(p, t) &&
               (waits(t) || shares_core(p->snapshot, t->cpu)) &&
               (lasted(p, t->cpu_since) || lasted(p, t->llc_since) || lasted(p, t->node_since));
}

/* How much more the target idled than where the thread is: CPUs within a cache, otherwise the means
 * of the groups, for within a group the kernel sees to it. */
static double idles_more(const struct planner *p, unsigned from, unsigned to,
                         enum distance distance)
{
        const struct topology_cpu *a = &p->snapshot->topology->cpus[from];
        const struct topology_cpu *k = &p->snapshot->topology->cpus[to];

        switch (distance) {
        case DISTANCE_CORE:
        case DISTANCE_LLC:
                return (double)p->snapshot->cpus[to].idle - (double)p->snapshot->cpus[from].idle;
        case DISTANCE_NODE:
                return p->stuck.idle_llc[k->llc] - p->stuck.idle_llc[a->llc];
        case DISTANCE_MACHINE:
                return p->stuck.idle_node[k->node] - p->stuck.idle_node[a->node];
        }
        return 0;
}

static bool stayed(const struct planner *p, const struct snapshot_thread *t, enum distance distance)
{
        switch (distance) {
        case DISTANCE_CORE:
        case DISTANCE_LLC:
                return lasted(p, t->cpu_since);
        case DISTANCE_NODE:
                return lasted(p, t->llc_since);
        case DISTANCE_MACHINE:
                return lasted(p, t->node_since);
        }
        return false;
}

bool stuck_may_go(const struct planner *p, unsigned thread, unsigned cpu)
{
        const struct snapshot *s = p->snapshot;
        const struct snapshot_thread *t = planner_thread(p, thread);
        enum distance distance = planner_distance(s->topology, t->cpu, cpu);

        if (s->cpus[cpu].draining || s->cpus[cpu].idle < LEAST_IDLE ||
            s->cpus[cpu].idle_now <= LEAST_IDLE_NOW)
                return false;
        if (!stayed(p, t, distance) || !planner_may_go(p, t, distance))
                return false;
        if (!waits(t) && !(shares_core(s, t->cpu) && core_idled(s, cpu)))
                return false;
        return idles_more(p, t->cpu, cpu, distance) >= LEAST_IDLE_MORE;
}

/* What the move gains, or 0 if it is not allowed or not worth it. */
static double gain_of(struct planner *p, unsigned thread, unsigned to, enum distance distance)
{
        const struct snapshot_thread *t = planner_thread(p, thread);
        struct contention *c = &p->contention;
        struct load load = load_of(t);
        double least = (double)(distance == DISTANCE_MACHINE ? p->params->least_gain_balanced_node
                                                             : p->params->least_gain_balanced);
        double gain = load.demand * (contention_seen(c, &load, t->cpu, t->cpu) -
                                     contention_seen(c, &load, t->cpu, to));

        least = planner_needed(p, least, planner_cost_sec(distance), distance);
        if (gain <= least || (gain <= 2 * least && planner_returns(p, t, to)))
                return 0;
        return contention_change(c, &load, t->cpu, to) < 0 ? gain : 0;
}

/* The best target of THREAD into *BEST; false if there is none. */
static bool find_best(struct planner *p, unsigned thread, struct option *best)
{
        const struct snapshot *s = p->snapshot;
        unsigned from = planner_thread(p, thread)->cpu;

        *best = (struct option){.thread = thread};
        for (unsigned i = 0; i < p->stuck.n_targets; i++) {
                unsigned to = p->stuck.targets[i];
                enum distance distance = planner_distance(s->topology, from, to);
                double gain;

                /* Between CPUs that the kernel leaves alone the balance pass has decided. */
                if (to == from || (!s->cpus[from].balanced && !s->cpus[to].balanced))
                        continue;
                if (!planner_permits(p, thread, to) || !stuck_may_go(p, thread, to))
                        continue;
                gain = gain_of(p, thread, to, distance);
                if (gain > best->gain ||
                    (gain > 0 && gain >= best->gain && distance < best->distance))
                        *best = (struct option){thread, to, gain, distance};
        }
        return best->gain > 0;
}

static bool precedes(const struct planner *p, unsigned a, unsigned b)
{
        const struct snapshot_thread *x = planner_thread(p, a), *y = planner_thread(p, b);

        if (x->wait > y->wait || x->wait < y->wait)
                return x->wait > y->wait;
        return x->tid < y->tid;
}

/* Puts THREAD in its place among the worst, of which no more than MAX_LOOKED_AT are kept. */
static void keep_worst(struct stuck_search *s, const struct planner *p, unsigned thread)
{
        unsigned i;

        if (s->n_threads == MAX_LOOKED_AT) {
                if (!precedes(p, thread, s->threads[MAX_LOOKED_AT - 1]))
                        return;
                s->n_threads--;
        }
        for (i = s->n_threads++; i > 0 && precedes(p, thread, s->threads[i - 1]); i--)
                s->threads[i] = s->threads[i - 1];
        s->threads[i] = thread;
}

static void find_candidates(struct planner *p)
{
        const struct runnables *r = &p->runnables;
        unsigned n = r->start[p->snapshot->topology->n_cpus];

        p->stuck.n_threads = 0;
        for (unsigned i = 0; i < n; i++)
                if (stuck_is_candidate(p, r->threads[i]))
                        keep_worst(&p->stuck, p, r->threads[i]);
}

static bool any_balanced(const struct snapshot *snapshot)
{
        for (unsigned k = 0; k < snapshot->topology->n_cpus; k++)
                if (snapshot->cpus[k].balanced)
                        return true;
        return false;
}

/* A tick then spans a second. What waited at its begin and what idled at its end then
 * look like one, and a place that was the same at both ends may have changed in between: the next
 * tick, which comes soon, knows better. */
bool stuck_is_unclear(const struct planner *p)
{
        return p->snapshot->interval >= 2 * p->params->stuck;
}

bool stuck_begin(struct planner *p)
{
        if (!any_balanced(p->snapshot) || stuck_is_unclear(p))
                return false;
        find_targets(p);
        return p->stuck.n_targets > 0;
}

bool stuck_gains(struct planner *p, unsigned thread)
{
        struct option best;

        return stuck_is_candidate(p, thread) && find_best(p, thread, &best);
}

void stuck_pass(struct planner *p, unsigned budget)
{
        unsigned end = p->n_moves + budget, n_chains = 0;

        if (!stuck_begin(p))
                return;
        find_candidates(p);
        for (unsigned i = 0; i < p->stuck.n_threads && p->n_moves < end; i++) {
                unsigned thread = p->stuck.threads[i];
                struct option best;

                if (p->moved[thread])
                        continue;
                if (find_best(p, thread, &best))
                        planner_move(p, thread, best.to, MOVE_STUCK, 0, best.gain);
                else if (n_chains++ < MAX_CHAINS)
                        (void)chain_improve(p, planner_thread(p, thread)->cpu, CHAIN_STUCK);
        }
}
