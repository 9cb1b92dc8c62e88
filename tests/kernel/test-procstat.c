/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fixture.h"

#include <errno.h>

#include "base/parse.h"
#include "kernel/pressure.h"
#include "kernel/procstat.h"

#define TICK_NSEC (10 * NSEC_PER_MSEC)
#define TOTALS    "intr 1 2 3\nctxt 9520\nbtime 1795425423\nprocesses 256\nprocs_running 16\n"
#define SUM       "cpu  1 1 1 1 1 1 1 1 1 1\n"

static int parse(const char *text, size_t length, struct kernel_cpus *cpus)
{
        _cleanup_free_ char *copy = exact_copy(text, length);

        return procstat_parse(copy, length, TICK_NSEC, cpus);
}

static void test_fixtures(void **state)
{
        static const struct {
                const char *name;
                unsigned cpu7_idle, cpu7_busy; /* in ticks */
                unsigned n_forks, n_runnable;
        } all[] = {
                {"linux-6.1/proc_stat", 413 + 13, 122 + 238 + 5, 256, 16},
                {"linux-6.12/proc_stat", 689 + 5, 47 + 193 + 6, 327, 9},
                {"linux-7.2/proc_stat", 683 + 10, 99 + 238 + 6, 291, 5},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
                _cleanup_buffer_ struct buffer text = {0};

                fixture_read(&text, all[i].name);
                assert_int_equal(parse(text.data, text.length, &cpus), 0);
                assert_int_equal(cpus.n_ids, 8);
                assert_true(cpus.cpus[7].online);
                assert_int_equal(cpus.cpus[7].idle_nsec, all[i].cpu7_idle * TICK_NSEC);
                assert_int_equal(cpus.cpus[7].busy_nsec, all[i].cpu7_busy * TICK_NSEC);
                assert_int_equal(cpus.n_forks, all[i].n_forks);
                assert_int_equal(cpus.n_runnable, all[i].n_runnable);
        }
}

/* Guest time is in user time already; steal is not idle; further columns are no harm. */
static void test_columns(void **state)
{
        static const char text[] = SUM "cpu2 1 20 300 4000 50000 6 70 800 1 20 7 7\n" TOTALS;
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};

        (void)state;
        assert_int_equal(parse(text, strlen(text), &cpus), 0);
        assert_int_equal(cpus.cpus[2].idle_nsec, 54000 * TICK_NSEC);
        assert_int_equal(cpus.cpus[2].busy_nsec, 1197 * TICK_NSEC);
        assert_int_equal(cpus.cpus[2].run_delay_nsec, 0);
        assert_false(cpus.has_run_delay);
}

/* What was said of a CPU is gone when the next text has it no more. */
static void test_offline(void **state)
{
        static const char both[] = SUM "cpu0 1 1 1 1 1 1 1 1\ncpu3 1 1 1 1 1 1 1 1\n" TOTALS;
        static const char one[] = SUM "cpu0 1 1 1 1 1 1 1 1\n" TOTALS;
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};

        (void)state;
        assert_int_equal(parse(both, strlen(both), &cpus), 0);
        assert_int_equal(cpus.n_ids, 4);
        assert_true(cpus.cpus[0].online && cpus.cpus[3].online);
        assert_false(cpus.cpus[1].online || cpus.cpus[2].online);
        cpus.cpus[0].run_delay_nsec = 7;
        cpus.has_run_delay = true;

        assert_int_equal(parse(one, strlen(one), &cpus), 0);
        assert_int_equal(cpus.n_ids, 4);
        assert_true(cpus.cpus[0].online);
        assert_false(cpus.cpus[3].online);
        assert_int_equal(cpus.cpus[3].busy_nsec, 0);
        assert_int_equal(cpus.cpus[0].run_delay_nsec, 0);
        assert_false(cpus.has_run_delay);
}

