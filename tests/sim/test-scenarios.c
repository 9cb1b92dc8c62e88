/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The unchanged engine on simulated machines: the goals that are exact, in a few seconds of
 * simulated time each. The others are figures, which `balancerd-sim --all` prints.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/macro.h"
#include "sim/run.h"
#include "sim/verdict.h"

#define SEC  NSEC_PER_SEC
#define MSEC NSEC_PER_MSEC

/* So many decisions of a run are kept. */
#define KEPT_MAX 2048U

struct log {
        struct decision decisions[KEPT_MAX];
        unsigned n;
};

static void keep(const struct decision *decision, void *userdata)
{
        struct log *log = userdata;

        if (log->n < KEPT_MAX)
                log->decisions[log->n++] = *decision;
}

static int setup(void **state)
{
        char path[] = "/tmp/test-scenarios-XXXXXX";
        _cleanup_close_ int fd = -1;
        struct ledger *ledger;

        if (!mkdtemp(path))
                return -1;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || ledger_open(&ledger, fd, 4096, 1024) < 0)
                return -1;
        (void)unlinkat(fd, "ledger", 0);
        (void)rmdir(path);
        *state = ledger;
        return 0;
}

static int teardown(void **state)
{
        ledger_free(*state);
        return 0;
}

/* One run; LOG may be NULL. */
static struct run_result run(void **state, const char *name, uint64_t seed, nsec_t duration,
                             const char *rotate, struct log *log)
{
        const struct scenario *scenario = scenario_find(name);
        struct run_options options = {
                .mode = RUN_BALANCERD,
                .seed = seed,
                .duration = duration,
                .ledger = *state,
                .on_decision = log ? keep : NULL,
                .userdata = log,
        };
        const char *expected = NULL;
        struct run_result result;

        assert_non_null(scenario);
        settings_init(&options.settings);
        assert_int_equal(settings_set(&options.settings, "balance.rotate", rotate, &expected), 0);
        if (log)
                log->n = 0;
        assert_int_equal(run_scenario(scenario, &options, &result), 0);
        assert_int_equal(result.n_not_given_back, 0);
        assert_int_equal(result.n_reported, result.n_moves);
        return result;
}

static void test_stacked_hogs_move_once_each(void **state)
{
        for (uint64_t seed = 1; seed <= 3; seed++) {
                struct run_result result = run(state, "stacked-8", seed, 10 * SEC, "1s", NULL);

                assert_int_equal(result.n_moves, 7);
                assert_true(result.last_move <= 60 * MSEC);
                assert_true(result.fair > 0.98);
        }
}

/* Two plans, for the budget of one is 32 moves: the second comes at the next tick, whether or not
 * the first sight of the threads told that they wait. */
static void test_64_stacked_hogs(void **state)
{
        static const char *const names[] = {"stacked-64", "bare-64"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct run_result result = run(state, names[i], 1, 5 * SEC, "1s", NULL);

                assert_int_equal(result.n_moves, 63);
                assert_true(result.last_move <= 60 * MSEC);
                /* Less than 2,500 ms of CPU time lost, of 64 CPUs for five seconds. */
                assert_true(result.eff > 1 - 2.5 / (64 * 5));
        }
}

static void test_chain_is_one_plan(void **state)
{
        struct log log;
        struct run_result result = run(state, "chain-16", 1, 5 * SEC, "1s", &log);

        assert_int_equal(result.n_moves, 15);
        assert_int_equal(log.n, 15);
        for (unsigned i = 0; i < log.n; i++) {
                assert_int_equal(log.decisions[i].reason, MOVE_CHAIN);
                assert_int_equal(log.decisions[i].at, log.decisions[0].at);
                assert_int_equal(log.decisions[i].chain, log.decisions[0].chain);
        }
}

static void test_siblings_are_parted(void **state)
{
        struct run_result result = run(state, "smt", 1, 5 * SEC, "1s", NULL);

        assert_int_equal(result.n_moves, 4);
        assert_true(result.last_move <= 1100 * MSEC);
}

/* Where the kernel balances and all is well, nothing is touched. */
static void test_healthy_kernel_is_left_alone(void **state)
{
        static const char *const names[] = {"k1-mix", "k1-sleepers", "k1-bursts", "k1-forks"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                for (uint64_t seed = 1; seed <= 2; seed++)
                        assert_int_equal(run(state, names[i], seed, 10 * SEC, "1s", NULL).n_moves,
                                         0);
}

/* Where it has a defect, as many move as are wrong, each of them once. */
static void test_kernel_defect_is_mended(void **state)
{
        struct run_result result = run(state, "k1-nodes", 1, 5 * SEC, "1s", NULL);

        assert_int_equal(result.n_moves, 6);
        assert_true(result.last_move <= SEC);
}

/* Property 3 of the policy study: no noise, no rotation, and soon there is nothing to do, for good.
 */
static void test_comes_to_rest(void **state)
{
        static const char *const names[] = {"stacked-8",     "chain-16", "smt",
                                            "rotate-9-on-8", "hybrid",   "nice"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct run_result result = run(state, names[i], 1, 10 * SEC, "off", NULL);

                assert_true(result.last_move <= 200 * MSEC);
        }
}

/* The same with rotation: a CPU has part in at most one of them a period. */
static void test_rotation_keeps_its_period(void **state)
{
        static const char *const names[] = {"rotate-3-on-2", "rotate-9-on-8", "rotate-12-on-8",
                                            "rotate-hybrid", "rotate-65-on-64"};
        struct log log;

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                nsec_t last[64] = {0};
                unsigned n_rotations = 0;

                (void)run(state, names[i], 1, 10 * SEC, "1s", &log);
                for (unsigned j = 0; j < log.n; j++) {
                        const struct decision *d = &log.decisions[j];
                        nsec_t at = d->at;

                        if (d->reason != MOVE_ROTATE)
                                continue;
                        n_rotations++;
                        /* The two moves of a swap are one rotation. */
                        assert_true(last[d->from] == at || at - last[d->from] >= SEC);
                        assert_true(last[d->to] == at || at - last[d->to] >= SEC);
                        last[d->from] = last[d->to] = at;
                }
                assert_true(n_rotations >= 5);
        }
}

