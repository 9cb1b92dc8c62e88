/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Plans for small machines, worked out by hand. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

#define SEC  NSEC_PER_SEC
#define MSEC NSEC_PER_MSEC

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* The machine, one plan for it; the plan's moves are made when it is asked for. */
struct scene {
        struct machine m;
        struct plan plan;
};

static int set_up(void **state)
{
        *state = calloc(1, sizeof(struct scene));
        return *state ? 0 : -1;
}

static int tear_down(void **state)
{
        struct scene *s = *state;

        plan_done(&s->plan);
        free(s);
        return 0;
}

static const struct move *decide(struct scene *s)
{
        machine_settle(&s->m);
        machine_plan(&s->m, &s->plan);
        return s->plan.moves;
}

static void assert_near(double value, double expected)
{
        if (fabs(value - expected) > 1e-5)
                print_error("%.9g is not %.9g\n", value, expected);
        assert_true(fabs(value - expected) <= 1e-5);
}

static void add_hogs(struct machine *m, unsigned cpu, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                machine_add(m, cpu, 1);
}

static void test_stack_of_hogs(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 4);
        decide(s);
        assert_int_equal(s->plan.n_moves, 2);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(s->plan.moves[i].from, 0);
                assert_int_equal(s->plan.moves[i].to, 1);
                assert_int_equal(s->plan.moves[i].reason, MOVE_BALANCE);
                assert_int_equal(s->plan.moves[i].chain, 0);
        }
        assert_near((double)s->plan.moves[0].gain, 3);
        assert_near((double)s->plan.moves[0].load_from, 4);
        assert_near((double)s->plan.moves[1].load_from, 3);
        assert_near((double)s->plan.moves[1].load_to, 1);
        assert_near(s->plan.potential_before - s->plan.potential_after, 4);
        machine_apply(&s->m, &s->plan);
        s->m.now += 10 * SEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

static void test_three_and_one(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 3);
        add_hogs(&s->m, 1, 1);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_near((double)s->plan.moves[0].gain, 1);
}

static void test_settled(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 2);
        add_hogs(&s->m, 1, 1);
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

/* Thread i may run on CPU i and on CPU i + 1; two stand on the first, none on the last. */
static void make_chain(struct machine *m, unsigned n_cpus)
{
        machine_init(m, n_cpus);
        machine_add_masked(m, 0, 1, 3);
        for (unsigned i = 0; i + 1 < n_cpus; i++)
                machine_add_masked(m, i, 1, UINT64_C(3) << i);
}

static void test_chain(void **state)
{
        struct scene *s = *state;

        make_chain(&s->m, 16);
        decide(s);
        assert_int_equal(s->plan.n_moves, 15);
        for (unsigned i = 0; i < 15; i++) {
                assert_int_equal(s->plan.moves[i].reason, MOVE_CHAIN);
                assert_int_equal(s->plan.moves[i].chain, 1);
                assert_int_equal(s->plan.moves[i].from, 14 - i);
                assert_int_equal(s->plan.moves[i].to, 15 - i);
                assert_near((double)s->plan.moves[i].gain, 1);
        }
}

static void test_chain_is_never_cut(void **state)
{
        struct scene *s = *state;

        make_chain(&s->m, 64);
        s->m.params.budget = 3;
        decide(s);
        assert_int_equal(s->plan.n_moves, 63);
}

static void test_chain_needs_runnable_links(void **state)
{
        struct scene *s = *state;

        make_chain(&s->m, 8);
        s->m.threads[5].flags &= ~(unsigned)THREAD_RUNNABLE;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

static void test_smt(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 8);
        machine_group(&s->m, 2, 8, 8);
        add_hogs(&s->m, 0, 1);
        add_hogs(&s->m, 1, 1);
        add_hogs(&s->m, 2, 1);
        add_hogs(&s->m, 3, 1);
        decide(s);
        assert_int_equal(s->plan.n_moves, 2);
        assert_near((double)s->plan.moves[0].gain, 0.4);
        machine_apply(&s->m, &s->plan);
        for (unsigned core = 0; core < 4; core++)
                assert_int_equal(
                        machine_count(&s->m, 2 * core) + machine_count(&s->m, 2 * core + 1), 1);
}

