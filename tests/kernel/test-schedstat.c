/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fixture.h"

#include <errno.h>

#include "base/cpuset.h"
#include "kernel/schedstat.h"

#define HEAD(version) "version " version "\ntimestamp 4294894923\n"
#define N8            " 0 0 0 0 0 0 0 0"
#define N11           " 0 0 0 0 0 0 0 0 0 0 0"
#define N12           N11 " 0"
#define DOMAIN_16     N8 N8 N8 N12 "\n"
#define DOMAIN_17     N11 N11 N11 N12 "\n"

#define CPUS_MAX 128

struct parsed {
        struct schedstat_cpu cpus[CPUS_MAX];
        unsigned n;
};

/* Returns 0 or the parser's error. */
static int parse(const char *text, size_t length, struct parsed *ret)
{
        _cleanup_free_ char *copy = exact_copy(text, length);
        struct schedstat_reader reader;
        int r;

        *ret = (struct parsed){0};
        r = schedstat_begin(&reader, copy, length);
        if (r < 0)
                return r;
        while ((r = schedstat_next(&reader, &ret->cpus[ret->n])) > 0) {
                ret->n++;
                assert_true(ret->n < CPUS_MAX);
        }
        return r;
}

static void assert_sets(const char *name, const char *expected_present,
                        const char *expected_without_domain)
{
        _cleanup_cpuset_ struct cpuset present = {0}, without = {0};
        _cleanup_free_ char *present_text = NULL, *without_text = NULL;
        _cleanup_buffer_ struct buffer text = {0};
        struct parsed parsed;

        fixture_read(&text, name);
        assert_int_equal(parse(text.data, text.length, &parsed), 0);
        for (unsigned i = 0; i < parsed.n; i++) {
                assert_int_equal(cpuset_add(&present, parsed.cpus[i].cpu), 0);
                if (!parsed.cpus[i].has_domain)
                        assert_int_equal(cpuset_add(&without, parsed.cpus[i].cpu), 0);
        }
        assert_int_equal(cpuset_format_list(&present, &present_text), 0);
        assert_int_equal(cpuset_format_list(&without, &without_text), 0);
        assert_string_equal(present_text, expected_present);
        assert_string_equal(without_text, expected_without_domain);
}

