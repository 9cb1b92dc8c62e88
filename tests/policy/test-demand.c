/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The estimator on the counters of a kernel whose clock is made up: they freeze while a thread
 * waits, and its run delay jumps when it next arrives on the CPU. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/macro.h"
#include "policy/demand.h"

#define STEP_SEC 0.0005

/* A thread that shares a CPU with others: it runs when it is its turn. */
struct clocked {
        double run_sec, wait_sec; /* as the kernel tells them */
        double waiting_sec;       /* not told yet */
        double seen_run_sec, seen_wait_sec;
        struct demand demand;
};

static void step(struct clocked *t, bool wants, bool runs)
{
        if (!wants)
                return;
        if (runs) {
                t->wait_sec += t->waiting_sec;
                t->waiting_sec = 0;
                t->run_sec += STEP_SEC;
        } else {
                t->waiting_sec += STEP_SEC;
        }
}

static void sample(struct clocked *t, double interval_sec, bool runnable, double half_life_sec)
{
        struct demand_sample sample = {
                .interval_sec = interval_sec,
                .run_sec = t->run_sec - t->seen_run_sec,
                .wait_sec = t->wait_sec - t->seen_wait_sec,
                .runnable = runnable,
        };

        demand_update(&t->demand, &sample, half_life_sec);
        t->seen_run_sec = t->run_sec;
        t->seen_wait_sec = t->wait_sec;
}

static void assert_between(double value, double low, double high, const char *what, double tick,
                           double slice)
{
        if (value < low || value > high)
                print_error("%s = %.4f at ticks of %g s and slices of %g s\n", what, value, tick,
                            slice);
        assert_true(value >= low && value <= high);
}

/* Two hogs take turns on one CPU. */
static void run_pair(double tick_sec, double slice_sec, double half_life_sec)
{
        struct clocked pair[2] = {0};
        long steps_a_tick = lround(tick_sec / STEP_SEC),
             steps_a_slice = lround(slice_sec / STEP_SEC);
        double end_sec = MAX(5 * half_life_sec, 5 * tick_sec) + 5;
        double settled_sec = MAX(5 * half_life_sec, 5 * tick_sec);
        long n = 0;

        demand_init(&pair[0].demand, true);
        demand_init(&pair[1].demand, true);
        while ((double)n * STEP_SEC < end_sec) {
                for (unsigned i = 0; i < 2; i++)
                        step(&pair[i], true, (n / steps_a_slice) % 2 == i);
                if (++n % steps_a_tick != 0)
                        continue;
                for (unsigned i = 0; i < 2; i++)
                        sample(&pair[i], tick_sec, true, half_life_sec);
                if ((double)n * STEP_SEC < settled_sec)
                        continue;
                for (unsigned i = 0; i < 2; i++)
                        assert_between((double)demand_value(&pair[i].demand), 0.95, 1, "demand",
                                       tick_sec, slice_sec);
                assert_between((double)demand_value(&pair[0].demand) +
                                       (double)demand_value(&pair[1].demand),
                               1.9, 2, "sum", tick_sec, slice_sec);
        }
}

static const double ticks_sec[] = {0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1};
static const double slices_sec[] = {0.001, 0.003, 0.004, 0.01, 0.03, 0.1};

static void test_pair_of_hogs(void **state)
{
        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(ticks_sec); i++)
                for (unsigned j = 0; j < ARRAY_SIZE(slices_sec); j++) {
                        run_pair(ticks_sec[i], slices_sec[j], DEMAND_HALF_LIFE_UNBALANCED);
                        run_pair(ticks_sec[i], slices_sec[j], DEMAND_HALF_LIFE_BALANCED);
                }
}

static void test_new_thread(void **state)
{
        struct demand demand;

        (void)state;
        demand_init(&demand, true);
        assert_true(demand_value(&demand) >= 1);
        demand_init(&demand, false);
        assert_true(demand_value(&demand) <= 0);
}

/* Taken for a hog at first, it is known after one sample not to be one. */
static void test_new_thread_that_sleeps(void **state)
{
        struct demand_sample first = {.interval_sec = 0.02, .run_sec = 0.002};
        struct demand demand;

        (void)state;
        demand_init(&demand, true);
        demand_update(&demand, &first, DEMAND_HALF_LIFE_UNBALANCED);
        assert_true(demand_value(&demand) < 0.2F);
}