/* Of a hog on a slow core beside an idle fast one nothing tells: it never waits. */
static void test_hybrid(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 4);
        s->m.seeds[2].capacity = s->m.seeds[3].capacity = 0.6F;
        add_hogs(&s->m, 2, 1);
        add_hogs(&s->m, 3, 1);
        add_hogs(&s->m, 0, 1);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].to, 1);
        assert_near((double)s->plan.moves[0].gain, 1 / 0.6 - 1);
}

static float planned_weight(const struct scene *s, unsigned i)
{
        return s->m.threads[s->plan.moves[i].thread].weight;
}

static void test_nice(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 2);
        add_hogs(&s->m, 1, 2);
        s->m.threads[0].weight = 4;
        s->m.threads[1].weight = 4;
        decide(s);
        /* 8 against 2: a heavy one goes, and a light one comes. */
        assert_int_equal(s->plan.n_moves, 2);
        assert_near((double)planned_weight(s, 0), 4);
        assert_near((double)planned_weight(s, 1), 1);
        assert_int_equal(s->plan.moves[1].to, 0);
        assert_near(s->plan.weight_before, (8. * 8 + 2. * 2) / 2);
        assert_near(s->plan.weight_after, (5. * 5 + 5. * 5) / 2);
        machine_apply(&s->m, &s->plan);
        s->m.now += 10 * SEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

/* Long queues of equal length but for two are as good as equal. */
static void test_long_queues(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 22);
        add_hogs(&s->m, 1, 20);
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
        add_hogs(&s->m, 0, 1);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
}

/* Memory that stays behind is worth a fifth of a competitor. */
static void test_home(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        machine_group(&s->m, 1, 1, 1);
        s->m.settings.balance.across_nodes = ACROSS_NODES_ALWAYS;
        add_hogs(&s->m, 0, 2);
        s->m.cpus[1].background = 0.82F;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
        s->m.threads[0].home_node = s->m.threads[1].home_node = 1;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_near((double)s->plan.moves[0].gain, 0.18 + 0.2);
}

static void test_nodes(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 4);
        machine_group(&s->m, 1, 2, 2);
        add_hogs(&s->m, 0, 3);
        s->m.threads[0].node_since = s->m.threads[1].node_since = s->m.threads[2].node_since =
                s->m.now - 100 * MSEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].to, 1);
        machine_apply(&s->m, &s->plan);
        s->m.now += 200 * MSEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_true(s->plan.moves[0].to >= 2);
        s->m.settings.balance.across_nodes = ACROSS_NODES_NEVER;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
        s->m.settings.balance.across_nodes = ACROSS_NODES_ALWAYS;
        s->m.threads[0].node_since = s->m.threads[1].node_since = s->m.threads[2].node_since =
                s->m.now;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
}

static void test_cooldown(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 2);
        s->m.threads[0].moved_at = s->m.now - 99 * MSEC;
        s->m.threads[1].moved_at = s->m.now - 499 * MSEC;
        s->m.threads[1].flags |= THREAD_COLD_MOVED;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
        s->m.now += MSEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
}

static void test_no_return(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 2);
        for (unsigned i = 0; i < 2; i++) {
                s->m.threads[i].demand = 0.3F;
                s->m.threads[i].left_at = s->m.now - 1999 * MSEC;
                s->m.threads[i].left_cpu = 1;
        }
        machine_settle(&s->m);
        s->m.threads[0].wait = s->m.threads[1].wait = 0.1F;
        machine_plan(&s->m, &s->plan);
        assert_int_equal(s->plan.n_moves, 0); /* 0.3 x 0.3 is not twice 0.05 */
        s->m.now += MSEC;
        machine_plan(&s->m, &s->plan);
        assert_int_equal(s->plan.n_moves, 1);
        s->m.now -= MSEC;
        s->m.threads[0].demand = s->m.threads[1].demand = 0.4F;
        machine_plan(&s->m, &s->plan);
        assert_int_equal(s->plan.n_moves, 1); /* 0.4 x 0.4 is */
}

static void test_draining(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 3);
        add_hogs(&s->m, 0, 3);
        s->m.cpus[1].draining = true;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].to, 2);
}

static void test_background(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 3);
        add_hogs(&s->m, 0, 2);
        s->m.cpus[1].background = 0.5F;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].to, 2);
        s->m.cpus[2].background = 1;
        s->m.cpus[1].background = 1;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

