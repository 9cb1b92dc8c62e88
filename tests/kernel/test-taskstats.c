/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/taskstats.h"

#include <errno.h>
#include <sys/wait.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>

#include "fixture.h"

/* An answer of the kernel, piece by piece. */
struct answer {
        _Alignas(8) char data[1024];
        size_t length;
};

static void *append(struct answer *answer, size_t size)
{
        void *place = answer->data + answer->length;

        answer->length += NLA_ALIGN(size);
        assert_true(answer->length <= sizeof(answer->data));
        return place;
}

static struct nlattr *open_attribute(struct answer *answer, uint16_t type)
{
        struct nlattr *attribute = append(answer, NLA_HDRLEN);

        attribute->nla_type = type;
        attribute->nla_len = NLA_HDRLEN;
        return attribute;
}

static void close_attribute(const struct answer *answer, struct nlattr *attribute)
{
        attribute->nla_len = (uint16_t)(answer->data + answer->length - (char *)attribute);
}

/* The answer about TID of a kernel of VERSION with SIZE bytes of statistics. */
static void make_answer(struct answer *answer, uint32_t tid, uint16_t version, size_t size)
{
        const uint64_t counts[] = {7, 9};
        struct nlattr *group, *inner;
        char *stats;

        *answer = (struct answer){0};
        append(answer, GENL_HDRLEN);
        group = open_attribute(answer, TASKSTATS_TYPE_AGGR_PID);
        inner = open_attribute(answer, TASKSTATS_TYPE_PID);
        memcpy(append(answer, sizeof(tid)), &tid, sizeof(tid));
        close_attribute(answer, inner);
        inner = open_attribute(answer, TASKSTATS_TYPE_STATS);
        stats = append(answer, size);
        close_attribute(answer, inner);
        close_attribute(answer, group);
        if (size >= sizeof(version))
                memcpy(stats, &version, sizeof(version));
        if (size >= 288)
                memcpy(stats + 272, counts, sizeof(counts));
}

static int parse(const struct answer *answer, size_t length, struct kernel_switches *ret)
{
        _cleanup_free_ char *copy = exact_copy(answer->data, length);

        return taskstats_parse(copy, length, 42, ret);
}

static void assert_answer(uint32_t tid, uint16_t version, size_t size, int error)
{
        struct kernel_switches switches = {1, 2};
        struct answer answer;

        make_answer(&answer, tid, version, size);
        assert_int_equal(parse(&answer, answer.length, &switches), error);
        assert_int_equal(switches.n_voluntary, error == 0 ? 7 : 1);
        assert_int_equal(switches.n_involuntary, error == 0 ? 9 : 2);
}

static void test_versions(void **state)
{
        (void)state;
        assert_answer(42, 10, 328, 0);
        assert_answer(42, 13, 416, 0);
        assert_answer(42, 14, 432, 0);
        assert_answer(42, 15, 560, -EPROTONOSUPPORT);
        assert_answer(42, 16, 560, 0);
        assert_answer(42, 17, 600, 0);
        assert_answer(42, 7, 328, -EPROTONOSUPPORT);
        assert_answer(42, 0, 328, -EPROTONOSUPPORT);
}

static void test_lengths(void **state)
{
        (void)state;
        assert_answer(42, 13, 288, 0);
        assert_answer(42, 13, 284, -EBADMSG);
        assert_answer(42, 13, 0, -EBADMSG);
        assert_answer(42, 15, 4, -EPROTONOSUPPORT); /* the version is looked at first */
        assert_answer(43, 13, 416, -EBADMSG);       /* about somebody else */
}

/* Whatever is cut off or flipped, nothing is read past the end. */
static void test_damage(void **state)
{
        struct kernel_switches switches;
        struct answer answer;

        (void)state;
        make_answer(&answer, 42, 13, 416);
        for (size_t length = 0; length < answer.length; length++)
                assert_int_equal(parse(&answer, length, &switches), -EBADMSG);
        for (size_t i = 0; i < 40; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        answer.data[i] ^= (char)(1U << bit);
                        (void)parse(&answer, answer.length, &switches);
                        answer.data[i] ^= (char)(1U << bit);
                }
}

/* The offsets that the parser goes by are those of the header of any version but 15. */
static void test_header(void **state)
{
        (void)state;
        if (TASKSTATS_VERSION == 15)
                skip();
        assert_int_equal(offsetof(struct taskstats, nvcsw), 272);
        assert_int_equal(offsetof(struct taskstats, nivcsw), 280);
}

static struct taskstats_client *connect_or_skip(void)
{
        struct taskstats_client *client = NULL;
        int r = taskstats_new(&client);

        if (r == -EPERM || r == -EPROTONOSUPPORT) {
                print_message("skipped: %s\n", r == -EPERM ? "taskstats needs CAP_NET_ADMIN"
                                                           : "this kernel has no taskstats");
                skip();
        }
        assert_int_equal(r, 0);
        return client;
}

static uint64_t voluntary(struct taskstats_client *client)
{
        struct kernel_switches switches;

        assert_int_equal(taskstats_read(client, gettid(), &switches), 0);
        return switches.n_voluntary;
}

static void test_this_kernel(void **state)
{
        _cleanup_(taskstats_freep) struct taskstats_client *client = NULL;
        struct kernel_switches switches = {1, 2};
        uint64_t before;
        pid_t child;

        (void)state;
        client = connect_or_skip();
        before = voluntary(client);
        /* On a busy machine a sleep may be over before it began, which is no switch. */
        for (unsigned i = 0; i < 90 && voluntary(client) < before + 5; i++)
                (void)usleep(1000);
        assert_in_range(voluntary(client), before + 5, before + 100);

        child = fork();
        if (child == 0)
                _exit(0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(taskstats_read(client, child, &switches), -ESRCH);
        assert_int_equal(switches.n_voluntary, 1);
        assert_true(voluntary(client) >= before);
}

static void test_without_capability(void **state)
{
        struct taskstats_client *client = NULL;
        int status = 0;
        pid_t child;

        (void)state;
        taskstats_free(connect_or_skip());
        child = fork();
        if (child == 0)
                _exit(setuid(65534) < 0 ? 0 : -taskstats_new(&client));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EPERM);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_versions),    cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_damage),      cmocka_unit_test(test_header),
                cmocka_unit_test(test_this_kernel), cmocka_unit_test(test_without_capability),
        };

        return cmocka_run_group_tests_name("taskstats", tests, NULL, NULL);
}
