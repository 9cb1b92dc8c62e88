/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/rotate.h"

#include <limits.h>

#include "policy/planner.h"
#include "policy/lag.h"

#define NONE UINT_MAX

/* Demands of hogs are estimates: a weight may be missed by so much of a thread. */
#define SLACK 0.1

void rotate_layout(struct rotate_search *s, struct arena *arena, unsigned n_cpus,
                   unsigned n_threads)
{
        ARENA_TAKE(arena, s->cpus, n_cpus);
        ARENA_TAKE(arena, s->laggards, n_cpus);
        ARENA_TAKE(arena, s->leaders, n_cpus);
        ARENA_TAKE(arena, s->place, n_cpus);
        ARENA_TAKE(arena, s->first_hog, n_cpus);
        ARENA_TAKE(arena, s->next_hog, n_threads);
}

/* Whether A is further behind than B. */
static bool lags(const struct planner *p, unsigned a, unsigned b)
{
        const struct snapshot_thread *x = planner_thread(p, a), *y = planner_thread(p, b);

        if (x->lag_sec > y->lag_sec || x->lag_sec < y->lag_sec)
                return x->lag_sec > y->lag_sec;
        return x->tid < y->tid;
}

/* Neither touched by this plan nor rotated a short while ago. */
static bool may_take_part(const struct planner *p, unsigned cpu)
{
        const struct snapshot_cpu *k = &p->snapshot->cpus[cpu];

        return !k->balanced && !p->touched[cpu] &&
               (k->rotated_at == 0 ||
                p->snapshot->now - k->rotated_at >= p->settings->balance.rotate);
}

static void add_hog(struct planner *p, unsigned thread)
{
        struct rotate_search *s = &p->rotate;
        unsigned cpu = planner_thread(p, thread)->cpu, place = s->place[cpu];

        if (place == NONE) {
                place = s->place[cpu] = s->n_cpus++;
                s->cpus[place] = (struct rotate_cpu){cpu, thread, thread};
                s->first_hog[place] = NONE;
        }
        s->next_hog[thread] = s->first_hog[place];
        s->first_hog[place] = thread;
        if (lags(p, thread, s->cpus[place].laggard))
                s->cpus[place].laggard = thread;
        if (lags(p, s->cpus[place].leader, thread))
                s->cpus[place].leader = thread;
}

static void find_hogs(struct planner *p)
{
        struct rotate_search *s = &p->rotate;

        s->n_cpus = 0;
        for (unsigned k = 0; k < p->snapshot->topology->n_cpus; k++)
                s->place[k] = NONE;
        for (unsigned i = 0; i < p->snapshot->n_threads; i++) {
                const struct snapshot_thread *t = planner_thread(p, i);

                if (lag_is_hog(t) && !(t->flags & THREAD_REALTIME) && may_take_part(p, t->cpu))
                        add_hog(p, i);
        }
}

static bool laggard_precedes(const struct planner *p, unsigned a, unsigned b)
{
        return lags(p, p->rotate.cpus[a].laggard, p->rotate.cpus[b].laggard);
}

static bool leader_precedes(const struct planner *p, unsigned a, unsigned b)
{
        return lags(p, p->rotate.cpus[b].leader, p->rotate.cpus[a].leader);
}

static void sift_down(const struct planner *p, unsigned *places, unsigned n, unsigned at,
                      bool (*precedes)(const struct planner *, unsigned, unsigned))
{
        for (;;) {
                unsigned last = at, left = 2 * at + 1, right = left + 1, place;

                if (left < n && precedes(p, places[last], places[left]))
                        last = left;
                if (right < n && precedes(p, places[last], places[right]))
                        last = right;
                if (last == at)
                        return;
                place = places[at];
                places[at] = places[last];
                places[last] = place;
                at = last;
        }
}

/* Heap sort: in place, and the order is one of threads, which qsort() could not be told. */
static void sort_places(const struct planner *p, unsigned *places, unsigned n,
                        bool (*precedes)(const struct planner *, unsigned, unsigned))
{
        for (unsigned i = n / 2; i-- > 0;)
                sift_down(p, places, n, i, precedes);
        for (unsigned end = n; end > 1; end--) {
                unsigned place = places[0];

                places[0] = places[end - 1];
                places[end - 1] = place;
                sift_down(p, places, end - 1, 0, precedes);
        }
}

static bool may_move(const struct planner *p, unsigned thread)
{
        const struct snapshot_thread *t = planner_thread(p, thread);

        return (t->flags & THREAD_RUNNABLE) && !(t->flags & (THREAD_IMMOVABLE | THREAD_REALTIME)) &&
               !p->moved[thread];
}

