/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/domainless.h"

#include "sets.h"

#define START (5 * NSEC_PER_SEC)

#define _cleanup_domainless_ _cleanup_(domainless_done)

/* At AFTER milliseconds SEEN are without a domain. */
static void assert_settled(struct domainless *d, unsigned after_msec, const char *seen,
                           const char *settled, int in_doubt)
{
        _cleanup_cpuset_ struct cpuset set = list(seen);

        assert_int_equal(domainless_take(d, &set, START + after_msec * NSEC_PER_MSEC), in_doubt);
        assert_set(&d->settled, settled);
}

static void test_first_sight(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "2-3", "2-3", 1);
        assert_settled(&d, 99, "2-3", "2-3", 1);
        assert_settled(&d, 100, "2-3", "2-3", 0);
}

static void test_none_at_first(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "", "", 0);
        assert_settled(&d, 1, "", "", 0);
}

/* Who begins while the kernel makes all domains anew is asked again until that is over. */
static void test_first_sight_of_a_moment(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "0-7", "0-7", 1);
        assert_settled(&d, 20, "0-7", "0-7", 1);
        assert_settled(&d, 40, "2-3", "2-3", 1);
        assert_settled(&d, 100, "2-3", "2-3", 0);
}

/* As of a kernel that makes all domains anew, one CPU after the other. */
static void test_a_moment_without(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "2-3", "2-3", 1);
        assert_settled(&d, 120, "0-7", "2-3", 1);
        assert_settled(&d, 140, "2-3,5-7", "2-3", 1);
        assert_settled(&d, 160, "2-3", "2-3", 0);
        assert_settled(&d, 500, "0-7", "2-3", 1); /* another one, as long as that is ago */
        assert_settled(&d, 520, "2-3", "2-3", 0);
}

/* Looks that are far apart meet one such moment after the other. */
static void test_moments_met_by_chance(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "", "", 0);
        assert_settled(&d, 1000, "0-7", "", 1);
        assert_settled(&d, 2000, "0-7", "", 1);
        assert_settled(&d, 3000, "0-7", "", 1);
        assert_settled(&d, 3020, "", "", 0);
        assert_settled(&d, 4000, "0-7", "", 1);
}

/* A partition is made: all CPUs are without a domain for a moment, some stay so. */
static void test_for_good(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "", "", 0);
        assert_settled(&d, 20, "0-7", "", 1);
        assert_settled(&d, 40, "5-6", "", 1);
        assert_settled(&d, 119, "5-6", "", 1);
        assert_settled(&d, 120, "5-6", "5-6", 0);
        assert_settled(&d, 140, "", "", 0); /* it is removed */
}

/* One that joins late takes twice as long at most. */
static void test_more_of_them_meanwhile(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "", "", 0);
        assert_settled(&d, 20, "2", "", 1);
        assert_settled(&d, 40, "2,4", "", 1);
        assert_settled(&d, 60, "2,4", "", 1);
        assert_settled(&d, 120, "2,4", "2", 1);
        assert_settled(&d, 121, "2,4", "2", 1);
        assert_settled(&d, 140, "2,4", "2", 1);
        assert_settled(&d, 160, "2,4", "2", 1);
        assert_settled(&d, 221, "2,4", "2,4", 0);
}

/* Who had a domain in between begins anew. */
static void test_on_and_off(void **state)
{
        _cleanup_domainless_ struct domainless d = {0};

        (void)state;
        assert_settled(&d, 0, "", "", 0);
        assert_settled(&d, 20, "2-3", "", 1);
        assert_settled(&d, 60, "3", "", 1);
        assert_settled(&d, 90, "2-3", "", 1);
        assert_settled(&d, 120, "2-3", "3", 1);
        assert_settled(&d, 150, "2-3", "3", 1);
        assert_settled(&d, 180, "2-3", "3", 1);
        assert_settled(&d, 200, "2-3", "3", 1);
        assert_settled(&d, 260, "2-3", "2-3", 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_sight),
                cmocka_unit_test(test_none_at_first),
                cmocka_unit_test(test_first_sight_of_a_moment),
                cmocka_unit_test(test_a_moment_without),
                cmocka_unit_test(test_moments_met_by_chance),
                cmocka_unit_test(test_for_good),
                cmocka_unit_test(test_more_of_them_meanwhile),
                cmocka_unit_test(test_on_and_off),
        };

        return cmocka_run_group_tests_name("domainless", tests, NULL, NULL);
}
