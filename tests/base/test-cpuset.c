/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cpuset.h"

static int parse(const char *text, struct cpuset *set)
{
        return cpuset_parse_list(text, strlen(text), set);
}

static void assert_list(const char *text, const char *expected)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        _cleanup_free_ char *formatted = NULL;

        assert_int_equal(parse(text, &set), 0);
        assert_int_equal(cpuset_format_list(&set, &formatted), 0);
        assert_string_equal(formatted, expected);
}

static void test_lists(void **state)
{
        (void)state;
        assert_list("", "");
        assert_list("\n", "");
        assert_list("0", "0");
        assert_list("0-3,8\n", "0-3,8");
        assert_list("8,0-3,2", "0-3,8");
        assert_list("0-15:2", "0,2,4,6,8,10,12,14");
        assert_list("0-9:2/5", "0-1,5-6");
        assert_list("63-64", "63-64");
        assert_list("1-10:18446744073709551615", "1");
        assert_list("1-10:18446744073709551615/18446744073709551615", "1-10");
        assert_list("8191", "8191");
}

static void test_bad_lists(void **state)
{
        static const struct {
                const char *text;
                int error;
        } bad[] = {
                {"x", -EINVAL},
                {"1,", -EINVAL},
                {",1", -EINVAL},
                {"3-1", -EINVAL},
                {"1-", -EINVAL},
                {"-1", -EINVAL},
                {"1 2", -EINVAL},
                {"0-7:0", -EINVAL},
                {"0-7:3/2", -EINVAL},
                {"0-7:0/2", -EINVAL},
                {"8192", -ERANGE},
                {"0-99999", -ERANGE},
                {"99999999999999999999", -EINVAL},
                {"0-7:", -EINVAL},
                {"0\n1", -EINVAL},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_cpuset_ struct cpuset set = {0};

                if (parse(bad[i].text, &set) != bad[i].error)
                        fail_msg("\"%s\" was not refused with %d", bad[i].text, bad[i].error);
                assert_null(set.words);
        }
}

static void assert_mask(const char *text, int error, const char *expected)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        _cleanup_free_ char *formatted = NULL;

        assert_int_equal(cpuset_parse_mask(text, strlen(text), &set), error);
        if (error < 0)
                return;
        assert_int_equal(cpuset_format_list(&set, &formatted), 0);
        assert_string_equal(formatted, expected);
}

static void test_masks(void **state)
{
        (void)state;
        assert_mask("ff", 0, "0-7");
        assert_mask("f0\n", 0, "4-7");
        assert_mask("00000001,00000000,80000000", 0, "31,64");
        assert_mask("0", 0, "");
        assert_mask("", -EINVAL, NULL);
        assert_mask("g", -EINVAL, NULL);
        assert_mask("1,1", -EINVAL, NULL);
        assert_mask("123456789", -EINVAL, NULL);
        assert_mask(",00000001", -EINVAL, NULL);
}

static void test_algebra(void **state)
{
        _cleanup_cpuset_ struct cpuset a = {0}, b = {0}, c = {0};

        (void)state;
        assert_int_equal(parse("0-3,100", &a), 0);
        assert_int_equal(parse("2-5", &b), 0);
        assert_true(cpuset_intersects(&a, &b));
        assert_false(cpuset_is_subset(&b, &a));
        assert_int_equal(cpuset_count(&a), 5);
        assert_int_equal(cpuset_next(&a, 4), 100);
        assert_int_equal(cpuset_next(&a, 101), -1);

        assert_int_equal(cpuset_copy(&c, &a), 0);
        cpuset_intersect(&c, &b);
        assert_int_equal(cpuset_count(&c), 2);
        assert_true(cpuset_is_subset(&c, &a) && cpuset_is_subset(&c, &b));
        assert_int_equal(cpuset_unite(&c, &a), 0);
        assert_true(cpuset_equal(&c, &a));
        cpuset_subtract(&c, &b);
        assert_int_equal(cpuset_count(&c), 3);

        /* Widths do not matter to equality. */
        cpuset_remove(&c, 100);
        cpuset_clear(&b);
        assert_int_equal(cpuset_add_range(&b, 0, 1), 0);
        assert_true(cpuset_equal(&b, &c) && cpuset_equal(&c, &b));
        assert_int_equal(cpuset_add(&b, CPUSET_MAX), -ERANGE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_bad_lists),
                cmocka_unit_test(test_masks),
                cmocka_unit_test(test_algebra),
        };

        return cmocka_run_group_tests_name("cpuset", tests, NULL, NULL);
}
