/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/procevents.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>

#include "fixture.h"

#include "kernel/sequences.h"

/* A message of the connector as the kernel lays it out. */
struct message {
        struct nlmsghdr header;
        struct {
                struct cb_id id;
                uint32_t seq, ack;
                uint16_t len, flags;
        } connector; /* struct cn_msg, without its flexible array */
        unsigned char event[sizeof(struct proc_event)];
};

static struct message make_message(const struct proc_event *event, uint32_t seq, uint32_t ack)
{
        struct message m = {
                .header = {.nlmsg_len = offsetof(struct message, event) + sizeof(*event),
                           .nlmsg_type = NLMSG_DONE},
                .connector = {.id = {CN_IDX_PROC, CN_VAL_PROC},
                              .seq = seq,
                              .ack = ack,
                              .len = sizeof(*event)},
        };

        memcpy(m.event, event, sizeof(*event));
        return m;
}

static int parse(const struct message *message, size_t length, struct procevents_message *ret)
{
        _cleanup_free_ char *copy = exact_copy((const char *)message, length);

        return procevents_parse(copy, length, ret);
}

static size_t length_of(const struct message *message)
{
        return message->header.nlmsg_len;
}

static void test_fork(void **state)
{
        const struct proc_event event = {
                .what = PROC_EVENT_FORK,
                .cpu = 3,
                .event_data.fork = {.parent_pid = 1,
                                    .parent_tgid = 2,
                                    .child_pid = 4,
                                    .child_tgid = 5},
        };
        struct message message = make_message(&event, 17, 0);
        struct procevents_message parsed;

        (void)state;
        assert_int_equal(parse(&message, length_of(&message), &parsed), 0);
        assert_int_equal(parsed.cpu, 3);
        assert_int_equal(parsed.seq, 17);
        assert_false(parsed.acknowledges);
        assert_true(parsed.has_event);
        assert_int_equal(parsed.event.type, KERNEL_EVENT_FORK);
        assert_int_equal(parsed.event.tid, 4);
        assert_int_equal(parsed.event.tgid, 5);
        assert_int_equal(parsed.event.parent_tid, 1);
        assert_int_equal(parsed.event.parent_tgid, 2);
}

static void test_kinds(void **state)
{
        static const struct {
                uint32_t what;
                bool told;
                enum kernel_event_type type;
        } kinds[] = {
                {(uint32_t)PROC_EVENT_EXEC, true, KERNEL_EVENT_EXEC},
                {(uint32_t)PROC_EVENT_COMM, true, KERNEL_EVENT_COMM},
                {(uint32_t)PROC_EVENT_EXIT, true, KERNEL_EVENT_EXIT},
                {(uint32_t)PROC_EVENT_UID, false, 0},
                {(uint32_t)PROC_EVENT_SID, false, 0},
                {0x800, false, 0},
                {3, false, 0},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                struct proc_event event = {.event_data.exec = {8, 9}};
                struct procevents_message parsed;
                struct message message;

                memcpy(&event, &kinds[i].what, sizeof(kinds[i].what));
                message = make_message(&event, 0, 0);
                assert_int_equal(parse(&message, length_of(&message), &parsed), 0);
                assert_int_equal(parsed.has_event, kinds[i].told);
                if (!kinds[i].told)
                        continue;
                assert_int_equal(parsed.event.type, kinds[i].type);
                assert_int_equal(parsed.event.tid, 8);
                assert_int_equal(parsed.event.tgid, 9);
        }
}

static void test_acknowledgement(void **state)
{
        struct proc_event event = {.what = PROC_EVENT_NONE, .event_data.ack.err = EPERM};
        struct message message = make_message(&event, 5, 101);
        struct procevents_message parsed;

        (void)state;
        assert_int_equal(parse(&message, length_of(&message), &parsed), 0);
        assert_true(parsed.acknowledges);
        assert_false(parsed.has_event);
        assert_int_equal(parsed.ack, 101);
        assert_int_equal(parsed.error, -EPERM);
}