/* Whether THREAD may go from A to K for the sake of fairness, with a gap in lag of GAP_SEC. */
static bool may_rotate(const struct planner *p, unsigned thread, unsigned k, double gap_sec)
{
        const struct snapshot_thread *t = planner_thread(p, thread);
        enum distance distance = planner_distance(p->snapshot->topology, t->cpu, k);
        double needed = (double)p->params->rotate_lag_sec;

        if (distance == DISTANCE_MACHINE)
                needed += (double)p->params->rotate_lag_node_sec;
        return gap_sec > needed && may_move(p, thread) && !p->snapshot->cpus[k].draining &&
               planner_permits(p, thread, k) &&
               (distance != DISTANCE_MACHINE ||
                p->settings->balance.across_nodes != ACROSS_NODES_NEVER);
}

/* Whether the CPUs only change roles: the load of TO grows to what FROM's was, at most. */
static bool keeps_balance(struct planner *p, unsigned thread, unsigned to)
{
        const struct snapshot_thread *t = planner_thread(p, thread);
        struct contention *c = &p->contention;
        struct load load = load_of(t);

        return c->cpus[to].weight + load.weight <=
                       c->cpus[t->cpu].weight + SLACK * (double)t->weight &&
               contention_change(c, &load, t->cpu, to) <= SLACK;
}

/* The mate of the laggard on A that is least behind and may go to K, or NONE. */
static unsigned find_mate(struct planner *p, const struct rotate_cpu *a, unsigned k, double gap_sec)
{
        const struct rotate_search *s = &p->rotate;
        unsigned best = NONE;

        for (unsigned i = s->first_hog[s->place[a->cpu]]; i != NONE; i = s->next_hog[i])
                if (i != a->laggard && (best == NONE || lags(p, best, i)) &&
                    may_rotate(p, i, k, gap_sec) && keeps_balance(p, i, k))
                        best = i;
        return best;
}

/* Whether the laggard is alone on a core that is slower than the leader's. */
static bool may_swap(struct planner *p, const struct rotate_cpu *a, const struct rotate_cpu *k,
                     double gap_sec)
{
        const struct contention *c = &p->contention;
        const struct rotate_search *s = &p->rotate;

        return c->cpus[a->cpu].capacity < c->cpus[k->cpu].capacity &&
               s->next_hog[s->first_hog[s->place[a->cpu]]] == NONE &&
               s->next_hog[s->first_hog[s->place[k->cpu]]] == NONE &&
               may_rotate(p, a->laggard, k->cpu, gap_sec) &&
               may_rotate(p, k->leader, a->cpu, gap_sec);
}

static bool rotate_pair(struct planner *p, const struct rotate_cpu *a, const struct rotate_cpu *k,
                        double gap_sec)
{
        unsigned mate;

        if (may_swap(p, a, k, gap_sec)) {
                p->n_chains++;
                planner_move(p, k->leader, a->cpu, MOVE_ROTATE, p->n_chains, gap_sec);
                planner_move(p, a->laggard, k->cpu, MOVE_ROTATE, p->n_chains, gap_sec);
                return true;
        }
        mate = find_mate(p, a, k->cpu, gap_sec);
        if (mate == NONE)
                return false;
        planner_move(p, mate, k->cpu, MOVE_ROTATE, 0, gap_sec);
        return true;
}

/* The leader furthest ahead with whose CPU the laggard's can change roles. */
static void rotate_cpu(struct planner *p, const struct rotate_cpu *a)
{
        struct rotate_search *s = &p->rotate;

        for (unsigned i = 0; i < s->n_cpus && !p->touched[a->cpu]; i++) {
                const struct rotate_cpu *k = &s->cpus[s->leaders[i]];
                double gap_sec = (double)planner_thread(p, a->laggard)->lag_sec -
                                 (double)planner_thread(p, k->leader)->lag_sec;

                if (gap_sec <= (double)p->params->rotate_lag_sec)
                        return;
                if (k != a && !p->touched[k->cpu])
                        (void)rotate_pair(p, a, k, gap_sec);
        }
}

void rotate_pass(struct planner *p)
{
        struct rotate_search *s = &p->rotate;

        find_hogs(p);
        for (unsigned i = 0; i < s->n_cpus; i++)
                s->laggards[i] = s->leaders[i] = i;
        sort_places(p, s->laggards, s->n_cpus, laggard_precedes);
        sort_places(p, s->leaders, s->n_cpus, leader_precedes);
        for (unsigned i = 0; i < s->n_cpus; i++)
                rotate_cpu(p, &s->cpus[s->laggards[i]]);
}
