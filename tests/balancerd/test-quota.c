/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "balancerd/quota.h"
#include "base/macro.h"

#define START (1000 * NSEC_PER_SEC)

struct fixture {
        struct quota quota;
        unsigned n_forgotten, n_lost;
        pid_t forgotten; /* the last */
};

static void on_forgotten(const struct quota_thread *thread, void *userdata)
{
        struct fixture *f = userdata;

        f->n_forgotten++;
        f->n_lost += thread->n_suppressed;
        f->forgotten = thread->tid;
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        f->quota.on_forgotten = on_forgotten;
        f->quota.userdata = f;
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        free(*state);
        return 0;
}

/* How many of N in a row, all at NOW, are told. */
static unsigned take(struct fixture *f, pid_t tid, unsigned n, nsec_t now)
{
        unsigned n_told = 0, n_suppressed;

        for (unsigned i = 0; i < n; i++)
                n_told += quota_take(&f->quota, tid, tid, now, &n_suppressed);
        return n_told;
}

static unsigned suppressed(struct fixture *f, pid_t tid, nsec_t now)
{
        unsigned n_suppressed = UINT32_MAX;

        assert_true(quota_take(&f->quota, tid, tid, now, &n_suppressed));
        return n_suppressed;
}

static void test_burst_then_one_an_interval(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(take(f, 7, 1000, START), QUOTA_BURST);
        assert_int_equal(take(f, 7, 100, START + QUOTA_INTERVAL - 1), 0);
        assert_int_equal(suppressed(f, 7, START + QUOTA_INTERVAL), 1000 - QUOTA_BURST + 100);
        assert_int_equal(take(f, 7, 3, START + QUOTA_INTERVAL), 0);
        assert_int_equal(suppressed(f, 7, START + 2 * QUOTA_INTERVAL), 3);
        assert_int_equal(suppressed(f, 7, START + 3 * QUOTA_INTERVAL), 0);
}

static void test_one_an_interval_for_ever(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < 10000; i++)
                assert_int_equal(suppressed(f, 7, START + i * QUOTA_INTERVAL), 0);
}

static void test_burst_comes_back(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(take(f, 7, QUOTA_BURST, START), QUOTA_BURST);
        assert_int_equal(take(f, 7, QUOTA_BURST, START + QUOTA_BURST / 2 * QUOTA_INTERVAL),
                         QUOTA_BURST / 2);
        assert_int_equal(take(f, 7, 1000, START + 1000 * QUOTA_INTERVAL), QUOTA_BURST);
}

static void test_threads_do_not_share(void **state)
{
        struct fixture *f = *state;
        unsigned n;

        for (pid_t tid = 1; tid <= 100; tid++)
                assert_int_equal(take(f, tid, 100, START), QUOTA_BURST);
        /* A number that another process has now is another thread. */
        assert_true(quota_take(&f->quota, 999, 1, START, &n));
        assert_int_equal(n, 0);
}

/* Whoever was told of longest ago makes room, and what was suppressed of it is told then. */
static void test_room_is_bounded(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(take(f, 1, QUOTA_BURST + 5, START), QUOTA_BURST);
        for (unsigned i = 2; i <= QUOTA_THREADS; i++)
                assert_int_equal(take(f, (pid_t)i, 1, START + i), 1);
        assert_int_equal(f->quota.n_threads, QUOTA_THREADS);
        assert_int_equal(take(f, 2, 1, START + 10000), 1);
        assert_int_equal(f->n_forgotten, 0);
        assert_int_equal(take(f, 100000, 1, START + 10001), 1);
        assert_int_equal(f->quota.n_threads, QUOTA_THREADS);
        assert_int_equal(f->n_forgotten, 1);
        assert_int_equal(f->forgotten, 1);
        assert_int_equal(f->n_lost, 5);
        /* 2 was used since, so 3 goes; 2 is known still. */
        assert_int_equal(take(f, 100001, 1, START + 10002), 1);
        assert_int_equal(take(f, 2, 1000, START + 10003), QUOTA_BURST - 2);
        assert_int_equal(f->n_forgotten, 1);
}

static void test_clear_tells_what_is_left(void **state)
{
        struct fixture *f = *state;

        take(f, 1, QUOTA_BURST + 5, START);
        take(f, 2, QUOTA_BURST, START);
        take(f, 3, QUOTA_BURST + 2, START);
        quota_clear(&f->quota);
        assert_int_equal(f->n_forgotten, 2);
        assert_int_equal(f->n_lost, 7);
        quota_clear(&f->quota);
        assert_int_equal(f->n_forgotten, 2);
        assert_int_equal(take(f, 1, 1000, START), QUOTA_BURST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_burst_then_one_an_interval),
                TEST(test_one_an_interval_for_ever),
                TEST(test_burst_comes_back),
                TEST(test_threads_do_not_share),
                TEST(test_room_is_bounded),
                TEST(test_clear_tells_what_is_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
