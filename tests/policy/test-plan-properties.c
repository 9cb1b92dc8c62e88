/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What every plan must be, on thousands of machines at random. A machine that fails is shrunk as
 * far as it still fails, and printed as code, with the seed: SEED=n runs from another one.
 */

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "machine.h"
#include "policy/standing.h"
#include "reference.h"

#define DEFAULT_SEED UINT64_C(20240229)
#define MSEC         NSEC_PER_MSEC
#define SEC          NSEC_PER_SEC

/* What machines of a test may have. */
enum kind {
        KIND_MASKS = 1U << 0,
        KIND_SMT = 1U << 1,
        KIND_NODES = 1U << 2,
        KIND_HYBRID = 1U << 3,
        KIND_WEIGHTS = 1U << 4,
        KIND_FLAGS = 1U << 5,    /* threads that may not move, CPUs that are closing, cooldowns */
        KIND_BALANCED = 1U << 6, /* CPUs that the kernel balances */
        KIND_LAGS = 1U << 7,
        KIND_UNIT = 1U << 8,    /* hogs only, no background */
        KIND_UNEQUAL = 1U << 9, /* no two demands or backgrounds are the same */
};

#define KIND_ALL                                                                                   \
        (KIND_MASKS | KIND_SMT | KIND_NODES | KIND_HYBRID | KIND_WEIGHTS | KIND_FLAGS |            \
         KIND_BALANCED | KIND_LAGS)

/* NULL, or what is wrong with the plan for M. */
typedef const char *property(const struct machine *m);

static void group_cpus(struct machine *m, uint64_t *random, unsigned kind)
{
        unsigned by_core = kind & KIND_SMT && random_below(random, 2) ? 2 : 1;
        unsigned by_llc = by_core * (1 + random_below(random, 4));
        unsigned by_node = by_llc * (1 + random_below(random, 3));
        unsigned n_nodes = 1 + random_below(random, kind & KIND_NODES ? 3 : 1);

        if (!(kind & KIND_NODES) && random_below(random, 2))
                by_node = by_llc *= 2;
        machine_init(m, MIN(by_node * n_nodes, MACHINE_CPUS));
        machine_group(m, by_core, by_llc, by_node);
        m->settings.balance.across_nodes = (enum across_nodes)random_below(random, 3);
        m->settings.balance.rotate = NSEC_INFINITY;
}

static void vary_cpus(struct machine *m, uint64_t *random, unsigned kind)
{
        bool hybrid = kind & KIND_HYBRID && random_below(random, 3) == 0;

        for (unsigned k = 0; k < m->n_cpus; k++) {
                /* Siblings are equal. */
                m->seeds[k].capacity = hybrid && m->seeds[k].core % 2 ? 0.6F : 1;
                if (kind & KIND_UNEQUAL || (!(kind & KIND_UNIT) && random_below(random, 8) == 0))
                        m->cpus[k].background = (float)random_share(random) / 2;
                m->cpus[k].draining = kind & KIND_FLAGS && random_below(random, 10) == 0;
                m->cpus[k].balanced = kind & KIND_BALANCED && random_below(random, 2);
                m->cpus[k].idle = (float)random_share(random);
                m->cpus[k].idle_now = (float)random_share(random);
                if (kind & KIND_LAGS && random_below(random, 4) == 0)
                        m->cpus[k].rotated_at =
                                m->now - (nsec_t)(random_share(random) * 1.5 * (double)SEC);
        }
}

static uint64_t random_mask(struct machine *m, uint64_t *random, unsigned cpu)
{
        uint64_t mask = UINT64_C(1) << cpu;

        switch (random_below(random, 4)) {
        case 0:
                return UINT64_MAX;
        case 1:
                return mask | UINT64_C(1) << (cpu + 1) % m->n_cpus;
        case 2:
                return mask | UINT64_C(1) << random_below(random, m->n_cpus) |
                       UINT64_C(1) << random_below(random, m->n_cpus);
        default:
                return mask | random_next(random);
        }
}

static nsec_t random_past(const struct machine *m, uint64_t *random)
{
        return m->now - (nsec_t)(random_share(random) * 3 * (double)SEC);
}