static void test_those_never_moved(void **state)
{
        static const unsigned flags[] = {
                THREAD_RUNNABLE | THREAD_FIXED,      THREAD_RUNNABLE | THREAD_HELD,
                THREAD_RUNNABLE | THREAD_LEFT_ALONE, THREAD_RUNNABLE | THREAD_IN_FLIGHT,
                THREAD_RUNNABLE | THREAD_REALTIME,   0,
        };
        struct scene *s = *state;

        for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
                machine_init(&s->m, 2);
                add_hogs(&s->m, 0, 2);
                s->m.threads[0].flags = s->m.threads[1].flags = flags[i];
                decide(s);
                assert_int_equal(s->plan.n_moves, 0);
                /* They count for those that can move. */
                add_hogs(&s->m, 0, 1);
                decide(s);
                assert_int_equal(s->plan.n_moves, 1);
                assert_int_equal(s->plan.moves[0].thread, 2);
        }
        s->m.settings.balance.realtime = true;
        s->m.threads[0].flags = THREAD_RUNNABLE | THREAD_REALTIME;
        s->m.threads[2].flags = 0;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].thread, 0);
}

static void test_switched_off(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        add_hogs(&s->m, 0, 4);
        s->m.settings.balance.unbalanced = false;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

static void make_stuck(struct machine *m)
{
        machine_init(m, 2);
        machine_balance(m, 0);
        m->cpus[1].idle = m->cpus[1].idle_now = 1;
        add_hogs(m, 0, 2);
        /* One is pinned to where it is; the kernel would have moved the other. */
        m->masks[0] = 1;
}

static void test_stuck(void **state)
{
        struct scene *s = *state;

        make_stuck(&s->m);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].thread, 1);
        assert_int_equal(s->plan.moves[0].reason, MOVE_STUCK);
        assert_near((double)s->plan.moves[0].gain, 1);
}

/* Any test of a stuck thread that fails leaves it to the kernel. */
static void test_not_stuck(void **state)
{
        struct scene *s = *state;

        for (unsigned i = 0; i < 9; i++) {
                make_stuck(&s->m);
                machine_settle(&s->m);
                if (i == 0)
                        s->m.threads[1].cpu_since = s->m.now - 249 * MSEC;
                if (i == 1)
                        s->m.threads[1].wait = 0.19F;
                if (i == 2)
                        s->m.cpus[1].idle = 0.19F;
                if (i == 3)
                        s->m.cpus[1].idle_now = 0.05F;
                if (i == 4)
                        s->m.cpus[0].idle = 0.81F;
                if (i == 5)
                        s->m.threads[1].moved_at = s->m.now - 999 * MSEC;
                if (i == 6)
                        s->m.settings.balance.stuck_threads = false;
                if (i == 7)
                        s->m.cpus[1].draining = true;
                if (i == 8)
                        s->m.threads[1].cpu_since = 0;
                machine_plan(&s->m, &s->plan);
                if (i == 8) /* a cache is stayed in at least as long as a CPU */
                        s->m.threads[1].llc_since = s->m.threads[1].node_since = 0;
                assert_int_equal(s->plan.n_moves, 0);
        }
}

/* A core whose siblings are both busy beside a core that idled: nobody waits. */
static void test_stuck_on_shared_core(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 4);
        machine_group(&s->m, 2, 4, 4);
        machine_balance(&s->m, 0);
        for (unsigned k = 2; k < 4; k++)
                s->m.cpus[k].idle = s->m.cpus[k].idle_now = 1;
        add_hogs(&s->m, 0, 1);
        add_hogs(&s->m, 1, 1);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].reason, MOVE_STUCK);
        s->m.cpus[3].idle_now = 0.9F;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

static void test_stuck_chain(void **state)
{
        struct scene *s = *state;

        make_chain(&s->m, 6);
        machine_balance(&s->m, 0);
        s->m.cpus[5].idle = s->m.cpus[5].idle_now = 1;
        decide(s);
        assert_int_equal(s->plan.n_moves, 5);
        assert_int_equal(s->plan.moves[0].to, 5);
        assert_int_equal(s->plan.moves[4].from, 0);
        s->m.threads[0].cpu_since = s->m.threads[1].cpu_since = s->m.now - 100 * MSEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

/* From CPUs that are left alone to one that the kernel balances: only by the stuck test. */
static void test_between_kinds(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        s->m.cpus[1].balanced = true;
        s->m.cpus[1].idle = s->m.cpus[1].idle_now = 1;
        add_hogs(&s->m, 0, 2);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].reason, MOVE_STUCK);
        s->m.settings.balance.stuck_threads = false;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

