/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The yardsticks of the simulations: the free queue, and the best placement that never changes. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "sim/free.h"
#include "sim/machine.h"

#define SEC  NSEC_PER_SEC
#define MSEC NSEC_PER_MSEC

#define _cleanup_workload_ _cleanup_(workload_done)
#define _cleanup_topology_ _cleanup_(topology_freep)

static void make_topology(struct topology **ret, const struct topology_seed *seeds, unsigned n)
{
        assert_int_equal(topology_new(ret, seeds, n), 0);
}

static void make_flat(struct topology **ret, unsigned n)
{
        struct topology_seed seeds[16];

        assert_true(n <= ARRAY_SIZE(seeds));
        for (unsigned k = 0; k < n; k++)
                seeds[k] = (struct topology_seed){.id = k, .core = k, .capacity = 1};
        make_topology(ret, seeds, n);
}

/* A hog that may use CPUs FIRST to LAST. */
static void add_hog(struct workload *w, int nice, int home_node, unsigned first, unsigned last)
{
        _cleanup_cpuset_ struct cpuset mask = {0};
        struct task_spec spec = {
                .kind = TASK_HOG, .nice = nice, .home_node = home_node, .parent = -1};

        assert_int_equal(cpuset_add_range(&mask, first, last), 0);
        spec.mask = mask;
        spec.cpu = first;
        assert_true(workload_add(w, &spec) >= 0);
}

static void add_plain_hog(struct workload *w, int nice)
{
        struct task_spec spec = {
                .kind = TASK_HOG, .nice = nice, .home_node = TASK_NO_HOME, .parent = -1};

        assert_true(workload_add(w, &spec) >= 0);
}

static void assert_work(const struct workload *w, unsigned task, double expected_sec)
{
        double got = w->tasks[task].done / (double)SEC;

        if (!(fabs(got - expected_sec) < 0.03))
                fail_msg("task %u: %g s, expected %g", task, got, expected_sec);
}

static void test_equal_shares(void **state)
{
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;

        (void)state;
        make_flat(&t, 2);
        workload_init(&w, 1);
        for (unsigned i = 0; i < 3; i++)
                add_plain_hog(&w, 0);
        assert_int_equal(free_serve(&w, t, 9 * SEC), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_work(&w, i, 6);
}

/* By weight, but nobody gets more than one CPU. */
static void test_shares_by_weight(void **state)
{
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;

        (void)state;
        make_flat(&t, 2);
        workload_init(&w, 1);
        add_plain_hog(&w, -10);
        add_plain_hog(&w, 0);
        add_plain_hog(&w, 0);
        assert_int_equal(free_serve(&w, t, 10 * SEC), 0);
        assert_work(&w, 0, 10);
        assert_work(&w, 1, 5);
        assert_work(&w, 2, 5);
}

/* In the very first step no CPU is idle: who may run elsewhere makes room for who may not. */
static void test_masks_are_matched(void **state)
{
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;

        (void)state;
        make_flat(&t, 3);
        workload_init(&w, 1);
        add_hog(&w, 0, TASK_NO_HOME, 0, 2);
        add_hog(&w, 0, TASK_NO_HOME, 0, 1);
        add_hog(&w, 0, TASK_NO_HOME, 0, 0);
        assert_int_equal(free_serve(&w, t, MSEC), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_true(fabs(w.tasks[i].done - (double)MSEC) < 1);
}

static void test_masked_tasks_share(void **state)
{
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;

        (void)state;
        make_flat(&t, 3);
        workload_init(&w, 1);
        add_hog(&w, 0, TASK_NO_HOME, 0, 2);
        add_hog(&w, 0, TASK_NO_HOME, 0, 2);
        add_hog(&w, 0, TASK_NO_HOME, 0, 1);
        add_hog(&w, 0, TASK_NO_HOME, 0, 0);
        assert_int_equal(free_serve(&w, t, 4 * SEC), 0);
        for (unsigned i = 0; i < 4; i++)
                assert_work(&w, i, 3);
}

/* Who has slept long has no claim to more than its share now. */
static void test_sleep_earns_nothing(void **state)
{
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;
        struct task_spec spec = {.kind = TASK_SLEEPER,
                                 .work = SEC,
                                 .pause = 4 * SEC,
                                 .home_node = TASK_NO_HOME,
                                 .parent = -1};

        (void)state;
        make_flat(&t, 1);
        workload_init(&w, 1);
        add_plain_hog(&w, 0);
        assert_true(workload_add(&w, &spec) >= 0);
        /* A round is two seconds of sharing and four of sleep. */
        assert_int_equal(free_serve(&w, t, 60 * SEC), 0);
        assert_true(w.tasks[1].done < 10.7 * (double)SEC);
        assert_true(w.tasks[1].done > 9.3 * (double)SEC);
}

static void test_whole_cores_first(void **state)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 1},
                {.id = 1, .core = 0, .capacity = 1},
                {.id = 2, .core = 1, .capacity = 1},
                {.id = 3, .core = 1, .capacity = 1},
        };
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload two, three;

        (void)state;
        make_topology(&t, seeds, ARRAY_SIZE(seeds));
        workload_init(&two, 1);
        workload_init(&three, 1);
        for (unsigned i = 0; i < 2; i++)
                add_plain_hog(&two, 0);
        for (unsigned i = 0; i < 3; i++)
                add_plain_hog(&three, 0);
        assert_int_equal(free_serve(&two, t, 2 * SEC), 0);
        assert_work(&two, 0, 2);
        assert_work(&two, 1, 2);
        assert_int_equal(free_serve(&three, t, 3 * SEC), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_work(&three, i, 1 + 2 * MACHINE_SMT_SPEED);
}

