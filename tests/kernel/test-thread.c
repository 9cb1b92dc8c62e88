/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fixture.h"

#include <errno.h>
#include <limits.h>

#include "base/parse.h"
#include "kernel/thread.h"

/* What follows the name in stat. Field 9 is FLAGS, 19 is NICE, 39 is CPU. */
#define REST(flags, nice, cpu)                                                                     \
        " S 216 200 200 0 -1 " flags " 75 0 0 0 7 4 0 0 -51 " nice " 1 0 1124 3125248 229 "        \
        "18446744073709551615 1 2 3 0 0 0 0 4096 0 0 0 0 17 " cpu " 98 1 0 0 0\n"
#define USUAL REST("4194304", "-5", "6")

static int parse_counters(const char *text, size_t length, struct kernel_counters *ret)
{
        _cleanup_free_ char *copy = exact_copy(text, length);

        return thread_parse_counters(copy, length, ret);
}

static int parse_stat(const char *text, size_t length, struct kernel_thread *ret)
{
        _cleanup_free_ char *copy = exact_copy(text, length);

        return thread_parse_stat(copy, length, ret);
}

static int parse_allowed(const char *text, size_t length, struct cpuset *ret)
{
        _cleanup_free_ char *copy = exact_copy(text, length);

        return thread_parse_allowed(copy, length, ret);
}

static void test_counters(void **state)
{
        static const struct {
                const char *text;
                int r;
                struct kernel_counters counters;
        } all[] = {
                {"136878755 21420487 3\n", 0, {136878755, 21420487, 3}},
                {"0 0 0\n", 0, {0, 0, 0}},
                {"1 2 3 4\n", 0, {1, 2, 3}},
                {"18446744073709551615 2 3\n", 0, {UINT64_MAX, 2, 3}},
                {"", -EPROTO, {0}},
                {"\n", -EPROTO, {0}},
                {"1 2\n", -EPROTO, {0}},
                {"1 2 3", -EPROTO, {0}},
                {"1 2 3\n4", -EPROTO, {0}},
                {"1 2 x\n", -EPROTO, {0}},
                {"1 -2 3\n", -EPROTO, {0}},
                {"1 2 3x\n", -EPROTO, {0}},
                {"1 2 3 x\n", -EPROTO, {0}},
                {"18446744073709551616 2 3\n", -EPROTO, {0}},
                {"\xff\xfe\x01 2 3\n", -EPROTO, {0}},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                struct kernel_counters counters = {0};

                if (parse_counters(all[i].text, strlen(all[i].text), &counters) != all[i].r)
                        fail_msg("not %d: %s", all[i].r, all[i].text);
                assert_memory_equal(&counters, &all[i].counters, sizeof(counters));
        }
        assert_int_equal(parse_counters("1 2 3\0\n", 7, &(struct kernel_counters){0}), -EPROTO);
}

static void test_counters_truncated(void **state)
{
        _cleanup_buffer_ struct buffer text = {0};
        struct kernel_counters counters;

        (void)state;
        fixture_read(&text, "linux-6.1/proc_self_schedstat");
        for (size_t length = 0; length < text.length; length++)
                assert_int_equal(parse_counters(text.data, length, &counters), -EPROTO);
        assert_int_equal(parse_counters(text.data, text.length, &counters), 0);
}

static void test_stat_fixtures(void **state)
{
        static const struct {
                const char *name;
                pid_t ppid;
                uint64_t start_ticks;
                unsigned cpu;
        } all[] = {
                {"linux-6.1/self_stat", 216, 1124, 6},
                {"linux-6.12/self_stat", 305, 1294, 6},
                {"linux-6.12-rt/self_stat", 386, 1573, 6},
                {"linux-7.2/self_stat", 270, 1399, 3},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                _cleanup_buffer_ struct buffer text = {0};
                struct kernel_thread thread;

                fixture_read(&text, all[i].name);
                assert_int_equal(parse_stat(text.data, text.length, &thread), 0);
                assert_string_equal(thread.comm, "cat");
                assert_int_equal(thread.state, 'R');
                assert_int_equal(thread.ppid, all[i].ppid);
                assert_false(thread.kernel_thread);
                assert_int_equal(thread.nice, 0);
                assert_int_equal(thread.n_threads, 1);
                assert_int_equal(thread.start_ticks, all[i].start_ticks);
                assert_int_equal(thread.cpu, all[i].cpu);
                assert_int_equal(thread.rt_priority, 0);
                assert_int_equal(thread.policy, 0);
        }
}

