/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Times as the calendar has them, while somebody sets the clock. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/calendar.h"

#define HOUR (3600 * NSEC_PER_SEC)
/* What the calendar's beginning is ahead of the machine's. */
#define AHEAD (1000 * HOUR)

/* A reading at BOOTTIME that took SPAN, by a clock that is AHEAD. */
static struct calendar_reading reading_at(nsec_t boottime, nsec_t ahead, nsec_t span)
{
        return (struct calendar_reading){boottime, boottime + ahead, boottime + span};
}

static void correct(struct calendar *calendar, nsec_t boottime, nsec_t ahead, nsec_t span)
{
        const struct calendar_reading reading = reading_at(boottime, ahead, span);

        calendar_correct(calendar, &reading);
}

static struct calendar make_calendar(void)
{
        const struct calendar_reading reading = reading_at(HOUR, AHEAD, 100);
        struct calendar calendar;

        calendar_init(&calendar, &reading);
        return calendar;
}

static void assert_at(const struct calendar *calendar, nsec_t at, nsec_t expected)
{
        assert_int_equal(calendar_realtime(calendar, at), expected);
}

/* However long one looks: a time once told is told again. */
static void test_a_steady_clock_tells_the_same(void **state)
{
        struct calendar calendar = make_calendar();

        (void)state;
        for (nsec_t i = 0; i < 100; i++) {
                correct(&calendar, HOUR + i * NSEC_PER_SEC, AHEAD + (i % 2) * 9 * NSEC_PER_MSEC,
                        100);
                assert_at(&calendar, HOUR, HOUR + AHEAD);
        }
}

static void test_a_clock_that_is_set_is_followed(void **state)
{
        struct calendar calendar = make_calendar();

        (void)state;
        correct(&calendar, 2 * HOUR, AHEAD + 10 * NSEC_PER_MSEC, 100);
        assert_at(&calendar, HOUR, HOUR + AHEAD + 10 * NSEC_PER_MSEC);
        correct(&calendar, 2 * HOUR, AHEAD + 5 * HOUR, 100);
        assert_at(&calendar, HOUR, HOUR + AHEAD + 5 * HOUR);
        correct(&calendar, 2 * HOUR, AHEAD - 5 * HOUR, 100);
        assert_at(&calendar, HOUR, HOUR + AHEAD - 5 * HOUR);
}

static void test_later_is_later(void **state)
{
        struct calendar calendar = make_calendar();

        (void)state;
        correct(&calendar, 2 * HOUR, AHEAD - 5 * HOUR, 100);
        assert_true(calendar_realtime(&calendar, HOUR) < calendar_realtime(&calendar, HOUR + 1));
}

/* The thread had lost its CPU amid the reading. */
static void test_a_slow_reading_is_not_believed(void **state)
{
        struct calendar calendar = make_calendar();

        (void)state;
        correct(&calendar, 2 * HOUR, AHEAD + 20 * NSEC_PER_MSEC, 20 * NSEC_PER_MSEC);
        assert_at(&calendar, HOUR, HOUR + AHEAD);
}

/* `date -s @0`, an hour after the machine's start. */
static void test_nothing_is_before_1970(void **state)
{
        struct calendar calendar = make_calendar();
        const struct calendar_reading reading = {HOUR, 0, HOUR + 100};

        (void)state;
        calendar_correct(&calendar, &reading);
        assert_at(&calendar, HOUR / 2, 0);
        assert_at(&calendar, HOUR + 7, 7);
}

static void test_the_clocks_are_read(void **state)
{
        struct calendar_reading reading = calendar_read();
        struct calendar calendar;
        nsec_t now;

        (void)state;
        calendar_init(&calendar, &reading);
        now = calendar_realtime(&calendar, clock_now_nsec(CLOCK_BOOTTIME));
        assert_in_range(clock_now_nsec(CLOCK_REALTIME), now - NSEC_PER_SEC,
                        now + 60 * NSEC_PER_SEC);
        assert_true(reading.before <= reading.after);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_steady_clock_tells_the_same),
                cmocka_unit_test(test_a_clock_that_is_set_is_followed),
                cmocka_unit_test(test_later_is_later),
                cmocka_unit_test(test_a_slow_reading_is_not_believed),
                cmocka_unit_test(test_nothing_is_before_1970),
                cmocka_unit_test(test_the_clocks_are_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
