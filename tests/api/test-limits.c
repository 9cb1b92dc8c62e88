/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How many connections users get, and how much CPU time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/limits.h"
#include "base/macro.h"

#define MSEC NSEC_PER_MSEC
#define SEC  NSEC_PER_SEC
#define NOW  (1000 * SEC)

static const struct peer root = {.privileged = true};
static const struct peer alice = {.uid = 1000};
static const struct peer bob = {.uid = 1001};

#define _cleanup_limits_ _cleanup_(limits_done)

static struct user *admit(struct limits *limits, const struct peer *peer, nsec_t now)
{
        struct user *user;
        unsigned limit;

        assert_int_equal(limits_admit(limits, peer, 3, now, &user, &limit), ADMISSION_GRANTED);
        return user;
}

static void assert_refused(struct limits *limits, const struct peer *peer, int how,
                           unsigned expected)
{
        struct user *user;
        unsigned limit = 0;

        assert_int_equal(limits_admit(limits, peer, 3, NOW, &user, &limit), how);
        assert_int_equal(limit, expected);
}

static void test_each_user_has_a_limit(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user;

        (void)state;
        for (unsigned i = 0; i < 3; i++)
                user = admit(&limits, &alice, NOW);
        assert_refused(&limits, &alice, ADMISSION_USER, 3);
        (void)admit(&limits, &bob, NOW);
        limits_release(&limits, user);
        assert_ptr_equal(admit(&limits, &alice, NOW), user);
        assert_refused(&limits, &alice, ADMISSION_USER, 3);
}

static void test_privileged_callers_have_none_of_their_own(void **state)
{
        _cleanup_limits_ struct limits limits = {0};

        (void)state;
        for (unsigned i = 0; i < LIMITS_CONNECTIONS; i++)
                (void)admit(&limits, &root, NOW);
        assert_refused(&limits, &root, ADMISSION_ALL, LIMITS_CONNECTIONS);
}

static void test_some_are_kept_for_privileged_callers(void **state)
{
        _cleanup_limits_ struct limits limits = {0};

        (void)state;
        for (uid_t i = 0; i < LIMITS_CONNECTIONS - LIMITS_KEPT; i++)
                (void)admit(&limits, &(struct peer){.uid = 2000 + i}, NOW);
        assert_refused(&limits, &alice, ADMISSION_ALL, LIMITS_CONNECTIONS - LIMITS_KEPT);
        for (unsigned i = 0; i < LIMITS_KEPT; i++)
                (void)admit(&limits, &root, NOW);
        assert_refused(&limits, &root, ADMISSION_ALL, LIMITS_CONNECTIONS);
}

static void test_savings_are_spent_then_repaid(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user = admit(&limits, &alice, NOW);

        (void)state;
        user_charge(user, NOW, 100 * MSEC);
        assert_int_equal(user_paid_at(user, NOW), 0);
        user_charge(user, NOW, 5 * MSEC);
        /* At 5% of a CPU 5 ms are earned in 100 ms. */
        assert_in_range(user_paid_at(user, NOW), NOW + 100 * MSEC, NOW + 101 * MSEC);
        assert_in_range(user_paid_at(user, NOW + 60 * MSEC), NOW + 100 * MSEC, NOW + 101 * MSEC);
        assert_int_equal(user_paid_at(user, NOW + 101 * MSEC), 0);
}

static void test_no_more_is_saved_than_may_be(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user = admit(&limits, &alice, NOW);

        (void)state;
        user_charge(user, NOW + 3600 * SEC, 101 * MSEC);
        assert_int_not_equal(user_paid_at(user, NOW + 3600 * SEC), 0);
}

static void test_debts_are_bounded(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user = admit(&limits, &alice, NOW);

        (void)state;
        user_charge(user, NOW, 3600 * SEC);
        assert_in_range(user_paid_at(user, NOW), NOW + 1999 * MSEC, NOW + 2001 * MSEC);
}

static void test_debts_outlive_connections(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user = admit(&limits, &alice, NOW);

        (void)state;
        user_charge(user, NOW, 200 * MSEC);
        limits_release(&limits, user);
        (void)admit(&limits, &bob, NOW + SEC);
        user = admit(&limits, &alice, NOW + SEC);
        assert_int_not_equal(user_paid_at(user, NOW + SEC), 0);
}

static void test_users_are_forgotten_once_all_is_saved_again(void **state)
{
        _cleanup_limits_ struct limits limits = {0};

        (void)state;
        for (uid_t i = 0; i < 100; i++)
                limits_release(&limits, admit(&limits, &(struct peer){.uid = 2000 + i}, NOW));
        assert_int_equal(limits.n_users, 1); /* the last: none came after it */
}

/* Who owns a range of user ids has many users' savings, but no more than all may have together. */
static void test_all_users_have_a_share_too(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user = admit(&limits, &alice, NOW);

        (void)state;
        for (uid_t i = 0; i < 10; i++)
                user_charge(admit(&limits, &(struct peer){.uid = 2000 + i}, NOW), NOW, 10 * MSEC);
        assert_int_equal(user_paid_at(user, NOW), 0);
        assert_int_equal(limits_paid_at(&limits, NOW), 0);
        limits_charge(&limits, &bob, NOW, 5 * MSEC); /* has no connection */
        /* At 10% of a CPU 5 ms are earned in 50 ms. */
        assert_in_range(limits_paid_at(&limits, NOW), NOW + 50 * MSEC, NOW + 51 * MSEC);
        assert_int_equal(user_paid_at(user, NOW), limits_paid_at(&limits, NOW));
        assert_int_equal(user_paid_at(user, NOW + 51 * MSEC), 0);
}

static void test_who_was_refused_pays_as_others_do(void **state)
{
        _cleanup_limits_ struct limits limits = {0};
        struct user *user = admit(&limits, &alice, NOW);

        (void)state;
        limits_charge(&limits, &root, NOW, 300 * MSEC);
        assert_int_equal(limits_paid_at(&limits, NOW), 0);
        limits_charge(&limits, &alice, NOW, 300 * MSEC);
        /* No more is owed than could be saved up. */
        assert_in_range(user_paid_at(user, NOW), NOW + 2 * SEC, NOW + 2 * SEC + MSEC);
        assert_in_range(limits_paid_at(&limits, NOW), NOW + SEC, NOW + SEC + MSEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_user_has_a_limit),
                cmocka_unit_test(test_privileged_callers_have_none_of_their_own),
                cmocka_unit_test(test_some_are_kept_for_privileged_callers),
                cmocka_unit_test(test_savings_are_spent_then_repaid),
                cmocka_unit_test(test_no_more_is_saved_than_may_be),
                cmocka_unit_test(test_debts_are_bounded),
                cmocka_unit_test(test_debts_outlive_connections),
                cmocka_unit_test(test_users_are_forgotten_once_all_is_saved_again),
                cmocka_unit_test(test_all_users_have_a_share_too),
                cmocka_unit_test(test_who_was_refused_pays_as_others_do),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
