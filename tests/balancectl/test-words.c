/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "balancectl/words.h"
#include "base/macro.h"
#include "base/parse.h"

#define MINUTE (60 * NSEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static void test_span(void **state)
{
        static const struct {
                nsec_t span;
                const char *text;
        } all[] = {
                {0, "0"},
                {1, "1ns"},
                {999, "999ns"},
                {1000, "1us"},
                {1099, "1us"},
                {1100, "1.1us"},
                {12999, "12us"},
                {999999, "999us"},
                {1500000, "1.5ms"},
                {20 * NSEC_PER_MSEC, "20ms"},
                {NSEC_PER_SEC, "1s"},
                {NSEC_PER_SEC + 950 * NSEC_PER_MSEC, "1.9s"},
                {MINUTE - 1, "59s"},
                {MINUTE, "1min"},
                {5 * MINUTE + 3 * NSEC_PER_SEC, "5min 3s"},
                {HOUR, "1h"},
                {2 * HOUR + 5 * MINUTE + 59 * NSEC_PER_SEC, "2h 5min"},
                {3 * DAY + 4 * HOUR, "3d 4h"},
                {3 * DAY + 59 * MINUTE, "3d"},
                {NSEC_INFINITY - 1, "213503d 23h"},
                {NSEC_INFINITY, "infinity"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                char text[WORDS_SIZE];

                assert_ptr_equal(format_span(all[i].span, text), text);
                assert_string_equal(text, all[i].text);
        }
}

/* What is written is what people may write: it reads as no more than it was, and a tenth less at
 * most. */
static void test_span_reads_back(void **state)
{
        (void)state;
        for (nsec_t span = 1; span < 1000 * DAY; span += span / 7 + 1) {
                char text[WORDS_SIZE];
                nsec_t read;

                assert_int_equal(parse_nsec(format_span(span, text), &read), 0);
                assert_true(read <= span && read >= span - span / 10);
        }
}

static void test_moment(void **state)
{
        char text[WORDS_SIZE];

        (void)state;
        assert_string_equal(format_moment(1795446245123999, text), "Nov 23 15:04:05.123");
        assert_string_equal(format_date(1795446245123999, text), "2026-11-23 15:04:05");
        assert_string_equal(format_moment(0, text), "Jan 01 00:00:00.000");
        assert_string_equal(format_moment(-1, text), "?");
        assert_string_equal(format_date(-1, text), "?");
        assert_true(strlen(format_moment(INT64_MAX, text)) < WORDS_SIZE);
        assert_true(strlen(format_date(INT64_MAX, text)) < WORDS_SIZE);
}

static void test_numbers(void **state)
{
        char text[WORDS_SIZE];

        (void)state;
        assert_string_equal(format_number(0, text), "0.00");
        assert_string_equal(format_number(3.456, text), "3.46");
        assert_string_equal(format_number(-1, text), "-1.00");
        assert_string_equal(format_number(1e300, text), "1.00e+300");
        assert_string_equal(format_number(-1e300, text), "-1.00e+300");
        assert_string_equal(format_share(0.254, text), "25%");
        assert_string_equal(format_share(1, text), "100%");
        assert_string_equal(format_share(1e300, text), "1.00e+302%");
}

static void test_age(void **state)
{
        char text[WORDS_SIZE];

        (void)state;
        assert_string_equal(format_age(0, text), "less than a second");
        assert_string_equal(format_age(NSEC_PER_SEC - 1, text), "less than a second");
        assert_string_equal(format_age(NSEC_PER_SEC, text), "1s");
        assert_string_equal(format_age(3 * NSEC_PER_SEC / 2, text), "1s");
        assert_string_equal(format_age(MINUTE + NSEC_PER_SEC, text), "1min 1s");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_span),
                cmocka_unit_test(test_age),
                cmocka_unit_test(test_span_reads_back),
                cmocka_unit_test(test_moment),
                cmocka_unit_test(test_numbers),
        };

        (void)setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
