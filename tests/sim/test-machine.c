/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The simulated machine by itself: who runs where and for how long, and what its counters show. */

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "sim/machine.h"

#define SEC  NSEC_PER_SEC
#define MSEC NSEC_PER_MSEC

/* A machine of N CPUs with its workload, taken apart together. */
struct bench {
        struct topology *topology;
        struct workload workload;
        struct machine *machine;
};

static void bench_done(struct bench *b)
{
        machine_free(b->machine);
        workload_done(&b->workload);
        topology_free(b->topology);
}

#define _cleanup_bench_ _cleanup_(bench_done)

static void bench_init(struct bench *b, const struct topology_seed *seeds, unsigned n)
{
        *b = (struct bench){0};
        workload_init(&b->workload, 1);
        assert_int_equal(topology_new(&b->topology, seeds, n), 0);
}

/* N CPUs of one cache. */
static void bench_init_flat(struct bench *b, unsigned n)
{
        struct topology_seed seeds[64];

        assert_true(n <= ARRAY_SIZE(seeds));
        for (unsigned k = 0; k < n; k++)
                seeds[k] = (struct topology_seed){.id = k, .core = k, .capacity = 1};
        bench_init(b, seeds, n);
}

static void bench_start(struct bench *b)
{
        assert_int_equal(machine_new(&b->machine, b->topology, &b->workload, NULL), 0);
}

static void add(struct bench *b, struct task_spec spec)
{
        spec.parent = -1;
        assert_true(workload_add(&b->workload, &spec) >= 0);
}

static void add_hog(struct bench *b, unsigned cpu, int nice)
{
        add(b, (struct task_spec){
                       .kind = TASK_HOG, .cpu = cpu, .nice = nice, .home_node = TASK_NO_HOME});
}

static void run_for(struct bench *b, nsec_t span)
{
        nsec_t end = b->machine->now + span;

        while (b->machine->now < end)
                assert_int_equal(machine_step(b->machine), 0);
}

static void move_to(struct bench *b, unsigned thread, unsigned cpu)
{
        _cleanup_cpuset_ struct cpuset mask = {0};

        assert_int_equal(cpuset_add(&mask, cpu), 0);
        assert_int_equal(machine_set_mask(b->machine, thread, &mask), 0);
}

static double work_sec(const struct bench *b, unsigned task)
{
        return b->workload.tasks[task].done / (double)SEC;
}

static void assert_near(double got, double expected, double within)
{
        if (!(fabs(got - expected) <= within))
                fail_msg("%g, expected %g within %g", got, expected, within);
}

static void test_equal_shares(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 2);
        for (unsigned i = 0; i < 3; i++)
                add_hog(&b, 0, 0);
        bench_start(&b);
        run_for(&b, 9 * SEC);
        for (unsigned i = 0; i < 3; i++)
                assert_near(work_sec(&b, i), 3, 0.01);
        assert_int_equal(b.machine->cpus[0].busy_nsec, 9 * SEC);
        assert_int_equal(b.machine->cpus[1].idle_nsec, 9 * SEC);
        assert_int_equal(b.machine->n_moved + b.machine->n_kernel_moved, 0);
}

static void test_shares_by_weight(void **state)
{
        _cleanup_bench_ struct bench b;
        double heavy = machine_weight(-3), light = machine_weight(2);

        (void)state;
        bench_init_flat(&b, 1);
        add_hog(&b, 0, -3);
        add_hog(&b, 0, 2);
        bench_start(&b);
        run_for(&b, 20 * SEC);
        assert_near(work_sec(&b, 0), 20 * heavy / (heavy + light), 0.05);
        assert_near(work_sec(&b, 0) + work_sec(&b, 1), 20, 1e-6);
}

/* A thread that comes from a CPU where less was to be had has no arrears to be paid. */
static void test_newcomer_shares_at_once(void **state)
{
        _cleanup_bench_ struct bench b;
        double before;

        (void)state;
        bench_init_flat(&b, 2);
        add_hog(&b, 0, 0);
        add_hog(&b, 1, 0);
        add_hog(&b, 1, 0);
        add_hog(&b, 1, 0);
        bench_start(&b);
        run_for(&b, 6 * SEC);
        move_to(&b, 1, 0);
        before = work_sec(&b, 0);
        run_for(&b, SEC);
        assert_near(work_sec(&b, 0) - before, 0.5, 0.01);
        assert_int_equal(b.machine->n_moved, 1);
}