static void test_stat_fields(void **state)
{
        static const char text[] = "250 (kworker/6:1H-kblockd)" REST("69238880", "-20", "8191");
        struct kernel_thread thread;

        (void)state;
        assert_int_equal(parse_stat(text, strlen(text), &thread), 0);
        assert_string_equal(thread.comm, "kworker/6:1H-kb");
        assert_int_equal(thread.state, 'S');
        assert_true(thread.kernel_thread);
        assert_int_equal(thread.nice, -20);
        assert_int_equal(thread.start_ticks, 1124);
        assert_int_equal(thread.cpu, 8191);
        assert_int_equal(thread.rt_priority, 98);
        assert_int_equal(thread.policy, SCHED_FIFO);
}

static void test_stat_names(void **state)
{
        static const char *const names[] = {
                "",
                " ",
                ")",
                "(",
                ")))))))))))))))",
                "a b",
                ") R 1 2",
                "\n",
                "a\n1 (b) R",
                "(((((((((((((((",
                "\x1b[2J",
                "\xff\xfe",
                "x) Z 0 0 0 0",
                ") R 0 0 0\n",
                "\xc3\xa4\xc3\xb6",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct kernel_thread thread;
                char text[512];

                (void)snprintf(text, sizeof(text), "250 (%s)%s", names[i], USUAL);
                assert_int_equal(parse_stat(text, strlen(text), &thread), 0);
                assert_string_equal(thread.comm, names[i]);
                assert_int_equal(thread.state, 'S');
                assert_int_equal(thread.ppid, 216);
                assert_int_equal(thread.nice, -5);
                assert_int_equal(thread.cpu, 6);
        }
}

static void test_stat_bad(void **state)
{
        static const char *const bad[] = {
                "",
                "\n",
                "250\n",
                "250 (a\n",
                "250 (a)\n",
                "250 (a) \n",
                "250 (a) S\n",
                "250 a" USUAL,
                "(a)" USUAL,
                "x (a)" USUAL,
                "250(a)" USUAL,
                "250 a)" USUAL,
                "250 (a) 7 216 200\n",
                "250 (a)" REST("4194304", "0", "8192"),
                "250 (a)" REST("4194304", "0", "-1"),
                "250 (a)" REST("4194304", "0", "18446744073709551615"),
                "250 (a)" REST("4194304", "0", "99999999999999999999"),
                "250 (a)" REST("4194304", "20", "0"),
                "250 (a)" REST("4194304", "-21", "0"),
                "250 (a)" REST("4294967296", "0", "0"),
                "250 (a)" REST("-1", "0", "0"),
                "250 (a)" REST("x", "0", "0"),
                "250 (a)" REST("", "0", "0"),
                "250 (a)" REST("1.5", "0", "0"),
                "250 (a)" REST("1\n", "0", "0"),
                "250 (a)" USUAL "\n",
                "250 (a)" USUAL "x\n",
        };
        static const char with_nul[] = "250 (a\0b)" USUAL;
        struct kernel_thread thread;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (parse_stat(bad[i], strlen(bad[i]), &thread) != -EPROTO)
                        fail_msg("not refused: %s", bad[i]);
        assert_int_equal(parse_stat(with_nul, sizeof(with_nul) - 1, &thread), -EPROTO);
}

static void test_stat_truncated(void **state)
{
        static const char hostile[] = "250 () R 1 2 3\n4)" USUAL;
        struct kernel_thread thread;

        (void)state;
        for (size_t length = 0; length < strlen(hostile); length++)
                assert_int_equal(parse_stat(hostile, length, &thread), -EPROTO);
        assert_int_equal(parse_stat(hostile, strlen(hostile), &thread), 0);
}