/* Property 7: what only seems unbalanced for a moment costs next to nothing. */
static void test_noise_moves_little(void **state)
{
        for (uint64_t seed = 1; seed <= 3; seed++) {
                struct run_result result = run(state, "noisy", seed, 20 * SEC, "1s", NULL);

                assert_true(result.moves_per_sec < 8);
                assert_true(result.eff > 0.99 * result.untouched);
        }
}

/* Without the cheap sources the others must do. */
static void test_fallbacks(void **state)
{
        static const char *const names[] = {"no-pressure", "no-schedstat"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct run_result result = run(state, names[i], 1, 5 * SEC, "1s", NULL);

                assert_int_equal(result.n_moves, 7);
                assert_true(result.last_move <= 60 * MSEC);
        }
        assert_true(run(state, "bare-forks", 1, 5 * SEC, "1s", NULL).eff > 0.97);
}

/* Births are seen and placed in time, and no child is left narrow (run() looks at that). */
static void test_forks(void **state)
{
        struct run_result result = run(state, "forks", 1, 10 * SEC, "1s", NULL);

        assert_true(result.eff > 0.99);
        assert_true(result.n_moves > 500);
}

static bool same_decision(const struct decision *a, const struct decision *b)
{
        return a->at == b->at && a->tid == b->tid && a->from == b->from && a->to == b->to &&
               a->reason == b->reason && a->chain == b->chain;
}

static void test_same_seed_same_decisions(void **state)
{
        static const char *const names[] = {"sleepers-exponential", "forks", "random-masks"};
        struct log *logs = calloc(2, sizeof(*logs));

        assert_non_null(logs);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct run_result a = run(state, names[i], 7, 4 * SEC, "1s", &logs[0]);
                struct run_result b = run(state, names[i], 7, 4 * SEC, "1s", &logs[1]);

                assert_memory_equal(&a.eff, &b.eff, sizeof(a.eff));
                assert_true(logs[0].n > 10);
                assert_int_equal(logs[0].n, logs[1].n);
                for (unsigned j = 0; j < logs[0].n; j++)
                        assert_true(same_decision(&logs[0].decisions[j], &logs[1].decisions[j]));
        }
        free(logs);
}

static void test_other_seed_other_run(void **state)
{
        struct run_result a = run(state, "sleepers", 1, SEC, "1s", NULL);
        struct run_result b = run(state, "sleepers", 2, SEC, "1s", NULL);

        assert_true(a.eff > b.eff || a.eff < b.eff);
}

static void test_verdict(void **state)
{
        struct goal goal = {.eff = 0.9, .has_moves = true, .n_moves = 3, .done_by = 50 * MSEC};
        struct run_result result = {
                .eff = 0.95, .n_moves = 3, .n_reported = 3, .last_move = 40 * MSEC};
        char text[VERDICT_TEXT_SIZE];

        (void)state;
        assert_string_equal(verdict_goal(&goal, text), "eff >= 0.900, 3 moves, all by 0.05 s");
        assert_true(verdict_met(&goal, &result, text));
        assert_string_equal(text, "");
        result.eff = 0.85;
        result.last_move = 60 * MSEC;
        assert_false(verdict_met(&goal, &result, text));
        assert_string_equal(text, "eff 0.8500 < 0.9000, moved at 0.060 s");
        result = (struct run_result){.eff = 1, .n_moves = 2, .n_reported = 3};
        assert_false(verdict_met(&goal, &result, text));
        assert_string_equal(text, "2 moves, 3 moves reported of 2");
        goal = (struct goal){.calm = true, .moves_per_sec = 1};
        result = (struct run_result){.moves_per_sec = 1.5, .n_not_given_back = 1};
        assert_false(verdict_met(&goal, &result, text));
        assert_string_equal(text, "mv/s 1.5, 1 masks not given back");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stacked_hogs_move_once_each),
                cmocka_unit_test(test_64_stacked_hogs),
                cmocka_unit_test(test_chain_is_one_plan),
                cmocka_unit_test(test_siblings_are_parted),
                cmocka_unit_test(test_healthy_kernel_is_left_alone),
                cmocka_unit_test(test_kernel_defect_is_mended),
                cmocka_unit_test(test_comes_to_rest),
                cmocka_unit_test(test_rotation_keeps_its_period),
                cmocka_unit_test(test_noise_moves_little),
                cmocka_unit_test(test_fallbacks),
                cmocka_unit_test(test_forks),
                cmocka_unit_test(test_same_seed_same_decisions),
                cmocka_unit_test(test_other_seed_other_run),
                cmocka_unit_test(test_verdict),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
