/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Decisions, threads and CPUs as JSON. */

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/encode.h"
#include "api/sentence.h"
#include "base/macro.h"

#define _cleanup_view_ _cleanup_(thread_view_done)

/* Takes over the reference to OBJECT. */
static void assert_json(json_t *object, const char *expected)
{
        json_auto_t *owned = object;
        _cleanup_free_ char *text = json_dumps(owned, JSON_COMPACT | JSON_REAL_PRECISION(6));

        assert_non_null(text);
        assert_string_equal(text, expected);
}

static struct thread_view some_thread(void)
{
        struct thread_view view = {
                .tgid = 10,
                .tid = 11,
                .comm = "a \"b\"\n\x1b\xff",
                .uid = 4294967294U,
                .cpu = 3,
                .state = 'S',
                .prio = 120,
                .verdict = VERDICT_UNWATCHED,
        };

        assert_int_equal(cpuset_add_range(&view.affinity, 0, 3), 0);
        assert_int_equal(cpuset_add(&view.affinity, 8), 0);
        return view;
}

static void test_thread(void **state)
{
        _cleanup_view_ struct thread_view view = some_thread();

        (void)state;
        assert_json(
                encode_thread(&view, 0),
                "{\"tid\":11,\"pid\":10,\"comm\":\"a\\\\x20\\\\x22b\\\\x22\\\\x0a\\\\x1b\\\\xff\","
                "\"uid\":4294967294,\"cpu\":3,\"affinity\":\"0-3,8\",\"state\":\"S\","
                "\"priority\":120,\"watched\":false,\"verdict\":\"unwatched\"}");
}

static void test_watched_thread(void **state)
{
        _cleanup_view_ struct thread_view view = some_thread();

        (void)state;
        memcpy(view.comm, "hog", 4);
        view.watched = true;
        view.run = 0.5F;
        view.wait = NAN;
        view.demand = 1;
        view.verdict = VERDICT_NOWHERE_BETTER;
        assert_json(encode_thread(&view, 5000),
                    "{\"tid\":11,\"pid\":10,\"comm\":\"hog\",\"uid\":4294967294,\"cpu\":3,"
                    "\"affinity\":\"0-3,8\",\"state\":\"S\",\"priority\":120,\"watched\":true,"
                    "\"run\":0.5,\"wait\":0.0,\"demand\":1.0,\"verdict\":\"nowhereBetter\"}");
        view.moved_at = 2000;
        assert_json(encode_thread(&view, 5000),
                    "{\"tid\":11,\"pid\":10,\"comm\":\"hog\",\"uid\":4294967294,\"cpu\":3,"
                    "\"affinity\":\"0-3,8\",\"state\":\"S\",\"priority\":120,\"watched\":true,"
                    "\"run\":0.5,\"wait\":0.0,\"demand\":1.0,\"movedAgoUSec\":3,"
                    "\"verdict\":\"nowhereBetter\"}");
}

static void test_cpu(void **state)
{
        struct cpu_view view = {.cpu = 5,
                                .core = 2,
                                .llc = 1,
                                .capacity = 0.5F,
                                .balanced = true,
                                .idle = 0.25F,
                                .has_waiting = true,
                                .waiting = 1.5F,
                                .n_threads = 3,
                                .demand = 2};

        (void)state;
        assert_json(encode_cpu(&view),
                    "{\"cpu\":5,\"core\":2,\"llc\":1,\"node\":0,\"capacity\":0.5,"
                    "\"balanced\":true,\"idle\":0.25,\"threads\":3,"
                    "\"demand\":2.0,\"waiting\":1.5}");
        view.has_waiting = false;
        assert_json(encode_cpu(&view),
                    "{\"cpu\":5,\"core\":2,\"llc\":1,\"node\":0,\"capacity\":0.5,"
                    "\"balanced\":true,\"idle\":0.25,\"threads\":3,\"demand\":2.0}");
}

/* An hour after the machine's start it was ten seconds past 1970. */
#define AT (3600 * NSEC_PER_SEC)
static const struct calendar calendar = {.ahead = 10 * (int64_t)NSEC_PER_SEC -
                                                  3600 * (int64_t)NSEC_PER_SEC};
#define TIME "{\"timeUSec\":10000000,"