static void test_switches(void **state)
{
        static const struct {
                const char *text;
                int error;
        } cases[] = {
                {"voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t34\n", 0},
                {"Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t34\nx\n", 0},
                {"", -EPROTO},
                {"voluntary_ctxt_switches:\t12\n", -EPROTO},
                {"nonvoluntary_ctxt_switches:\t34\n", -EPROTO},
                {"voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t34", -EPROTO},
                {"voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t\n", -EPROTO},
                {"voluntary_ctxt_switches:\t-1\nnonvoluntary_ctxt_switches:\t34\n", -EPROTO},
                {"voluntary_ctxt_switches:\t12 0\nnonvoluntary_ctxt_switches:\t34\n", -EPROTO},
                {"voluntary_ctxt_switches:\t99999999999999999999\n"
                 "nonvoluntary_ctxt_switches:\t34\n",
                 -EPROTO},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct kernel_switches switches = {1, 2};
                const char *text = cases[i].text;

                assert_int_equal(thread_parse_switches(text, strlen(text), &switches),
                                 cases[i].error);
                assert_int_equal(switches.n_voluntary, cases[i].error ? 1 : 12);
                assert_int_equal(switches.n_involuntary, cases[i].error ? 2 : 34);
        }
}

static void test_process(void **state)
{
        static const struct {
                const char *text;
                int error;
        } cases[] = {
                {"Name:\tTgid:\nState:\tS (sleeping)\nTgid:\t12\nPid:\t13\n", 0},
                {"Tgid:\t2147483647\n", 0},
                {"", -EPROTO},
                {"Pid:\t12\n", -EPROTO},
                {"Tgid:\t12", -EPROTO},
                {"Tgid:\t\n", -EPROTO},
                {"Tgid:\t0\n", -EPROTO},
                {"Tgid:\t-1\n", -EPROTO},
                {"Tgid:\t12 13\n", -EPROTO},
                {"Tgid:\t2147483648\n", -EPROTO},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *text = cases[i].text;
                pid_t tgid = -1;

                assert_int_equal(thread_parse_process(text, strlen(text), &tgid), cases[i].error);
                assert_int_equal(tgid, cases[i].error ? -1 : i == 0 ? 12 : 2147483647);
        }
}

static void test_allowed(void **state)
{
        static const struct {
                const char *text;
                int r;
                const char *list;
        } all[] = {
                {"Name:\tcat\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n", 0, "0-7"},
                {"Cpus_allowed:\t00000001,00000000,80000000\n", 0, "31,64"},
                /* The kernel writes line ends in a name as "\n". */
                {"Name:\tCpus_allowed:\\n1\nCpus_allowed:\t2\n", 0, "1"},
                {"", -EPROTO, NULL},
                {"Cpus_allowed:\tff", -EPROTO, NULL},
                {"Cpus_allowed_list:\t0-7\n", -EPROTO, NULL},
                {"Cpus_allowed:\t\n", -EPROTO, NULL},
                {"Cpus_allowed:\t0\n", -EPROTO, NULL},
                {"Cpus_allowed:\tfg\n", -EPROTO, NULL},
                {"Cpus_allowed:\t1,f\n", -EPROTO, NULL},
                {"xCpus_allowed:\tf\n", -EPROTO, NULL},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                _cleanup_cpuset_ struct cpuset set = {0};
                _cleanup_free_ char *list = NULL;

                if (parse_allowed(all[i].text, strlen(all[i].text), &set) != all[i].r)
                        fail_msg("not %d: %s", all[i].r, all[i].text);
                if (all[i].r < 0)
                        continue;
                assert_int_equal(cpuset_format_list(&set, &list), 0);
                assert_string_equal(list, all[i].list);
        }
}

static void test_allowed_truncated(void **state)
{
        _cleanup_buffer_ struct buffer text = {0};
        struct scanner rest, line;
        size_t needed;

        (void)state;
        fixture_read(&text, "linux-6.12/self_status");
        rest = (struct scanner){text.data, text.data + text.length};
        do
                assert_true(scan_line(&rest, &line));
        while (!scan_prefix(&line, "Cpus_allowed:"));
        needed = (size_t)(rest.at - text.data);
        for (size_t length = 0; length <= text.length; length++) {
                _cleanup_cpuset_ struct cpuset set = {0};

                assert_int_equal(parse_allowed(text.data, length, &set),
                                 length < needed ? -EPROTO : 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_counters),          cmocka_unit_test(test_counters_truncated),
                cmocka_unit_test(test_stat_fixtures),     cmocka_unit_test(test_stat_fields),
                cmocka_unit_test(test_stat_names),        cmocka_unit_test(test_stat_bad),
                cmocka_unit_test(test_stat_truncated),    cmocka_unit_test(test_switches),
                cmocka_unit_test(test_process),           cmocka_unit_test(test_allowed),
                cmocka_unit_test(test_allowed_truncated),
        };

        return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