static void test_waiting_freezes_counters(void **state)
{
        _cleanup_bench_ struct bench b;
        const struct machine_thread *t;
        unsigned n_frozen = 0, n_jumps = 0;

        (void)state;
        bench_init_flat(&b, 1);
        add_hog(&b, 0, 0);
        add_hog(&b, 0, 0);
        bench_start(&b);
        t = &b.machine->threads[1];
        for (unsigned i = 0; i < 600; i++) {
                nsec_t run = t->run_nsec, wait = t->wait_nsec;

                run_for(&b, MSEC);
                if (t->run_nsec == run && t->wait_nsec == wait)
                        n_frozen++;
                if (t->wait_nsec != wait) {
                        n_jumps++;
                        assert_int_equal(t->wait_nsec - wait, MACHINE_SLICE_NSEC);
                }
        }
        assert_int_equal(t->run_nsec, 300 * MSEC);
        assert_int_equal(n_jumps, 100);
        assert_int_equal(n_frozen, 300);
        assert_int_equal(b.machine->cpus[0].run_delay_nsec,
                         t->wait_nsec + b.machine->threads[0].wait_nsec);
}

/* Starved for long: nothing shows until it leaves the queue, then all of it does. */
static void test_wait_shows_when_moved(void **state)
{
        _cleanup_bench_ struct bench b;
        const struct machine_thread *t;

        (void)state;
        bench_init_flat(&b, 2);
        add_hog(&b, 0, 0);
        add_hog(&b, 0, 0);
        bench_start(&b);
        t = &b.machine->threads[1];
        run_for(&b, 2 * MSEC);
        assert_int_equal(t->wait_nsec, 0);
        move_to(&b, 1, 1);
        assert_int_equal(t->wait_nsec, 2 * MSEC);
        assert_int_equal(b.machine->cpus[0].run_delay_nsec, 2 * MSEC);
        run_for(&b, MSEC);
        assert_int_equal(t->wait_nsec, 2 * MSEC);
        assert_int_equal(t->run_nsec, MSEC);
}

static void test_run_time_shows_at_ticks(void **state)
{
        _cleanup_bench_ struct bench b;
        struct machine_options options = {.timer_tick = 4 * MSEC, .kernel_reach = MACHINE_ALL};

        (void)state;
        bench_init_flat(&b, 1);
        add_hog(&b, 0, 0);
        assert_int_equal(machine_new(&b.machine, b.topology, &b.workload, &options), 0);
        run_for(&b, 3 * MSEC);
        assert_int_equal(b.machine->threads[0].run_nsec, 0);
        run_for(&b, 4 * MSEC);
        assert_int_equal(b.machine->threads[0].run_nsec, 4 * MSEC);
}

static void test_pressure_grows_only_while_someone_waits(void **state)
{
        _cleanup_bench_ struct bench b;
        double before;

        (void)state;
        bench_init_flat(&b, 2);
        add_hog(&b, 0, 0);
        add_hog(&b, 1, 0);
        bench_start(&b);
        run_for(&b, SEC);
        assert_true(b.machine->pressure_nsec == 0);
        move_to(&b, 1, 0);
        for (unsigned i = 0; i < 100; i++) {
                before = b.machine->pressure_nsec;
                run_for(&b, MSEC);
                assert_true(b.machine->pressure_nsec > before);
        }
        move_to(&b, 1, 1);
        before = b.machine->pressure_nsec;
        run_for(&b, SEC);
        assert_true(b.machine->pressure_nsec <= before);
}

