/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/pace.h"

#define MSEC NSEC_PER_MSEC

static struct settings defaults(void)
{
        struct settings settings;

        settings_init(&settings);
        return settings;
}

static void test_trouble_sets_the_tick(void **state)
{
        const struct settings settings = defaults();
        struct pace pace = {0};
        nsec_t now = NSEC_PER_SEC;

        (void)state;
        assert_int_equal(pace_next(&pace, &settings, now, 0, 0, PACE_QUIET), now + 1000 * MSEC);
        assert_int_equal(pace_next(&pace, &settings, now, 0, 0, PACE_BALANCED), now + 100 * MSEC);
        assert_int_equal(pace_next(&pace, &settings, now, 0, 0, PACE_UNBALANCED), now + 20 * MSEC);
}

static void test_calm_must_last(void **state)
{
        const struct settings settings = defaults();
        struct pace pace = {0};
        nsec_t now = NSEC_PER_SEC;

        (void)state;
        pace_next(&pace, &settings, now, 0, 0, PACE_UNBALANCED);
        for (unsigned i = 1; i < PACE_CALM_TICKS; i++)
                assert_int_equal(pace_next(&pace, &settings, now, 0, 0, PACE_QUIET),
                                 now + 20 * MSEC);
        /* Watchful at first, then quiet. */
        now += 100 * MSEC;
        assert_int_equal(pace_next(&pace, &settings, now, 0, 0, PACE_QUIET), now + 100 * MSEC);
        now += PACE_WATCHFUL;
        assert_int_equal(pace_next(&pace, &settings, now, 0, 0, PACE_QUIET), now + 1000 * MSEC);
}

/* A sample that costs 1 ms is followed by one 200 ms later: half a percent of one CPU. */
static void test_every_tick_is_paid(void **state)
{
        const struct settings settings = defaults();
        struct pace pace = {0};
        nsec_t now = NSEC_PER_SEC;

        (void)state;
        for (unsigned i = 0; i < 5; i++) {
                nsec_t next = pace_next(&pace, &settings, now, MSEC, 0, PACE_UNBALANCED);

                assert_in_range(next, now + 200 * MSEC - 1000, now + 200 * MSEC + 1000);
                now = next;
        }
}

/* A quiet time saves up for the first sight of trouble, up to the cap. */
static void test_savings(void **state)
{
        const struct settings settings = defaults();
        struct pace pace = {0};
        nsec_t now = NSEC_PER_SEC;
        unsigned fast = 0;

        (void)state;
        for (unsigned i = 0; i < 20; i++)
                now = pace_next(&pace, &settings, now, 0, 10 * MSEC, PACE_QUIET);
        /* 10 ms of savings pay for ten samples of 1 ms, give or take what accrues meanwhile. */
        for (;;) {
                nsec_t next = pace_next(&pace, &settings, now, MSEC, 10 * MSEC, PACE_UNBALANCED);

                if (next - now > 20 * MSEC)
                        break;
                now = next;
                fast++;
        }
        assert_in_range(fast, 9, 12);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_trouble_sets_the_tick),
                cmocka_unit_test(test_calm_must_last),
                cmocka_unit_test(test_every_tick_is_paid),
                cmocka_unit_test(test_savings),
        };

        return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
