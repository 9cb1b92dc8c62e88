/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "base/parse.h"

static struct scanner over(const char *text)
{
        return (struct scanner){text, text + strlen(text)};
}

static void test_scan_numbers(void **state)
{
        static const struct {
                const char *text;
                bool is_unsigned, is_signed;
                uint64_t value;
                size_t taken;
        } all[] = {
                {"0", true, true, 0, 1},
                {"007x", true, true, 7, 3},
                {"42 43", true, true, 42, 2},
                {"9223372036854775807", true, true, INT64_MAX, 19},
                {"9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 19},
                {"18446744073709551615", true, false, UINT64_MAX, 20},
                {"18446744073709551616", false, false, 0, 0},
                {"184467440737095516150", false, false, 0, 0},
                {"-5", false, true, (uint64_t)-5, 2},
                {"-9223372036854775808", false, true, (uint64_t)INT64_MIN, 20},
                {"-9223372036854775809", false, false, 0, 0},
                {"", false, false, 0, 0},
                {"-", false, false, 0, 0},
                {"--5", false, false, 0, 0},
                {"+5", false, false, 0, 0},
                {" 5", false, false, 0, 0},
                {"x", false, false, 0, 0},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                struct scanner s = over(all[i].text);
                uint64_t u = 4711;
                int64_t n = 4711;

                assert_int_equal(scan_u64(&s, &u), all[i].is_unsigned);
                assert_int_equal(u, all[i].is_unsigned ? all[i].value : 4711);
                assert_ptr_equal(s.at, all[i].text + (all[i].is_unsigned ? all[i].taken : 0));

                s = over(all[i].text);
                assert_int_equal(scan_i64(&s, &n), all[i].is_signed);
                assert_int_equal(n, all[i].is_signed ? (int64_t)all[i].value : 4711);
                assert_ptr_equal(s.at, all[i].text + (all[i].is_signed ? all[i].taken : 0));
        }
}

/* What a scanner may see ends where it says, not at a NUL. */
static void test_scan_stops_at_end(void **state)
{
        static const char text[] = "1234";
        struct scanner s = {text, text + 2};
        uint64_t value;

        (void)state;
        assert_true(scan_u64(&s, &value));
        assert_int_equal(value, 12);
        assert_true(scan_end(&s));
        assert_false(scan_char(&s, '3'));
        assert_false(scan_prefix(&s, "34"));
        assert_true(scan_prefix(&s, ""));
}

static void test_scan_words_and_lines(void **state)
{
        struct scanner s = over("some  a=1\tb\n\nlast"), line, word;

        (void)state;
        assert_true(scan_line(&s, &line));
        assert_false(scan_prefix(&line, "somewhat"));
        assert_true(scan_word(&line, &word));
        assert_true(scanner_equals(&word, "some"));
        assert_false(scanner_equals(&word, "som"));
        assert_false(scanner_equals(&word, "some "));
        assert_false(scan_word(&line, &word));
        scan_blank(&line);
        assert_true(scan_word(&line, &word));
        assert_true(scanner_equals(&word, "a=1"));
        scan_blank(&line);
        assert_true(scan_char(&line, 'b'));
        assert_true(scan_end(&line));

        assert_true(scan_line(&s, &line));
        assert_true(scan_end(&line));
        assert_true(scan_line(&s, &line));
        assert_true(scanner_equals(&line, "last"));
        assert_false(scan_line(&s, &line));

        s = over(" \t\n x");
        scan_blank(&s);
        assert_true(scan_char(&s, '\n'));
        scan_space(&s);
        assert_true(scan_char(&s, 'x'));
}

static void test_whole_numbers(void **state)
{
        uint64_t value = 4711;
        int pid = 4711;

        (void)state;
        assert_int_equal(parse_u64("18446744073709551615", &value), 0);
        assert_int_equal(value, UINT64_MAX);
        assert_int_equal(parse_u64("18446744073709551616", &value), -ERANGE);
        assert_int_equal(parse_u64("", &value), -EINVAL);
        assert_int_equal(parse_u64("1x", &value), -EINVAL);
        assert_int_equal(parse_u64(" 1", &value), -EINVAL);
        assert_int_equal(value, UINT64_MAX);

        assert_int_equal(parse_pid("0", &pid), -ERANGE);
        assert_int_equal(parse_pid("2147483648", &pid), -ERANGE);
        assert_int_equal(parse_pid("-1", &pid), -EINVAL);
        assert_int_equal(parse_pid("self", &pid), -EINVAL);
        assert_int_equal(pid, 4711);
        assert_int_equal(parse_pid("2147483647", &pid), 0);
        assert_int_equal(pid, INT_MAX);
}

static void test_bool(void **state)
{
        static const char *const yes[] = {"true", "yes", "on", "1"};
        static const char *const no[] = {"false", "no", "off", "0"};
        static const char *const neither[] = {"", "2", "True", "yes ", "y", "truefalse"};
        bool value;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
                value = false;
                assert_int_equal(parse_bool(yes[i], &value), 0);
                assert_true(value);
                assert_int_equal(parse_bool(no[i], &value), 0);
                assert_false(value);
        }
        for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
                assert_int_equal(parse_bool(neither[i], &value), -EINVAL);
}