/* A queued and a running thread go at once, a sleeping one when it wakes. */
static void test_masks(void **state)
{
        _cleanup_bench_ struct bench b;
        const struct machine_thread *t;
        struct cpuset none = {0};

        (void)state;
        bench_init_flat(&b, 4);
        add_hog(&b, 0, 0);
        add_hog(&b, 0, 0);
        add(&b, (struct task_spec){.kind = TASK_SLEEPER,
                                   .work = MSEC,
                                   .pause = 100 * MSEC,
                                   .home_node = TASK_NO_HOME});
        bench_start(&b);
        run_for(&b, MSEC);
        t = b.machine->threads;
        assert_int_equal(t[0].state, THREAD_RUNS);
        assert_int_equal(t[1].state, THREAD_WAITS);
        assert_int_equal(t[2].state, THREAD_SLEEPS);
        move_to(&b, 0, 1);
        move_to(&b, 1, 2);
        move_to(&b, 2, 3);
        assert_int_equal(t[0].cpu, 1);
        assert_int_equal(t[1].cpu, 2);
        assert_int_equal(t[2].cpu, 0);
        assert_int_equal(b.machine->n_moved, 2);
        run_for(&b, 200 * MSEC);
        assert_int_equal(t[2].cpu, 3);
        assert_true(b.workload.tasks[2].done > 0);
        assert_int_equal(machine_set_mask(b.machine, 0, &none), -EINVAL);
        assert_int_equal(t[0].cpu, 1);
}

/* CPUs 0 and 1 share a core, 2 the cache, 3 the node. */
static const struct topology_seed levels[] = {
        {.id = 0, .core = 0, .llc = 0, .node = 0, .capacity = 1},
        {.id = 1, .core = 0, .llc = 0, .node = 0, .capacity = 1},
        {.id = 2, .core = 1, .llc = 0, .node = 0, .capacity = 1},
        {.id = 3, .core = 0, .llc = 1, .node = 0, .capacity = 1},
        {.id = 4, .core = 0, .llc = 0, .node = 1, .capacity = 1},
};

static void test_moves_cost_work(void **state)
{
        static const unsigned cost_usec[] = {0, 20, 50, 300, 1500};

        (void)state;
        for (unsigned to = 1; to < ARRAY_SIZE(levels); to++) {
                _cleanup_bench_ struct bench b;

                bench_init(&b, levels, ARRAY_SIZE(levels));
                add_hog(&b, 0, 0);
                bench_start(&b);
                move_to(&b, 0, to);
                run_for(&b, 10 * MSEC);
                assert_near(work_sec(&b, 0), 0.010 - cost_usec[to] * 1e-6, 1e-9);
                assert_int_equal(b.machine->threads[0].run_nsec, 10 * MSEC);
        }
}

static void test_speeds(void **state)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .node = 0, .capacity = 1},
                {.id = 1, .core = 0, .node = 0, .capacity = 1},
                {.id = 2, .core = 1, .node = 0, .capacity = 0.6F},
                {.id = 3, .core = 0, .node = 1, .capacity = 1},
        };
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init(&b, seeds, ARRAY_SIZE(seeds));
        for (unsigned k = 0; k < ARRAY_SIZE(seeds); k++)
                add(&b, (struct task_spec){.kind = TASK_HOG, .cpu = k, .home_node = 0});
        bench_start(&b);
        run_for(&b, SEC);
        assert_near(work_sec(&b, 0), MACHINE_SMT_SPEED, 1e-9);
        assert_near(work_sec(&b, 1), MACHINE_SMT_SPEED, 1e-9);
        assert_near(work_sec(&b, 2), 0.6, 1e-6);
        assert_near(work_sec(&b, 3), MACHINE_REMOTE_SPEED, 1e-9);
}

static void test_sleepers_sleep(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 1);
        add(&b, (struct task_spec){.kind = TASK_SLEEPER,
                                   .work = 10 * MSEC,
                                   .pause = 30 * MSEC,
                                   .home_node = TASK_NO_HOME});
        bench_start(&b);
        run_for(&b, 40 * SEC);
        assert_near(work_sec(&b, 0), 10, 0.02);
        assert_int_equal(b.machine->cpus[0].busy_nsec + b.machine->cpus[0].idle_nsec, 40 * SEC);
        assert_near(task_demand(&b.workload.tasks[0]), 0.25, 1e-9);
        assert_true(b.machine->pressure_nsec == 0);
}

/* An open task catches up with what it missed, a periodic one leaves it out. */
static void test_periods(void **state)
{
        _cleanup_bench_ struct bench b;
        enum task_kind kinds[] = {TASK_OPEN, TASK_PERIODIC};

        (void)state;
        bench_init_flat(&b, 2);
        for (unsigned k = 0; k < 2; k++) {
                add(&b, (struct task_spec){.kind = kinds[k],
                                           .cpu = k,
                                           .work = 5 * MSEC,
                                           .pause = 20 * MSEC,
                                           .home_node = TASK_NO_HOME});
                add(&b, (struct task_spec){.kind = TASK_ONCE,
                                           .cpu = k,
                                           .nice = -19,
                                           .work = SEC,
                                           .home_node = TASK_NO_HOME});
        }
        bench_start(&b);
        run_for(&b, 10 * SEC);
        assert_near(work_sec(&b, 0), 2.5, 0.01);
        assert_true(work_sec(&b, 2) < 2.4);
        assert_near(work_sec(&b, 1), 1, 1e-9);
        assert_int_equal(b.machine->threads[1].state, THREAD_DEAD);
        assert_int_equal(b.machine->n_dead, 2);
}