static void test_bad_messages(void **state)
{
        const struct proc_event event = {.what = PROC_EVENT_FORK};
        const struct message good = make_message(&event, 0, 0);
        struct procevents_message parsed;
        struct message bad;

        (void)state;
        for (size_t length = 0; length < length_of(&good); length++)
                assert_int_equal(parse(&good, length, &parsed), -EBADMSG);
        bad = good;
        bad.header.nlmsg_len = 20;
        assert_int_equal(parse(&bad, length_of(&good), &parsed), -EBADMSG);
        bad = good;
        bad.connector.len = sizeof(event) + 1;
        assert_int_equal(parse(&bad, length_of(&good), &parsed), -EBADMSG);
        bad = good;
        bad.connector.len = 31;
        assert_int_equal(parse(&bad, length_of(&good), &parsed), -EBADMSG);
        bad = good;
        bad.connector.id.idx = CN_IDX_PROC + 1;
        assert_int_equal(parse(&bad, length_of(&good), &parsed), -EBADMSG);
}

static void test_sequences(void **state)
{
        struct sequences sequences = {0};

        (void)state;
        assert_int_equal(sequences_take(&sequences, 3, 100), 0); /* the first: any number */
        assert_int_equal(sequences_take(&sequences, 3, 101), 0);
        assert_int_equal(sequences_take(&sequences, 0, 7), 0);
        assert_int_equal(sequences_take(&sequences, 3, 103), 1); /* 102 is lost: told once */
        assert_int_equal(sequences_take(&sequences, 3, 103), 0);
        assert_int_equal(sequences_take(&sequences, 0, 8), 0);
        assert_int_equal(sequences_take(&sequences, 0, 8), 1);
        assert_int_equal(sequences_take(&sequences, UINT32_MAX, 1), 0);
        assert_int_equal(sequences_take(&sequences, UINT32_MAX, 9), 0);

        sequences_forget(&sequences);
        assert_int_equal(sequences_take(&sequences, 3, UINT32_MAX), 0);
        assert_int_equal(sequences_take(&sequences, 3, 0), 0); /* they wrap */
        sequences_done(&sequences);
}

/* The kernel's events, or the end of the test where there are none. */
static struct procevents *subscribe_or_skip(void)
{
        struct procevents *events = NULL;
        int r = procevents_new(&events);

        if (r == -EPERM || r == -EPROTONOSUPPORT || r == -EOPNOTSUPP) {
                print_message("skipped: process events: %s\n", strerror(-r));
                skip();
        }
        assert_int_equal(r, 0);
        return events;
}

/* Takes events until one of TYPE about TID, which must be there already. */
static void expect(struct procevents *events, enum kernel_event_type type, pid_t tid,
                   struct kernel_event *ret)
{
        int r;

        while ((r = procevents_next(events, ret)) == 1)
                if (ret->type == type && ret->tid == tid)
                        return;
        fail_msg("no event of kind %d about %d: %d", (int)type, tid, r);
}