static void vary_flags(struct machine *m, struct snapshot_thread *t, uint64_t *random)
{
        if (random_below(random, 5) == 0)
                t->flags &= ~(unsigned)THREAD_RUNNABLE;
        if (random_below(random, 5) == 0)
                t->flags |= 1U << (1 + random_below(random, 7));
        if (random_below(random, 3) == 0)
                t->moved_at = random_past(m, random);
        if (random_below(random, 3) == 0) {
                t->left_at = random_past(m, random);
                t->left_cpu = random_below(random, m->n_cpus);
        }
        t->cpu_since = random_past(m, random);
        t->llc_since = MIN(t->cpu_since, random_past(m, random));
        t->node_since = MIN(t->llc_since, random_past(m, random));
}

static void add_threads(struct machine *m, uint64_t *random, unsigned kind)
{
        static const float weights[] = {0.25F, 0.5F, 1, 1, 1, 2, 4};
        unsigned n = random_below(random, 3 * m->n_cpus + 1);
        unsigned n_homes = 1 + random_below(random, m->n_cpus); /* few: stacks */
        bool hogs = kind & KIND_UNIT || (!(kind & KIND_UNEQUAL) && random_below(random, 2));

        for (unsigned i = 0; i < MIN(n, MACHINE_THREADS); i++) {
                unsigned cpu = random_below(random, n_homes);
                uint64_t mask = kind & KIND_MASKS ? random_mask(m, random, cpu) : UINT64_MAX;
                float demand = hogs ? 1 : (float)random_share(random);
                struct snapshot_thread *t = machine_add_masked(m, cpu, demand, mask);

                if (kind & KIND_WEIGHTS)
                        t->weight = weights[random_below(random, ARRAY_SIZE(weights))];
                if (kind & KIND_NODES && random_below(random, 4) == 0)
                        t->home_node = m->seeds[random_below(random, m->n_cpus)].node;
                if (kind & KIND_FLAGS)
                        vary_flags(m, t, random);
                if (kind & KIND_LAGS)
                        t->lag_sec = (float)(random_share(random) - 0.5);
        }
        machine_settle(m);
}

static void generate(struct machine *m, uint64_t seed, unsigned kind)
{
        uint64_t random = seed;

        group_cpus(m, &random, kind);
        vary_cpus(m, &random, kind);
        add_threads(m, &random, kind);
        if (kind & KIND_LAGS && random_below(&random, 2))
                m->settings.balance.rotate = SEC;
}

static void remove_thread(struct machine *m, unsigned thread)
{
        m->n_threads--;
        memmove(&m->threads[thread], &m->threads[thread + 1],
                (m->n_threads - thread) * sizeof(m->threads[0]));
        memmove(&m->masks[thread], &m->masks[thread + 1],
                (m->n_threads - thread) * sizeof(m->masks[0]));
}

/* Makes simplification NUMBER of *M. False past the last. */
static bool simplify(struct machine *m, unsigned number)
{
        unsigned n = m->n_threads;

        if (number < n) {
                remove_thread(m, number);
                return true;
        }
        number -= n;
        if (number == 0) {
                if (m->n_cpus > 1 && machine_count(m, m->n_cpus - 1) == 0)
                        m->n_cpus--;
                return true;
        }
        number--;
        if (number < n) {
                struct snapshot_thread *t = &m->threads[number];

                t->weight = 1;
                t->flags = THREAD_RUNNABLE;
                t->moved_at = t->left_at = 0;
                return true;
        }
        number -= n;
        if (number < n) {
                m->threads[number].demand = 1;
                return true;
        }
        number -= n;
        if (number < n) {
                m->masks[number] = UINT64_MAX;
                return true;
        }
        number -= n;
        if (number < m->n_cpus) {
                m->cpus[number].background = 0;
                m->cpus[number].draining = false;
                return true;
        }
        return false;
}