static void test_bad(void **state)
{
        static const char *const bad[] = {
                "",
                "\n",
                SUM TOTALS,
                "cpu0 1 1 1 1 1 1 1 1\n" TOTALS,
                SUM "cpu0 1 1 1 1 1 1 1\n" TOTALS,
                SUM "cpu0 1 1 1 1 1 1 1 x\n" TOTALS,
                SUM "cpu0 1 1 1 -1 1 1 1 1\n" TOTALS,
                SUM "cpu0 1 1 1 1 1 1 1 1 1 x\n" TOTALS,
                SUM "cpux 1 1 1 1 1 1 1 1\n" TOTALS,
                SUM "cpu8192 1 1 1 1 1 1 1 1\n" TOTALS,
                SUM "cpu1 1 1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1 1\n" TOTALS,
                SUM "cpu1 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1\n" TOTALS,
                /* The sum of two columns, and their value in nanoseconds, are beyond 64 bits. */
                SUM "cpu0 1 1 1 18446744073709551615 1 1 1 1\n" TOTALS,
                SUM "cpu0 1 1 1 1844674407371 1 1 1 1\n" TOTALS,
                SUM "cpu0 1844674407371 1 1 1 1 1 1 1\n" TOTALS,
                SUM "cpu0 1 1 1 1 1 1 1 1\nprocesses 5\n",
                SUM "cpu0 1 1 1 1 1 1 1 1\nprocs_running 5\n",
                SUM "cpu0 1 1 1 1 1 1 1 1\nprocesses -5\nprocs_running 5\n",
                SUM "cpu0 1 1 1 1 1 1 1 1\nprocesses 5 6\nprocs_running 5\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};

                if (parse(bad[i], strlen(bad[i]), &cpus) != -EPROTO)
                        fail_msg("not refused: %s", bad[i]);
        }
}

/* The lines that are wanted come before some that are not: a text that is cut off before the end of
 * the former is refused. */
static void test_truncated(void **state)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_buffer_ struct buffer text = {0};
        struct scanner rest;
        size_t needed;

        (void)state;
        fixture_read(&text, "linux-6.1/proc_stat");
        rest = (struct scanner){text.data, text.data + text.length};
        while (!scan_prefix(&rest, "procs_blocked"))
                assert_true(scan_line(&rest, &(struct scanner){0}));
        needed = (size_t)(rest.at - text.data) - strlen("procs_blocked");
        for (size_t length = 0; length <= text.length; length++)
                assert_int_equal(parse(text.data, length, &cpus), length < needed ? -EPROTO : 0);
}

static void test_pressure(void **state)
{
        static const struct {
                const char *text;
                int r;
                uint64_t total;
        } all[] = {
                {"some avg10=1.29 avg60=0.61 avg300=0.56 total=6980244\n"
                 "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                 0, 6980244},
                /* Linux 5.10 has no second line. */
                {"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0, 0},
                {"some avg10=0.00 total=18446744073709551615 more=1\n", 0, UINT64_MAX},
                {"full avg10=0.00 total=7\nsome avg10=0.00 total=5\n", 0, 5},
                {"", -EPROTO, 0},
                {"some avg10=0.00 avg60=0.00 avg300=0.00 total=6980244", -EPROTO, 0},
                {"full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", -EPROTO, 0},
                {"some avg10=0.00\nfull total=5\n", -EPROTO, 0},
                {"some total=\n", -EPROTO, 0},
                {"some total=5x\n", -EPROTO, 0},
                {"some total=-5\n", -EPROTO, 0},
                {"some total=18446744073709551616\n", -EPROTO, 0},
                {"sometotal=5\n", -EPROTO, 0},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                size_t length = strlen(all[i].text);
                _cleanup_free_ char *copy = exact_copy(all[i].text, length);
                uint64_t total = 4711;

                if (pressure_parse(copy, length, &total) != all[i].r)
                        fail_msg("not %d: %s", all[i].r, all[i].text);
                assert_int_equal(total, all[i].r == 0 ? all[i].total : 4711);
        }
}

static void test_pressure_truncated(void **state)
{
        static const char text[] = "some avg10=1.29 avg60=0.61 avg300=0.56 total=6980244\n";

        (void)state;
        for (size_t length = 0; length < sizeof(text) - 1; length++) {
                _cleanup_free_ char *copy = exact_copy(text, length);
                uint64_t total;

                assert_int_equal(pressure_parse(copy, length, &total), -EPROTO);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fixtures),
                cmocka_unit_test(test_columns),
                cmocka_unit_test(test_offline),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_pressure),
                cmocka_unit_test(test_pressure_truncated),
        };

        return cmocka_run_group_tests_name("procstat", tests, NULL, NULL);
}