static void make_rotation(struct machine *m)
{
        machine_init(m, 2);
        add_hogs(m, 0, 2);
        add_hogs(m, 1, 1);
        m->threads[0].lag_sec = 0.04F;
        m->threads[1].lag_sec = 0.03F;
        m->threads[2].lag_sec = -0.07F;
}

static void test_rotate(void **state)
{
        struct scene *s = *state;

        make_rotation(&s->m);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].reason, MOVE_ROTATE);
        assert_int_equal(s->plan.moves[0].thread, 1); /* the mate, not the one furthest behind */
        assert_int_equal(s->plan.moves[0].to, 1);
        assert_near((double)s->plan.moves[0].gain, 0.11);
        assert_near(s->plan.potential_before, s->plan.potential_after);
        machine_apply(&s->m, &s->plan);
        s->m.now += 999 * MSEC;
        s->m.threads[2].lag_sec = 0.5F;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
        s->m.now += MSEC;
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_int_equal(s->plan.moves[0].thread, 1);
}

static void test_no_rotation(void **state)
{
        struct scene *s = *state;

        for (unsigned i = 0; i < 7; i++) {
                make_rotation(&s->m);
                machine_settle(&s->m);
                if (i == 0)
                        s->m.settings.balance.rotate = NSEC_INFINITY;
                if (i == 1)
                        s->m.threads[2].lag_sec = 0;
                if (i == 2)
                        s->m.threads[1].flags |= THREAD_REALTIME;
                if (i == 3)
                        s->m.threads[1].flags &= ~(unsigned)THREAD_RUNNABLE;
                if (i == 4)
                        s->m.cpus[1].draining = true;
                if (i == 5)
                        s->m.masks[1] = 1;
                if (i == 6)
                        s->m.threads[1].run_smoothed = 0.3F; /* no hog any more */
                machine_plan(&s->m, &s->plan);
                assert_int_equal(s->plan.n_moves, 0);
        }
}

static void test_rotate_speeds(void **state)
{
        struct scene *s = *state;

        machine_init(&s->m, 2);
        s->m.seeds[1].capacity = 0.6F;
        add_hogs(&s->m, 0, 1);
        add_hogs(&s->m, 1, 1);
        s->m.threads[0].lag_sec = -0.1F;
        s->m.threads[1].lag_sec = 0.1F;
        decide(s);
        assert_int_equal(s->plan.n_moves, 2);
        assert_int_equal(s->plan.moves[0].reason, MOVE_ROTATE);
        assert_int_equal(s->plan.moves[0].chain, s->plan.moves[1].chain);
        s->m.threads[0].lag_sec = 0.3F;
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
}

/* Memory of an earlier plan is used again, whatever its size. */
static void test_plan_again(void **state)
{
        struct scene *s = *state;
        void *memory;

        make_chain(&s->m, 16);
        decide(s);
        memory = s->plan.memory;
        machine_init(&s->m, 2);
        decide(s);
        assert_int_equal(s->plan.n_moves, 0);
        add_hogs(&s->m, 0, 2);
        decide(s);
        assert_int_equal(s->plan.n_moves, 1);
        assert_ptr_equal(s->plan.memory, memory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_stack_of_hogs),
                TEST(test_three_and_one),
                TEST(test_settled),
                TEST(test_chain),
                TEST(test_chain_is_never_cut),
                TEST(test_chain_needs_runnable_links),
                TEST(test_smt),
                TEST(test_hybrid),
                TEST(test_nice),
                TEST(test_long_queues),
                TEST(test_home),
                TEST(test_nodes),
                TEST(test_cooldown),
                TEST(test_no_return),
                TEST(test_draining),
                TEST(test_background),
                TEST(test_those_never_moved),
                TEST(test_switched_off),
                TEST(test_stuck),
                TEST(test_not_stuck),
                TEST(test_stuck_on_shared_core),
                TEST(test_stuck_chain),
                TEST(test_between_kinds),
                TEST(test_rotate),
                TEST(test_no_rotation),
                TEST(test_rotate_speeds),
                TEST(test_plan_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