static void test_fast_cpus_are_shared(void **state)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 0.5F},
                {.id = 1, .core = 1, .capacity = 1},
                {.id = 2, .core = 2, .capacity = 0.5F},
        };
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;

        (void)state;
        make_topology(&t, seeds, ARRAY_SIZE(seeds));
        workload_init(&w, 1);
        add_plain_hog(&w, 0);
        add_plain_hog(&w, 0);
        assert_int_equal(free_serve(&w, t, 4 * SEC), 0);
        assert_work(&w, 0, 3);
        assert_work(&w, 1, 3);
}

static void test_memory_is_near(void **state)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .node = 0, .capacity = 1},
                {.id = 1, .core = 0, .node = 1, .capacity = 1},
        };
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;

        (void)state;
        make_topology(&t, seeds, ARRAY_SIZE(seeds));
        workload_init(&w, 1);
        for (int i = 0; i < 2; i++) {
                struct task_spec spec = {.kind = TASK_HOG, .home_node = 1 - i, .parent = -1};

                assert_true(workload_add(&w, &spec) >= 0);
        }
        assert_int_equal(free_serve(&w, t, 2 * SEC), 0);
        assert_work(&w, 0, 2);
        assert_work(&w, 1, 2);
}

/* A CPU that is done early in a step takes the next task. */
static void test_nothing_is_left_idle(void **state)
{
        _cleanup_topology_ struct topology *t = NULL;
        _cleanup_workload_ struct workload w;
        struct task_spec spec = {.kind = TASK_SLEEPER,
                                 .work = 300 * NSEC_PER_USEC,
                                 .pause = 100 * NSEC_PER_USEC,
                                 .home_node = TASK_NO_HOME,
                                 .parent = -1};

        (void)state;
        make_flat(&t, 1);
        workload_init(&w, 1);
        for (unsigned i = 0; i < 3; i++)
                assert_true(workload_add(&w, &spec) >= 0);
        assert_int_equal(free_serve(&w, t, 2 * SEC), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_work(&w, i, 0.6);
}

static void test_placement(void **state)
{
        static const double demands[] = {0.9, 0.5, 0.5, 0.4, 0.4, 0.3};
        _cleanup_workload_ struct workload w;
        unsigned cpus[ARRAY_SIZE(demands) + 1];
        double loads[3] = {0};

        (void)state;
        workload_init(&w, 1);
        for (size_t i = 0; i < ARRAY_SIZE(demands); i++) {
                struct task_spec spec = {.kind = TASK_SLEEPER,
                                         .work = (nsec_t)(demands[i] * (double)MSEC),
                                         .pause = (nsec_t)((1 - demands[i]) * (double)MSEC),
                                         .home_node = TASK_NO_HOME,
                                         .parent = -1};

                assert_true(workload_add(&w, &spec) >= 0);
        }
        assert_int_equal(free_place(&w, 3, cpus), 0);
        for (size_t i = 0; i < ARRAY_SIZE(demands); i++)
                loads[cpus[i]] += demands[i];
        for (size_t k = 0; k < ARRAY_SIZE(loads); k++)
                assert_true(fabs(loads[k] - 1) < 0.11);
        /* A mask is heeded. */
        add_hog(&w, 0, TASK_NO_HOME, 2, 2);
        assert_int_equal(free_place(&w, 3, cpus), 0);
        assert_int_equal(cpus[ARRAY_SIZE(demands)], 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_equal_shares),
                cmocka_unit_test(test_shares_by_weight),
                cmocka_unit_test(test_masks_are_matched),
                cmocka_unit_test(test_masked_tasks_share),
                cmocka_unit_test(test_sleep_earns_nothing),
                cmocka_unit_test(test_whole_cores_first),
                cmocka_unit_test(test_fast_cpus_are_shared),
                cmocka_unit_test(test_memory_is_near),
                cmocka_unit_test(test_nothing_is_left_idle),
                cmocka_unit_test(test_placement),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