static void test_barrier(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 2);
        for (unsigned i = 0; i < 3; i++)
                add(&b, (struct task_spec){.kind = TASK_BARRIER,
                                           .cpu = i / 2,
                                           .work = 10 * MSEC,
                                           .home_node = TASK_NO_HOME});
        bench_start(&b);
        run_for(&b, 20 * SEC);
        /* Two share a CPU, so that a round takes 20 ms for all three. */
        for (unsigned i = 0; i < 3; i++)
                assert_near(work_sec(&b, i), 10, 0.02);
        assert_near(nsec_to_sec(b.machine->cpus[1].idle_nsec), 10, 0.02);
}

static void test_births(void **state)
{
        _cleanup_bench_ struct bench b;
        struct task_spec child = {.kind = TASK_ONCE,
                                  .chance = TASK_EXPONENTIAL,
                                  .work = 5 * MSEC,
                                  .parent = 0,
                                  .home_node = TASK_NO_HOME};

        (void)state;
        bench_init_flat(&b, 4);
        add(&b, (struct task_spec){.kind = TASK_SLEEPER,
                                   .cpu = 2,
                                   .work = MSEC,
                                   .pause = SEC,
                                   .home_node = TASK_NO_HOME});
        workload_add_births(&b.workload, &child, 100);
        bench_start(&b);
        run_for(&b, 20 * SEC);
        assert_near((double)b.machine->n_forks, 2000, 150);
        assert_true(b.machine->n_dead > 1700);
        assert_int_equal(b.machine->cpus[0].busy_nsec, 0);
        assert_true(b.machine->cpus[2].busy_nsec > 8 * SEC);
}

/* The same seed asks for the same work, and gets it. */
static void test_same_seed_same_run(void **state)
{
        double done[2] = {0};

        (void)state;
        for (unsigned run = 0; run < 2; run++) {
                _cleanup_bench_ struct bench b;

                bench_init_flat(&b, 4);
                for (unsigned i = 0; i < 12; i++)
                        add(&b, (struct task_spec){.kind = TASK_SLEEPER,
                                                   .chance = TASK_EXPONENTIAL,
                                                   .cpu = i % 4,
                                                   .work = 7 * MSEC,
                                                   .pause = 9 * MSEC,
                                                   .home_node = TASK_NO_HOME});
                bench_start(&b);
                machine_set_balanced(b.machine, 0, 1, true);
                run_for(&b, 5 * SEC);
                for (unsigned i = 0; i < 12; i++)
                        done[run] += b.workload.tasks[i].done * (i + 1);
        }
        assert_memory_equal(&done[0], &done[1], sizeof(done[0]));
}

/* What the kernel does where it balances. */

static void test_kernel_spreads_hogs(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 8);
        for (unsigned i = 0; i < 8; i++)
                add_hog(&b, 0, 0);
        bench_start(&b);
        machine_set_balanced(b.machine, 0, 7, true);
        run_for(&b, SEC);
        for (unsigned i = 0; i < 8; i++)
                assert_near(work_sec(&b, i), 1, 0.02);
        assert_int_equal(b.machine->n_moved, 0);
        assert_int_equal(b.machine->n_kernel_moved, 7);
}

static void test_kernel_leaves_others_alone(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 8);
        for (unsigned i = 0; i < 8; i++)
                add_hog(&b, 4, 0);
        for (unsigned i = 0; i < 4; i++)
                add_hog(&b, 0, 0);
        bench_start(&b);
        machine_set_balanced(b.machine, 0, 3, true);
        run_for(&b, SEC);
        for (unsigned i = 0; i < 8; i++)
                assert_near(work_sec(&b, i), 0.125, 0.01);
        for (unsigned i = 8; i < 12; i++)
                assert_near(work_sec(&b, i), 1, 0.02);
}