static pid_t fork_and_wait(void)
{
        pid_t child = fork();

        if (child == 0)
                _exit(0);
        assert_true(child > 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        return child;
}

static void *report_tid(void *tid)
{
        *(pid_t *)tid = gettid();
        return NULL;
}

static void test_births_and_deaths(void **state)
{
        _cleanup_(procevents_freep) struct procevents *events = subscribe_or_skip();
        struct kernel_event event;
        pthread_t thread;
        pid_t child, tid;

        (void)state;
        child = fork_and_wait();
        expect(events, KERNEL_EVENT_FORK, child, &event);
        assert_int_equal(event.tgid, child);
        assert_int_equal(event.parent_tgid, getpid());
        expect(events, KERNEL_EVENT_EXIT, child, &event);

        assert_int_equal(pthread_create(&thread, NULL, report_tid, &tid), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        expect(events, KERNEL_EVENT_FORK, tid, &event);
        assert_int_equal(event.tgid, getpid());

        assert_int_equal(prctl(PR_SET_NAME, "renamed"), 0);
        expect(events, KERNEL_EVENT_COMM, gettid(), &event);
}

/* Two may listen: the second one's subscription and its end are nothing to the first. */
static void test_two_listeners(void **state)
{
        _cleanup_(procevents_freep) struct procevents *events = subscribe_or_skip();
        struct procevents *other = subscribe_or_skip();
        struct kernel_event event;
        pid_t child;

        (void)state;
        child = fork_and_wait();
        expect(other, KERNEL_EVENT_FORK, child, &event);
        expect(events, KERNEL_EVENT_FORK, child, &event);
        procevents_free(other);
        child = fork_and_wait();
        expect(events, KERNEL_EVENT_FORK, child, &event);
}

/* Reads to the end of the queue. Returns how often a loss was told. */
static unsigned count_losses(struct procevents *events)
{
        struct kernel_event event;
        unsigned losses = 0;
        int r;

        while ((r = procevents_next(events, &event)) != 0) {
                if (r == 1)
                        continue;
                assert_int_equal(r, -ENOBUFS);
                losses++;
        }
        return losses;
}

static void set_buffer(const struct procevents *events, int bytes)
{
        assert_int_equal(
                setsockopt(procevents_fd(events), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

/* However many are lost, a loss is told once, after which events come again. */
static void test_overflow(void **state)
{
        _cleanup_(procevents_freep) struct procevents *events = subscribe_or_skip();
        struct kernel_event event;
        cpu_set_t before, here;
        pid_t child;

        (void)state;
        /* On one CPU, so that the same numbers go on before and after. */
        assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
        CPU_ZERO(&here);
        CPU_SET(sched_getcpu(), &here);
        assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
        child = fork_and_wait();
        expect(events, KERNEL_EVENT_FORK, child, &event);

        set_buffer(events, 1); /* the least that the kernel permits: two or three events */
        for (unsigned i = 0; i < 100; i++)
                (void)fork_and_wait();
        set_buffer(events, 128 << 10); /* enough for what others do from here on */
        assert_int_equal(count_losses(events), 1);
        assert_int_equal(count_losses(events), 0);
        child = fork_and_wait();
        expect(events, KERNEL_EVENT_FORK, child, &event);
        assert_int_equal(count_losses(events), 0);
        assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* A message of anyone but the kernel is no event, and its number makes no hole. */
static void test_forged_message(void **state)
{
        _cleanup_(procevents_freep) struct procevents *events = subscribe_or_skip();
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_CONNECTOR);
        struct sockaddr_nl address;
        socklen_t size = sizeof(address);
        struct kernel_event event;
        struct message message;
        pid_t child;

        (void)state;
        message = make_message(
                &(struct proc_event){.what = PROC_EVENT_FORK, .event_data.fork.child_pid = 1},
                1000000, 0);
        assert_int_equal(getsockname(procevents_fd(events), (struct sockaddr *)&address, &size), 0);
        address.nl_groups = 0;
        if (sendto(fd, &message, sizeof(message), 0, (struct sockaddr *)&address, size) < 0) {
                assert_int_equal(errno, EPERM);
                procevents_free(TAKE_PTR(events));
                close(TAKE_FD(fd));
                print_message("skipped: sending to a listener needs CAP_NET_ADMIN\n");
                skip();
        }
        child = fork_and_wait();
        while (procevents_next(events, &event) == 1 && event.tid != child)
                assert_int_not_equal(event.tid, 1);
        assert_int_equal(event.tid, child);
        assert_int_equal(count_losses(events), 0);
}

/* Ends this process with the error of subscribing inside a PID namespace of its own. */
static void subscribe_in_namespace(void)
{
        struct procevents *events = NULL;
        int status = 0;
        pid_t child;

        if (unshare(CLONE_NEWPID) < 0)
                _exit(1);
        child = fork();
        if (child == 0)
                _exit(-procevents_new(&events));
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
                _exit(2);
        _exit(WEXITSTATUS(status));
}

/* What the kernel ignores in silence is told. */
static void test_namespace(void **state)
{
        int status = 0;
        pid_t child;

        (void)state;
        procevents_free(subscribe_or_skip());
        if (geteuid() != 0) {
                print_message("skipped: a PID namespace needs root\n");
                skip();
        }
        child = fork();
        if (child == 0)
                subscribe_in_namespace();
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EOPNOTSUPP);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fork),
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_acknowledgement),
                cmocka_unit_test(test_bad_messages),
                cmocka_unit_test(test_sequences),
                cmocka_unit_test(test_births_and_deaths),
                cmocka_unit_test(test_two_listeners),
                cmocka_unit_test(test_overflow),
                cmocka_unit_test(test_forged_message),
                cmocka_unit_test(test_namespace),
        };

        return cmocka_run_group_tests_name("procevents", tests, NULL, NULL);
}