static void test_fixtures(void **state)
{
        static const struct {
                const char *name, *present, *without;
        } all[] = {
                {"linux-6.1/proc_schedstat", "0-7", ""},
                {"linux-6.1/proc_schedstat.cpu3-offline", "0-2,4-7", ""},
                {"linux-6.1/proc_schedstat.isolcpus", "0-7", "2-3"},
                {"linux-6.1/proc_schedstat.partition-isolated", "0-7", "6-7"},
                {"linux-6.1/proc_schedstat.partition-root", "0-7", ""},
                {"linux-6.12/proc_schedstat", "0-7", ""},
                {"linux-6.12/proc_schedstat.64cpus-schedstats-on", "0-63", ""},
                {"linux-6.12/proc_schedstat.cpu3-offline", "0-2,4-7", ""},
                {"linux-6.12/proc_schedstat.isolcpus", "0-7", "2-3"},
                {"linux-6.12/proc_schedstat.partition-isolated", "0-7", "6-7"},
                {"linux-6.12/proc_schedstat.partition-root", "0-7", ""},
                {"linux-6.12-rt/proc_schedstat", "0-7", ""},
                {"linux-6.12-rt/proc_schedstat.cpu3-offline", "0-2,4-7", ""},
                {"linux-6.12-rt/proc_schedstat.partition-isolated", "0-7", "6-7"},
                {"linux-6.12-rt/proc_schedstat.partition-root", "0-7", ""},
                {"linux-7.2/proc_schedstat", "0-7", ""},
                {"linux-7.2/proc_schedstat.cpu3-offline", "0-2,4-7", ""},
                {"linux-7.2/proc_schedstat.isolcpus", "0-7", "2-3"},
                {"linux-7.2/proc_schedstat.partition-isolated", "0-7", "6-7"},
                {"linux-7.2/proc_schedstat.partition-root", "0-7", ""},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                assert_sets(all[i].name, all[i].present, all[i].without);
}

static void assert_run_delays(const char *name, nsec_t first, nsec_t last)
{
        _cleanup_buffer_ struct buffer text = {0};
        struct parsed parsed;

        fixture_read(&text, name);
        assert_int_equal(parse(text.data, text.length, &parsed), 0);
        assert_int_equal(parsed.cpus[0].run_delay_nsec, first);
        assert_int_equal(parsed.cpus[parsed.n - 1].run_delay_nsec, last);
}

static void test_run_delay(void **state)
{
        (void)state;
        assert_run_delays("linux-6.1/proc_schedstat.isolcpus", 2214447231, 1692680368);
        assert_run_delays("linux-7.2/proc_schedstat.partition-isolated", 1573147602, 3831131825);
        /* With kernel.sched_schedstats on, the numbers before it count too. */
        assert_run_delays("linux-6.12/proc_schedstat.64cpus-schedstats-on", 976758047, 6067655);
}

/* Each text has one CPU, number 5. */
static void test_layouts(void **state)
{
        static const struct {
                const char *text;
                nsec_t run_delay;
                bool has_domain;
        } good[] = {
                /* Version 14 has three numbers more, before the last three. */
                {HEAD("14") "cpu5 1 2 3 4 5 6 7 8 9 10 11 12\n", 11, false},
                {HEAD("14") "cpu5 1 2 3 4 5 6 7 8 9 10 11 12 13\n", 11, false},
                {HEAD("15") "cpu5 1 2 3 4 5 6 7 8 9\n", 8, false},
                /* Columns that a vendor appended. */
                {HEAD("15") "cpu5 1 2 3 4 5 6 7 8 9 10 11 12\n", 8, false},
                {HEAD("16") "cpu5 1 2 3 4 5 6 7 8 9\ndomain0 30" DOMAIN_16, 8, true},
                {HEAD("16") "cpu5 1 2 3 4 5 6 7 8 9\ndomain0 30 77 88" DOMAIN_16, 8, true},
                {HEAD("16") "cpu5 1 2 3 4 5 6 7 8 9\ndomain1 00000001,00000030" DOMAIN_16, 8, true},
                {HEAD("17") "cpu5 1 2 3 4 5 6 7 8 9\ndomain0 SMT 30" DOMAIN_17, 8, true},
                /* The shape tells a name from a mask, whatever the version says. */
                {HEAD("17") "cpu5 1 2 3 4 5 6 7 8 9\ndomain0 30" DOMAIN_17, 8, true},
                {HEAD("16") "cpu5 1 2 3 4 5 6 7 8 9\ndomain0 SMT 30" DOMAIN_16, 8, true},
                /* A version to come. */
                {HEAD("18") "cpu5 1 2 3 4 5 6 7 8 9\ndomain0 SMT 30 1 2 3\n", 8, true},
                /* The first six wrap; the last three are of 64 bits. */
                {HEAD("15") "cpu5 4294967295 0 0 0 0 0 7 18446744073709551614 9\n",
                 18446744073709551614U, false},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                struct parsed parsed;

                if (parse(good[i].text, strlen(good[i].text), &parsed) != 0 || parsed.n != 1)
                        fail_msg("refused: %s", good[i].text);
                assert_int_equal(parsed.cpus[0].cpu, 5);
                assert_int_equal(parsed.cpus[0].run_delay_nsec, good[i].run_delay);
                assert_int_equal(parsed.cpus[0].has_domain, good[i].has_domain);
        }
}

static void test_bad(void **state)
{
        static const char *const bad[] = {
                "",
                "\n",
                "version 15\n",
                HEAD("15"),
                HEAD("13") "cpu0 1 2 3 4 5 6 7 8 9 10 11 12\n",
                HEAD("0") "cpu0 1 2 3 4 5 6 7 8 9\n",
                HEAD("-15") "cpu0 1 2 3 4 5 6 7 8 9\n",
                HEAD("99999999999999999999") "cpu0 1 2 3 4 5 6 7 8 9\n",
                "version 15\ncpu0 1 2 3 4 5 6 7 8 9\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8\n",
                HEAD("14") "cpu0 1 2 3 4 5 6 7 8 9 10 11\n",
                /* Unknown versions must have just the known shape. */
                HEAD("18") "cpu0 1 2 3 4 5 6 7 8 9 10\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 18446744073709551616\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9x\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 -8 9\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8.5 9\n",
                HEAD("15") "cpu 0 1 2 3 4 5 6 7 8 9\n",
                HEAD("15") "cpu8192 1 2 3 4 5 6 7 8 9\n",
                HEAD("15") "cpu4294967296 1 2 3 4 5 6 7 8 9\n",
                /* A number is missing: what follows must not take its place. */
                HEAD("15") "cpu0 1 2 3  5 6 7 8 9 10\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9 \ncpu1\n",
                /* Out of order, twice. */
                HEAD("15") "cpu1 1 2 3 4 5 6 7 8 9\ncpu0 1 2 3 4 5 6 7 8 9\n",
                HEAD("15") "cpu1 1 2 3 4 5 6 7 8 9\ncpu1 1 2 3 4 5 6 7 8 9\n",
                /* A domain of no CPU. */
                HEAD("15") "domain0 03" DOMAIN_16,
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\ndomain0 03 1 2 3\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\ndomain0 SMT MC 03" DOMAIN_16,
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\ndomain0\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\ndomainx 03" DOMAIN_16,
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\n\ncpu1 1 2 3 4 5 6 7 8 9\n",
                HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\nhello\n",
        };
        static const char binary[] = HEAD("15") "cpu0 1 2 3 4 5 6 7 8 9\n\0\0\xff\n";
        struct parsed parsed;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (parse(bad[i], strlen(bad[i]), &parsed) != -EPROTO)
                        fail_msg("not refused: %s", bad[i]);
        assert_int_equal(parse(binary, sizeof(binary) - 1, &parsed), -EPROTO);
}

/* Cut between two lines, the text is one of fewer CPUs, and the last may miss domains; cut anywhere
 * else, it is refused. No cut gives another number. */
static void test_truncated(void **state)
{
        static const char *const names[] = {"linux-6.1/proc_schedstat.isolcpus",
                                            "linux-7.2/proc_schedstat.partition-root"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_buffer_ struct buffer text = {0};
                struct parsed whole, part;

                fixture_read(&text, names[i]);
                assert_int_equal(parse(text.data, text.length, &whole), 0);
                for (size_t length = 0; length < text.length; length++) {
                        if (parse(text.data, length, &part) < 0)
                                continue;
                        assert_int_equal(text.data[length - 1], '\n');
                        for (unsigned j = 0; j < part.n; j++) {
                                assert_int_equal(part.cpus[j].cpu, whole.cpus[j].cpu);
                                assert_int_equal(part.cpus[j].run_delay_nsec,
                                                 whole.cpus[j].run_delay_nsec);
                                assert_true(part.cpus[j].has_domain == whole.cpus[j].has_domain ||
                                            j + 1 == part.n);
                        }
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fixtures),  cmocka_unit_test(test_run_delay),
                cmocka_unit_test(test_layouts),   cmocka_unit_test(test_bad),
                cmocka_unit_test(test_truncated),
        };

        return cmocka_run_group_tests_name("schedstat", tests, NULL, NULL);
}
