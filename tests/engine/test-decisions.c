/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "base/macro.h"
#include "engine/decisions.h"

static struct decision sample(void)
{
        return (struct decision){
                .tid = 4711,
                .comm = "hog",
                .prio = 120,
                .from = 0,
                .to = 1,
                .reason = MOVE_BALANCE,
                .gain = 3,
                .load_from = 4,
                .carried_out = true,
                .result = MOVER_MOVED,
                .took = 12345,
        };
}

static void assert_line(const struct decision *decision, const char *expected)
{
        char line[DECISION_LINE_SIZE];

        decision_format(decision, line);
        assert_string_equal(line, expected);
}

static void test_lines(void **state)
{
        struct decision decision = sample();

        (void)state;
        assert_line(&decision,
                    "sched_migrate_task: comm=hog pid=4711 prio=120 orig_cpu=0 dest_cpu=1 "
                    "rq=0 why=balance load=4.00:0.00 gain=3.00 took_usec=12");
        decision.chain = 2;
        decision.reason = MOVE_CHAIN;
        decision.carried_out = false;
        assert_line(&decision,
                    "would: sched_migrate_task: comm=hog pid=4711 prio=120 orig_cpu=0 dest_cpu=1 "
                    "rq=0 why=chain chain=2 load=4.00:0.00 gain=3.00");
        decision = sample();
        decision.has_switches = true;
        decision.switches = (struct kernel_switches){.n_voluntary = 3, .n_involuntary = 214};
        assert_line(&decision,
                    "sched_migrate_task: comm=hog pid=4711 prio=120 orig_cpu=0 dest_cpu=1 "
                    "rq=0 why=balance load=4.00:0.00 gain=3.00 nvcsw=3 nivcsw=214 "
                    "took_usec=12");
        decision = sample();
        decision.result = MOVER_DENIED;
        decision.error = -EPERM;
        assert_line(&decision,
                    "sched_migrate_task: comm=hog pid=4711 prio=120 orig_cpu=0 dest_cpu=1 "
                    "rq=0 why=balance load=4.00:0.00 gain=3.00 took_usec=12 "
                    "result=denied error=EPERM");
}

/* The longest line there can be is not cut. */
static void test_hostile_name(void **state)
{
        struct decision decision = sample();
        char line[DECISION_LINE_SIZE];

        (void)state;
        memset(decision.comm, '\n', sizeof(decision.comm));
        decision.reason = MOVE_ROTATE;
        decision.tid = -2147483647;
        decision.from = decision.to = decision.chain = 4294967295U;
        decision.took = UINT64_MAX;
        decision.gain = decision.load_from = decision.load_to = -1e9F;
        decision.result = MOVER_INVALID;
        decision.error = -ENOTRECOVERABLE;
        decision.has_switches = true;
        decision.switches = (struct kernel_switches){UINT64_MAX, UINT64_MAX};
        decision_format(&decision, line);
        assert_non_null(strstr(line, "comm=\\x0a\\x0a"));
        assert_null(strchr(line, '\n'));
        assert_non_null(strstr(line, " error=ENOTRECOVERABLE"));
}

static void test_ring(void **state)
{
        struct decisions *decisions = NULL;
        struct decision decision = sample();

        (void)state;
        assert_int_equal(decisions_new(&decisions), 0);
        assert_null(decisions_get(decisions, 0));
        for (int i = 0; i < (int)DECISIONS_MAX + 3; i++) {
                decision.tid = i;
                decisions_add(decisions, &decision);
        }
        assert_int_equal(decisions_count(decisions), DECISIONS_MAX + 3);
        assert_null(decisions_get(decisions, 2));
        assert_int_equal(decisions_get(decisions, 3)->tid, 3);
        assert_int_equal(decisions_get(decisions, DECISIONS_MAX + 2)->tid, DECISIONS_MAX + 2);
        assert_null(decisions_get(decisions, DECISIONS_MAX + 3));
        decisions_free(decisions);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_hostile_name),
                cmocka_unit_test(test_ring),
        };

        return cmocka_run_group_tests_name("decisions", tests, NULL, NULL);
}