static void test_kernel_wakes_only_where_it_balances(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 4);
        for (unsigned i = 0; i < 4; i++)
                add(&b, (struct task_spec){.kind = TASK_SLEEPER,
                                           .chance = TASK_REGULAR,
                                           .work = 10 * MSEC,
                                           .pause = 5 * MSEC,
                                           .home_node = TASK_NO_HOME});
        bench_start(&b);
        machine_set_balanced(b.machine, 0, 1, true);
        run_for(&b, SEC);
        assert_true(b.machine->cpus[1].busy_nsec > 800 * MSEC);
        assert_int_equal(b.machine->cpus[2].busy_nsec + b.machine->cpus[3].busy_nsec, 0);
}

static void test_kernel_shares_three_on_two(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 2);
        for (unsigned i = 0; i < 3; i++)
                add_hog(&b, 0, 0);
        bench_start(&b);
        machine_set_balanced(b.machine, 0, 1, true);
        run_for(&b, 30 * SEC);
        /* Left alone, two of them would get 15 s each. */
        for (unsigned i = 0; i < 3; i++)
                assert_true(work_sec(&b, i) > 16.5);
}

static void test_kernel_reach_ends_at_the_node(void **state)
{
        struct machine_options options = {.timer_tick = MSEC, .kernel_reach = MACHINE_NODE};
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init(&b, levels, ARRAY_SIZE(levels));
        for (unsigned i = 0; i < 6; i++)
                add_hog(&b, 0, 0);
        assert_int_equal(machine_new(&b.machine, b.topology, &b.workload, &options), 0);
        machine_set_balanced(b.machine, 0, 4, true);
        run_for(&b, SEC);
        assert_int_equal(b.machine->cpus[4].busy_nsec, 0);
        for (unsigned k = 0; k < 4; k++)
                assert_true(b.machine->cpus[k].busy_nsec > 900 * MSEC);
}

static void test_kernel_wakes_on_idle_cpus(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init_flat(&b, 4);
        for (unsigned i = 0; i < 4; i++)
                add(&b, (struct task_spec){.kind = TASK_SLEEPER,
                                           .chance = TASK_REGULAR,
                                           .work = 10 * MSEC,
                                           .pause = 5 * MSEC,
                                           .home_node = TASK_NO_HOME});
        bench_start(&b);
        machine_set_balanced(b.machine, 0, 3, true);
        run_for(&b, 10 * SEC);
        for (unsigned i = 0; i < 4; i++)
                assert_near(work_sec(&b, i), 6.6, 0.25);
}

static void test_random(void **state)
{
        struct random a, b;
        double sum = 0;

        (void)state;
        random_init(&a, 1, 2);
        random_init(&b, 2, 1);
        assert_true(random_unit(&a) != random_unit(&b));
        for (unsigned i = 0; i < 100000; i++) {
                double x = random_between(&a, 2, 3);

                assert_true(x >= 2 && x < 3);
                assert_true(random_below(&a, 5) < 5);
                sum += random_exponential(&a, 4);
        }
        assert_near(sum / 100000, 4, 0.05);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_equal_shares),
                cmocka_unit_test(test_shares_by_weight),
                cmocka_unit_test(test_newcomer_shares_at_once),
                cmocka_unit_test(test_waiting_freezes_counters),
                cmocka_unit_test(test_wait_shows_when_moved),
                cmocka_unit_test(test_run_time_shows_at_ticks),
                cmocka_unit_test(test_pressure_grows_only_while_someone_waits),
                cmocka_unit_test(test_masks),
                cmocka_unit_test(test_moves_cost_work),
                cmocka_unit_test(test_speeds),
                cmocka_unit_test(test_sleepers_sleep),
                cmocka_unit_test(test_periods),
                cmocka_unit_test(test_barrier),
                cmocka_unit_test(test_births),
                cmocka_unit_test(test_same_seed_same_run),
                cmocka_unit_test(test_kernel_spreads_hogs),
                cmocka_unit_test(test_kernel_leaves_others_alone),
                cmocka_unit_test(test_kernel_wakes_only_where_it_balances),
                cmocka_unit_test(test_kernel_shares_three_on_two),
                cmocka_unit_test(test_kernel_reach_ends_at_the_node),
                cmocka_unit_test(test_kernel_wakes_on_idle_cpus),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