static void test_nsec(void **state)
{
        static const struct {
                const char *text;
                int r;
                nsec_t nsec;
        } all[] = {
                {"0", 0, 0},
                {"0s", 0, 0},
                {"infinity", 0, NSEC_INFINITY},
                {"7ns", 0, 7},
                {"20ms", 0, 20 * NSEC_PER_MSEC},
                {"1.5s", 0, 1500 * NSEC_PER_MSEC},
                {"0.000000001s", 0, 1},
                {"1.0000000009s", 0, NSEC_PER_SEC},
                {"1.5ns", 0, 1},
                {"0.5d", 0, 43200 * NSEC_PER_SEC},
                {"1min 30s", 0, 90 * NSEC_PER_SEC},
                {"1min30s", 0, 90 * NSEC_PER_SEC},
                {"2 h", 0, 7200 * NSEC_PER_SEC},
                {"18446744073709551614ns", 0, NSEC_INFINITY - 1},
                /* The largest number means infinity, and is not to be met by arithmetic. */
                {"18446744073709551615ns", -ERANGE, 0},
                {"18446744073s 1s", -ERANGE, 0},
                {"213504d", -ERANGE, 0},
                {"", -EINVAL, 0},
                {"5", -EINVAL, 0},
                {"00", -EINVAL, 0},
                {"s", -EINVAL, 0},
                {"1.s", -EINVAL, 0},
                {".5s", -EINVAL, 0},
                {"-1s", -EINVAL, 0},
                {" 1s", -EINVAL, 0},
                {"1S", -EINVAL, 0},
                {"1 fortnight", -EINVAL, 0},
                {"1s infinity", -EINVAL, 0},
                {"1s,", -EINVAL, 0},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                nsec_t nsec = 4711;

                if (parse_nsec(all[i].text, &nsec) != all[i].r)
                        fail_msg("not %d: \"%s\"", all[i].r, all[i].text);
                assert_int_equal(nsec, all[i].r == 0 ? all[i].nsec : 4711);
        }
}

static void test_format_nsec(void **state)
{
        static const struct {
                nsec_t nsec;
                const char *text;
        } all[] = {
                {0, "0"},
                {1, "1ns"},
                {1001, "1001ns"},
                {20 * NSEC_PER_MSEC, "20ms"},
                {1500 * NSEC_PER_MSEC, "1500ms"},
                {60 * NSEC_PER_SEC, "1min"},
                {90 * NSEC_PER_SEC, "90s"},
                {3600 * NSEC_PER_SEC, "1h"},
                {48 * 3600 * NSEC_PER_SEC, "2d"},
                {NSEC_INFINITY - 1, "18446744073709551614ns"},
                {NSEC_INFINITY, "infinity"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                char text[NSEC_TEXT_SIZE];
                nsec_t again;

                assert_string_equal(format_nsec(all[i].nsec, text), all[i].text);
                assert_int_equal(parse_nsec(text, &again), 0);
                assert_int_equal(again, all[i].nsec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan_numbers),
                cmocka_unit_test(test_scan_stops_at_end),
                cmocka_unit_test(test_scan_words_and_lines),
                cmocka_unit_test(test_whole_numbers),
                cmocka_unit_test(test_bool),
                cmocka_unit_test(test_nsec),
                cmocka_unit_test(test_format_nsec),
        };

        return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