/* Nothing runs it for 10 s: then all of its waiting is told in one jump. */
static void test_starved(void **state)
{
        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(ticks_sec); i++) {
                struct clocked t = {0};
                double tick = ticks_sec[i];

                demand_init(&t.demand, true);
                for (double now = 0; now < 10; now += tick) {
                        t.waiting_sec += tick;
                        sample(&t, tick, true, DEMAND_HALF_LIFE_UNBALANCED);
                        assert_between((double)demand_value(&t.demand), 0.95, 1, "starved", tick,
                                       0);
                }
                /* Alone at last. */
                t.wait_sec += t.waiting_sec;
                for (unsigned n = 0; n < 20; n++) {
                        t.run_sec += tick;
                        sample(&t, tick, true, DEMAND_HALF_LIFE_UNBALANCED);
                        assert_between((double)demand_value(&t.demand), 0.95, 1, "demand", tick, 0);
                        assert_true(demand_wait(&t.demand) <=
                                    (float)exp2(-(n + 1) * tick / DEMAND_HALF_LIFE_UNBALANCED) +
                                            0.001F);
                }
        }
}

/* Told late, the wait must not outlive what was waited: the thread sleeps most of the time now. */
static void test_late_jump(void **state)
{
        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(ticks_sec); i++) {
                struct clocked t = {0};
                double tick = ticks_sec[i];

                demand_init(&t.demand, true);
                for (double now = 0; now < 10; now += tick) {
                        t.waiting_sec += tick;
                        sample(&t, tick, true, DEMAND_HALF_LIFE_UNBALANCED);
                }
                t.wait_sec += t.waiting_sec;
                for (double now = 0; now < 5 * DEMAND_HALF_LIFE_UNBALANCED; now += tick) {
                        t.run_sec += 0.3 * tick;
                        sample(&t, tick, false, DEMAND_HALF_LIFE_UNBALANCED);
                }
                assert_between((double)demand_value(&t.demand), 0.25, 0.35, "late", tick, 0);
        }
}

/* A sleeper's demand is what it runs, alone and beside a hog. */
static void test_sleeper(void **state)
{
        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(ticks_sec); i++) {
                struct clocked t = {0};
                double tick = ticks_sec[i];

                demand_init(&t.demand, false);
                for (unsigned n = 0; n < 10 + 1 / tick; n++) {
                        t.run_sec += 0.3 * tick;
                        sample(&t, tick, false, DEMAND_HALF_LIFE_UNBALANCED);
                }
                assert_between((double)demand_value(&t.demand), 0.285, 0.315, "alone", tick, 0);
                for (unsigned n = 0; n < 10 + 1 / tick; n++) {
                        /* Half of its time it waits: what it wants of the rest stays the same. */
                        t.run_sec += 0.15 * tick;
                        t.wait_sec += 0.5 * tick;
                        sample(&t, tick, n % 2, DEMAND_HALF_LIFE_UNBALANCED);
                }
                assert_between((double)demand_value(&t.demand), 0.285, 0.315, "crowded", tick, 0);
        }
}

/* It ran and stopped: within 5 half-lives it is no hog any more. */
static void test_forgets(void **state)
{
        struct demand_sample hog = {.interval_sec = 0.02, .run_sec = 0.02, .runnable = true};
        struct demand_sample idle = {.interval_sec = 0.02};
        struct demand demand;

        (void)state;
        demand_init(&demand, true);
        for (unsigned i = 0; i < 100; i++)
                demand_update(&demand, &hog, DEMAND_HALF_LIFE_UNBALANCED);
        for (unsigned i = 0; i < 25; i++)
                demand_update(&demand, &idle, DEMAND_HALF_LIFE_UNBALANCED);
        assert_true(demand_value(&demand) < 0.05F);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pair_of_hogs),
                cmocka_unit_test(test_new_thread),
                cmocka_unit_test(test_new_thread_that_sleeps),
                cmocka_unit_test(test_starved),
                cmocka_unit_test(test_late_jump),
                cmocka_unit_test(test_sleeper),
                cmocka_unit_test(test_forgets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