/* The smallest machine that can be had from M and still fails. */
static void shrink(struct machine *m, property *check)
{
        bool smaller = true;

        while (smaller) {
                struct machine candidate = *m;

                smaller = false;
                for (unsigned i = 0; simplify(&candidate, i); i++) {
                        /* A copy, padding included.
                         * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
                        if (memcmp(&candidate, m, sizeof(candidate)) != 0 && check(&candidate)) {
                                *m = candidate;
                                smaller = true;
                                break;
                        }
                        candidate = *m;
                }
        }
}

static uint64_t first_seed(void)
{
        const char *text = getenv("SEED");

        return text ? strtoull(text, NULL, 0) : DEFAULT_SEED;
}

static void try_machines(property *check, unsigned kind, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                uint64_t seed = first_seed() + i;
                static struct machine m;
                const char *wrong;

                generate(&m, seed, kind);
                wrong = check(&m);
                if (!wrong)
                        continue;
                fprintf(stderr, "SEED=%" PRIu64 ": %s\n", seed, wrong);
                shrink(&m, check);
                fprintf(stderr, "shrunk: %s\n", check(&m));
                machine_print(&m, stderr);
                fail_msg("SEED=%" PRIu64 ": %s", seed, wrong);
        }
}

/* CPUs idle while they have nothing to do: what the stuck test looks at. */
static void settle_idle(struct machine *m)
{
        for (unsigned k = 0; k < m->n_cpus; k++) {
                double demand = (double)m->cpus[k].background;

                for (unsigned i = 0; i < m->n_threads; i++)
                        if (m->threads[i].cpu == k)
                                demand += (double)m->threads[i].demand;
                m->cpus[k].idle = m->cpus[k].idle_now = (float)fmax(0, 1 - demand);
        }
}

/* Plans and makes the moves of *M after AFTER. Returns their number. */
static unsigned go_on(struct machine *m, nsec_t after)
{
        struct plan plan = {0};
        unsigned n;

        m->now += after;
        machine_settle(m);
        machine_plan(m, &plan);
        n = plan.n_moves;
        machine_apply(m, &plan);
        plan_done(&plan);
        return n;
}

static bool nearly(double a, double b)
{
        return fabs(a - b) <= 1e-4 * (1 + fabs(a));
}

/* Property 1, equal weights: the potential falls, and is what another way of adding it up says. */
static const char *lowers_potential(const struct machine *before)
{
        static struct machine m;
        struct plan plan = {0};
        double low = reference_potential(before), high;
        const char *wrong = NULL;

        m = *before;
        machine_plan(&m, &plan);
        machine_apply(&m, &plan);
        high = low;
        low = reference_potential(&m);
        if (!nearly(plan.potential_before - plan.potential_after, high - low))
                wrong = "the plan's potential is another one";
        else if (plan.n_moves > 0 && low >= high)
                wrong = "the plan does not lower the potential";
        else if (plan.n_moves == 0 && fabs(plan.potential_before - plan.potential_after) > 0)
                wrong = "no move changes the potential";
        plan_done(&plan);
        return wrong;
}

static bool has_chain(const struct plan *plan)
{
        for (unsigned i = 0; i < plan->n_moves; i++)
                if (plan->moves[i].reason == MOVE_CHAIN)
                        return true;
        return false;
}

/* Property 1, unequal weights: idle time is put to use, or weights are evened out. A chain may
 * trade one for the other. */
static const char *lowers_waste_or_weights(const struct machine *before)
{
        static struct machine m;
        struct plan plan = {0};
        double waste, weights;
        bool any;

        m = *before;
        machine_plan(&m, &plan);
        any = plan.n_moves > 0 && !has_chain(&plan);
        machine_apply(&m, &plan);
        plan_done(&plan);
        waste = reference_waste(&m) - reference_waste(before);
        weights = reference_weight_potential(&m) - reference_weight_potential(before);
        if (any && waste > 1e-4)
                return "the plan wastes more";
        if (any && waste > -1e-6 && weights > -1e-6)
                return "the plan neither puts idle time to use nor evens out weights";
        return NULL;
}

/* Property 2. */
static const char *reaches_matching(const struct machine *before)
{
        static struct machine m;

        m = *before;
        for (unsigned i = 0; i < 100; i++)
                if (go_on(&m, 10 * SEC) == 0)
                        return machine_busy(&m) == reference_matching(&m)
                                       ? NULL
                                       : "fewer hogs run than could";
        return "plans never end";
}

/* Property 3. */
static const char *comes_to_rest(const struct machine *before)
{
        static struct machine m;
        unsigned quiet = 0;

        m = *before;
        for (unsigned i = 0; i < 1000; i++) {
                settle_idle(&m);
                quiet = go_on(&m, 100 * MSEC) == 0 ? quiet + 1 : 0;
                if (quiet == 30) /* longer than anything is remembered */
                        return NULL;
        }
        return "plans never end";
}

static bool same_move(const struct view *a, const struct move *x, const struct view *b,
                      const struct move *y)
{
        return a->threads[x->thread].tid == b->threads[y->thread].tid && x->from == y->from &&
               x->to == y->to && x->reason == y->reason && x->chain == y->chain &&
               !(x->gain < y->gain) && !(x->gain > y->gain);
}

/* Property 4: threads and classes in another order, memory that was used before. */
static const char *ignores_order(const struct machine *m)
{
        static struct view a, b;
        struct plan x = {0}, y = {0};
        uint64_t random = m->n_threads;
        const char *wrong = NULL;

        machine_plan(m, &y);
        view_init(&a, m);
        view_init_shuffled(&b, m, &random);
        if (plan_build(&a.snapshot, &m->settings, &m->params, &x) < 0 ||
            plan_build(&b.snapshot, &m->settings, &m->params, &y) < 0)
                return "out of memory";
        if (x.n_moves != y.n_moves)
                wrong = "the number of moves depends on the order of threads";
        for (unsigned i = 0; i < x.n_moves && !wrong; i++)
                if (!same_move(&a, &x.moves[i], &b, &y.moves[i]))
                        wrong = "moves depend on the order of threads";
        plan_done(&x);
        plan_done(&y);
        view_done(&a);
        view_done(&b);
        return wrong;
}

/* Every CPU in the place of its mirror image. */
static void mirror(struct machine *m)
{
        unsigned last = m->n_cpus - 1;
        struct machine copy = *m;

        for (unsigned k = 0; k <= last; k++)
                m->cpus[k] = copy.cpus[last - k];
        for (unsigned i = 0; i < m->n_threads; i++) {
                struct snapshot_thread *t = &m->threads[i];

                t->home_node = m->seeds[last].node - t->home_node;
                t->cpu = last - t->cpu;
                t->left_cpu = last - t->left_cpu;
        }
}

static bool has_equals(const struct machine *m)
{
        for (unsigned i = 0; i < m->n_threads; i++)
                for (unsigned j = 0; j < i; j++)
                        if (nearly((double)m->threads[i].demand, (double)m->threads[j].demand))
                                return true;
        for (unsigned k = 0; k < m->n_cpus; k++)
                for (unsigned l = 0; l < k; l++)
                        if (nearly((double)m->cpus[k].background, (double)m->cpus[l].background))
                                return true;
        return false;
}

static bool is_symmetric(const struct machine *m)
{
        for (unsigned k = 0; k + 1 < m->n_cpus; k++) {
                const struct topology_seed *a = &m->seeds[k], *b = a + 1;
                const struct topology_seed *x = &m->seeds[m->n_cpus - 2 - k], *y = x + 1;

                if ((a->core == b->core) != (x->core == y->core) ||
                    (a->llc == b->llc) != (x->llc == y->llc) ||
                    (a->node == b->node) != (x->node == y->node))
                        return false;
        }
        return true;
}

/* Property 4: the machine in a mirror. Where two are equal, labels have to decide. */
static const char *ignores_labels(const struct machine *m)
{
        static struct machine mirrored;
        struct plan x = {0}, y = {0};
        unsigned last = m->n_cpus - 1;
        const char *wrong = NULL;

        if (has_equals(m) || !is_symmetric(m))
                return NULL;
        mirrored = *m;
        mirror(&mirrored);
        machine_plan(m, &x);
        machine_plan(&mirrored, &y);
        /* A chain is the first that is found, and CPUs are searched in their order. */
        if (x.n_moves != y.n_moves && !has_chain(&x) && !has_chain(&y))
                wrong = "the number of moves depends on labels";
        for (unsigned i = 0; i < MIN(x.n_moves, y.n_moves) && !wrong; i++)
                if (x.moves[i].reason == MOVE_CHAIN || y.moves[i].reason == MOVE_CHAIN)
                        break;
                else if (x.moves[i].thread != y.moves[i].thread ||
                         x.moves[i].to != last - y.moves[i].to)
                        wrong = "moves depend on labels";
        plan_done(&x);
        plan_done(&y);
        return wrong;
}

static const char *check_thread(const struct machine *m, const struct move *move)
{
        const struct snapshot_thread *t = &m->threads[move->thread];
        bool rotation = move->reason == MOVE_ROTATE;

        if (!(t->flags & THREAD_RUNNABLE) || t->flags & THREAD_IMMOVABLE)
                return "a thread that cannot be moved";
        if (t->flags & THREAD_REALTIME)
                return "a real-time thread";
        if (!rotation && t->moved_at && m->now - t->moved_at < 100 * MSEC)
                return "a thread in its cooldown";
        if (!rotation && t->moved_at && t->flags & THREAD_COLD_MOVED &&
            m->now - t->moved_at < 500 * MSEC)
                return "a thread in its long cooldown";
        if (move->from != t->cpu || move->to == move->from || move->to >= m->n_cpus)
                return "a move from or to nowhere";
        return NULL;
}

static const char *check_target(const struct machine *m, const struct move *move)
{
        const struct snapshot_cpu *from = &m->cpus[move->from], *to = &m->cpus[move->to];
        bool crosses = m->seeds[move->from].node != m->seeds[move->to].node;
        const struct snapshot_thread *t = &m->threads[move->thread];

        if (!(m->masks[move->thread] >> move->to & 1))
                return "a target outside the mask";
        if (to->draining)
                return "a target that is closing";
        if (crosses && m->settings.balance.across_nodes == ACROSS_NODES_NEVER)
                return "a move across nodes";
        if (crosses && m->settings.balance.across_nodes == ACROSS_NODES_STUCK &&
            move->reason != MOVE_ROTATE && (t->wait < 0.2F || m->now - t->node_since < 250 * MSEC))
                return "a move across nodes by a thread that is not stuck";
        if ((from->balanced || to->balanced) &&
            (move->reason == MOVE_BALANCE || move->reason == MOVE_ROTATE))
                return "meddling with CPUs that the kernel balances";
        if (move->reason == MOVE_STUCK && (to->idle < 0.2F || to->idle_now <= 0.05F))
                return "a stuck thread onto a CPU that was busy";
        if (move->reason == MOVE_STUCK && m->now - t->node_since < 250 * MSEC)
                return "a thread that is not stuck";
        return NULL;
}

/* Property 5. */
static const char *keeps_rules(const struct machine *m)
{
        bool moved[MACHINE_THREADS] = {false};
        struct plan plan = {0};
        const char *wrong = NULL;

        machine_plan(m, &plan);
        for (unsigned i = 0; i < plan.n_moves && !wrong; i++) {
                const struct move *move = &plan.moves[i];

                wrong = check_thread(m, move);
                if (!wrong)
                        wrong = check_target(m, move);
                if (!wrong && moved[move->thread])
                        wrong = "a thread that moves twice";
                moved[move->thread] = true;
        }
        plan_done(&plan);
        return wrong;
}

/* Property 1, rotation: roles change, the load of no CPU grows past what another's was. */
static const char *rotates_evenly(const struct machine *m)
{
        static struct machine after, settled;
        struct plan with = {0}, without = {0};
        const char *wrong = NULL;

        settled = *m;
        settled.settings.balance.rotate = NSEC_INFINITY;
        machine_plan(&settled, &without);
        after = *m;
        after.settings.balance.rotate = SEC;
        machine_plan(&after, &with);
        if (without.n_moves > with.n_moves)
                wrong = "rotation takes other moves away";
        for (unsigned i = without.n_moves; i < with.n_moves && !wrong; i++)
                if (with.moves[i].reason != MOVE_ROTATE || with.moves[i].gain <= 0.05F)
                        wrong = "a rotation without need";
        if (!wrong && with.potential_after > without.potential_after + 1e-9)
                wrong = "rotation raises the potential";
        plan_done(&with);
        plan_done(&without);
        return wrong;
}

/* Property 8: what waits moves about, what stays waits little. */
static const char *leaves_healthy_alone(const struct machine *before)
{
        static struct machine m;
        uint64_t random = before->n_threads;
        struct plan plan = {0};
        unsigned n;

        m = *before;
        for (unsigned k = 0; k < m.n_cpus; k++)
                m.cpus[k].balanced = true;
        for (unsigned i = 0; i < m.n_threads; i++) {
                struct snapshot_thread *t = &m.threads[i];
                bool waits = random_below(&random, 2);
                nsec_t age = random_next(&random) % (waits ? 250 * MSEC : 10 * SEC);

                t->wait = (float)random_share(&random) * (waits ? 1 : 0.19F);
                t->cpu_since = t->llc_since = t->node_since = m.now - age;
        }
        machine_plan(&m, &plan);
        n = plan.n_moves;
        plan_done(&plan);
        return n ? "a move on a healthy machine" : NULL;
}

/* Plans for M, and tells what JUDGE finds wrong with what is said of its threads before. */
static const char *judge_standings(const struct machine *m,
                                   const char *(*judge)(const struct plan *plan,
                                                        struct standings *standings))
{
        struct standings standings = {0};
        struct plan plan = {0};
        const char *wrong;
        struct view view;

        view_init(&view, m);
        if (plan_build(&view.snapshot, &m->settings, NULL, &plan) < 0 ||
            standings_init(&standings, &view.snapshot, &m->settings) < 0)
                abort();
        wrong = judge(&plan, &standings);
        standings_done(&standings);
        plan_done(&plan);
        view_done(&view);
        /* cppcheck-suppress returnDanglingLifetime ; judges return static text */
        return wrong;
}

static const char *judge_first_move(const struct plan *plan, struct standings *standings)
{
        const struct move *first = &plan->moves[0];

        if (plan->n_moves > 0 && first->chain == 0 && first->reason != MOVE_ROTATE &&
            standings_get(standings, first->thread) != STANDING_CANDIDATE)
                return "moves a thread that is said to stay";
        return NULL;
}

/* Of each thread it can be told whether the plan would move it: the first move, unless it is a
 * chain's, is of such a thread. */
static const char *tells_who_moves(const struct machine *m)
{
        return judge_standings(m, judge_first_move);
}

static const char *judge_rest(const struct plan *plan, struct standings *standings)
{
        for (unsigned i = 0; i < standings->snapshot.n_threads; i++)
                if (plan->n_moves == 0 && standings_get(standings, i) == STANDING_CANDIDATE)
                        return "does not move a thread that is said to be moved";
        return NULL;
}

/* And where nothing is moved there is none: among equals, for of unequal threads the search tries
 * only some. */
static const char *tells_who_stays(const struct machine *m)
{
        return judge_standings(m, judge_rest);
}

static void test_lowers_potential(void **state)
{
        (void)state;
        try_machines(lowers_potential, KIND_ALL & ~(KIND_WEIGHTS | KIND_LAGS), 4000);
}

static void test_lowers_waste_or_weights(void **state)
{
        (void)state;
        try_machines(lowers_waste_or_weights, KIND_MASKS | KIND_WEIGHTS | KIND_FLAGS, 4000);
}

static void test_reaches_matching(void **state)
{
        (void)state;
        try_machines(reaches_matching, KIND_UNIT | KIND_MASKS, 4000);
}

static void test_reaches_matching_of_weights(void **state)
{
        (void)state;
        try_machines(reaches_matching, KIND_UNIT | KIND_MASKS | KIND_WEIGHTS, 2000);
}

static void test_comes_to_rest(void **state)
{
        (void)state;
        try_machines(comes_to_rest, KIND_ALL & ~(KIND_LAGS | KIND_WEIGHTS), 2000);
        try_machines(comes_to_rest, KIND_ALL & ~(KIND_LAGS | KIND_NODES), 2000);
}

static void test_ignores_order(void **state)
{
        (void)state;
        try_machines(ignores_order, KIND_ALL, 3000);
}

static void test_ignores_labels(void **state)
{
        (void)state;
        try_machines(ignores_labels, KIND_UNEQUAL | KIND_SMT | KIND_NODES | KIND_WEIGHTS, 2000);
}

static void test_keeps_rules(void **state)
{
        (void)state;
        try_machines(keeps_rules, KIND_ALL, 5000);
}

static void test_rotates_evenly(void **state)
{
        (void)state;
        try_machines(rotates_evenly, KIND_UNIT | KIND_LAGS | KIND_MASKS | KIND_NODES, 3000);
}

static void test_leaves_healthy_alone(void **state)
{
        (void)state;
        try_machines(leaves_healthy_alone, KIND_MASKS | KIND_NODES | KIND_WEIGHTS, 3000);
}

static void test_tells_who_moves(void **state)
{
        (void)state;
        try_machines(tells_who_moves, KIND_ALL, 5000);
        try_machines(tells_who_moves, KIND_ALL | KIND_UNIT, 5000);
}

static void test_tells_who_stays(void **state)
{
        (void)state;
        try_machines(tells_who_stays, KIND_UNIT | KIND_MASKS | KIND_SMT | KIND_BALANCED, 5000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lowers_potential),
                cmocka_unit_test(test_lowers_waste_or_weights),
                cmocka_unit_test(test_reaches_matching),
                cmocka_unit_test(test_reaches_matching_of_weights),
                cmocka_unit_test(test_comes_to_rest),
                cmocka_unit_test(test_ignores_order),
                cmocka_unit_test(test_ignores_labels),
                cmocka_unit_test(test_keeps_rules),
                cmocka_unit_test(test_rotates_evenly),
                cmocka_unit_test(test_leaves_healthy_alone),
                cmocka_unit_test(test_tells_who_moves),
                cmocka_unit_test(test_tells_who_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