static void test_observed_decision(void **state)
{
        const struct decision decision = {
                .boottime_at = AT,
                .tgid = 10,
                .tid = 11,
                .comm = "hog",
                .prio = 120,
                .from = 1,
                .to = 2,
                .reason = MOVE_BALANCE,
                .gain = 0.5F,
                .load_from = 2,
        };

        (void)state;
        assert_json(encode_decision(&decision, &calendar), TIME
                    "\"tid\":11,\"pid\":10,\"comm\":\"hog\",\"priority\":120,\"from\":1,\"to\":2,"
                    "\"reason\":\"balance\",\"gain\":0.5,\"loadFrom\":2.0,\"loadTo\":0.0}");
}

static void test_failed_decision(void **state)
{
        const struct decision decision = {
                .boottime_at = AT,
                .tgid = 10,
                .tid = 11,
                .comm = "hog",
                .prio = 120,
                .from = 1,
                .to = 2,
                .reason = MOVE_CHAIN,
                .chain = 7,
                .gain = 0.5F,
                .load_from = 2,
                .has_switches = true,
                .switches = {3, 4},
                .carried_out = true,
                .result = MOVER_NO_ROOM,
                .error = -ENOSPC,
                .took = 12345,
        };

        (void)state;
        assert_json(encode_decision(&decision, &calendar), TIME
                    "\"tid\":11,\"pid\":10,\"comm\":\"hog\",\"priority\":120,\"from\":1,\"to\":2,"
                    "\"reason\":\"chain\",\"chain\":7,\"gain\":0.5,\"loadFrom\":2.0,"
                    "\"loadTo\":0.0,\"voluntarySwitches\":3,\"involuntarySwitches\":4,"
                    "\"result\":\"noRoom\",\"error\":\"ENOSPC\",\"durationUSec\":12}");
}

static void test_longest_decision(void **state)
{
        struct decision decision = {
                .boottime_at = INT64_MAX,
                .tgid = INT32_MAX,
                .tid = INT32_MAX,
                .prio = -101,
                .from = CPUSET_MAX - 1,
                .to = CPUSET_MAX - 1,
                .reason = MOVE_BALANCE,
                .chain = INT32_MAX,
                .gain = -1.234567e-12F,
                .load_from = -1.234567e-12F,
                .load_to = -1.234567e-12F,
                .has_switches = true,
                .switches = {INT64_MAX, INT64_MAX},
                .carried_out = true,
                .result = MOVER_FOREIGN,
                .error = -EPROTONOSUPPORT,
                .took = UINT64_MAX,
        };
        _cleanup_free_ char *text = NULL;
        json_auto_t *object = NULL;

        (void)state;
        memset(decision.comm, '\n', sizeof(decision.comm));
        object = encode_decision(&decision, &calendar);
        text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
        assert_non_null(text);
        assert_in_range(strlen(text), 400, ENCODED_DECISION_MAX - 1);
}

static void test_notice(void **state)
{
        const struct notice notice = {.level = 5, .text = "something"};

        (void)state;
        assert_json(encode_notice(&notice, AT, &calendar),
                    TIME "\"level\":5,\"text\":\"something\"}");
}

static bool ends_with(const char *text, const char *end)
{
        return strlen(text) >= strlen(end) && streq(text + strlen(text) - strlen(end), end);
}

/* Every verdict has words, which fit. */
static void test_sentences(void **state)
{
        _cleanup_view_ struct thread_view view = some_thread();
        const struct kernel_counters so_far = {.run_nsec = 4400 * NSEC_PER_MSEC,
                                               .wait_nsec = 11200 * NSEC_PER_MSEC};
        char text[SENTENCE_SIZE];

        (void)state;
        sentence_explain(&view, NULL, text);
        assert_non_null(strstr(text, "Thread 11 on CPU 3 is not watched: "));
        assert_true(ends_with(text, " nothing is stuck."));
        sentence_explain(&view, &so_far, text);
        assert_true(ends_with(text, " Since its birth it ran 4.4 s and waited 11.2 s."));
        view.watched = true;
        view.run = view.wait = 0.496F;
        for (unsigned i = VERDICT_KERNEL_THREAD; i <= VERDICT_SWITCHED_OFF; i++) {
                view.verdict = (enum verdict)i;
                sentence_explain(&view, &so_far, text);
                assert_non_null(strstr(text, ". It ran 50% and waited 50% of the time."));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_thread),
                cmocka_unit_test(test_watched_thread),
                cmocka_unit_test(test_cpu),
                cmocka_unit_test(test_observed_decision),
                cmocka_unit_test(test_failed_decision),
                cmocka_unit_test(test_longest_decision),
                cmocka_unit_test(test_notice),
                cmocka_unit_test(test_sentences),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
