/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server with clients in the same process: turns, order, patience, visibility. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cmocka.h>

#include "engine/inside.h"
#include "engine/inspect.h"
#include "sim/kernel.h"
#include "stage.h"

static const struct peer root = {.pid = 1, .privileged = true};
static const struct peer owner = {.pid = 2}; /* of all threads, but not privileged */
static const struct peer stranger = {.pid = 3, .uid = 1000};

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#define GET_STATUS "{\"method\":\"io.balancerd.GetStatus\"}"
#define MONITOR    "{\"method\":\"io.balancerd.Monitor\",\"more\":true}"
#define LIST_ALL                                                                                   \
        "{\"method\":\"io.balancerd.ListThreads\",\"parameters\":{\"all\":true},\"more\":true}"

static int set_up(void **state)
{
        *state = stage_new();
        return 0;
}

static int tear_down(void **state)
{
        stage_free(*state);
        return 0;
}

struct client {
        struct stage *stage;
        struct varlink_stream stream;
};

static void client_done(struct client *client)
{
        varlink_stream_done(&client->stream);
}

#define _cleanup_client_ _cleanup_(client_done)

static struct client connect_as(struct stage *stage, const struct peer *peer)
{
        struct client client = {.stage = stage};

        varlink_stream_init(&client.stream, stage_connect(stage, peer));
        return client;
}

/* Sends TEXT and a NUL. */
static void say(const struct client *client, const char *text)
{
        ssize_t length = (ssize_t)strlen(text) + 1;

        assert_int_equal(send(client->stream.fd, text, (size_t)length, MSG_NOSIGNAL), length);
}

/* The next reply, if it is there now. */
static bool take(struct client *client, struct varlink_reply *ret)
{
        const char *text, *fault;
        size_t length;

        while (varlink_stream_next(&client->stream, &text, &length) == 0)
                if (varlink_stream_receive(&client->stream) <= 0)
                        return false;
        assert_int_equal(varlink_reply_parse(text, length, ret, &fault), 0);
        return true;
}

/* Lets the server work; the next reply must be there. */
static void hear(struct client *client, struct varlink_reply *ret)
{
        stage_run(client->stage);
        assert_true(take(client, ret));
}

static void assert_silence(struct client *client)
{
        struct varlink_reply reply;

        stage_run(client->stage);
        assert_false(take(client, &reply));
}

static void assert_closed(struct client *client)
{
        stage_run(client->stage);
        assert_int_equal(varlink_stream_receive(&client->stream), 0);
}

static bool ends_with(const char *text, const char *end)
{
        size_t length = strlen(text), end_length = strlen(end);

        return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* The next reply is an error: its name without the interface's. */
static void assert_error(struct client *client, const char *name)
{
        struct varlink_reply reply = {0};

        hear(client, &reply);
        assert_true(reply.error && ends_with(reply.error, name));
        varlink_reply_done(&reply);
}

/* The next reply has the field. */
static void assert_field(struct client *client, const char *field, bool continues)
{
        struct varlink_reply reply = {0};

        hear(client, &reply);
        assert_null(reply.error);
        assert_non_null(json_object_get(reply.parameters, field));
        assert_int_equal(reply.continues, continues);
        varlink_reply_done(&reply);
}

static void test_replies_come_in_order(void **state)
{
        _cleanup_client_ struct client c = connect_as(*state, &root);

        say(&c, "{\"method\":\"a.b.C\"}");
        say(&c, GET_STATUS);
        say(&c, "{\"method\":\"io.balancerd.ListCpus\",\"more\":true}");
        say(&c, "{\"method\":\"io.balancerd.Explain\"}");
        assert_error(&c, "InterfaceNotFound");
        assert_field(&c, "version", false);
        assert_field(&c, "cpu", true);
        assert_field(&c, "cpu", false);
        assert_error(&c, "InvalidParameter");
        assert_silence(&c);
}

static void test_oneway_gets_no_reply(void **state)
{
        _cleanup_client_ struct client c = connect_as(*state, &root);

        say(&c, "{\"method\":\"io.balancerd.GetStatus\",\"oneway\":true}");
        say(&c, "{\"method\":\"a.b.C\",\"oneway\":true}");
        say(&c, "{\"method\":\"io.balancerd.ListCpus\",\"oneway\":true}");
        say(&c, "{\"method\":\"io.balancerd.GetStatus\",\"oneway\":true,\"upgrade\":true}");
        assert_silence(&c);
        say(&c, GET_STATUS);
        assert_field(&c, "version", false);
}

static void test_clients_take_turns(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client busy = connect_as(stage, &root);
        _cleanup_client_ struct client other = connect_as(stage, &root);
        struct varlink_reply reply = {0};
        unsigned n = 0;

        for (unsigned i = 0; i < 50; i++)
                say(&busy, GET_STATUS);
        say(&other, GET_STATUS);
        while (!take(&other, &reply)) {
                assert_true(n++ < 10);
                assert_true(sd_event_run(stage->event, 0) > 0);
        }
        varlink_reply_done(&reply);
        for (unsigned i = 0; i < 50; i++)
                assert_field(&busy, "version", false);
}

/* A list of 64 threads takes several turns, and other clients have theirs in between. */
static void test_lists_are_made_in_slices(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        _cleanup_client_ struct client other = connect_as(stage, &root);
        struct varlink_reply reply = {0};
        unsigned n = 0, n_before_other = 0;

        say(&c, LIST_ALL);
        say(&other, GET_STATUS);
        while (!take(&other, &reply))
                assert_true(sd_event_run(stage->event, 0) > 0);
        varlink_reply_done(&reply);
        for (bool continues = true; continues; n++) {
                if (!take(&c, &reply)) {
                        n_before_other = n;
                        hear(&c, &reply);
                }
                continues = reply.continues;
                varlink_reply_done(&reply);
        }
        assert_int_equal(n, STAGE_HOGS + STAGE_SLEEPERS);
        assert_true(n_before_other < n);
}

/* Threads come by number, each once, also where a search ends and the next begins. */
static void test_tids_are_found_in_order(void **state)
{
        struct stage *stage = *state;
        pid_t tids[7], last = 0;
        unsigned n, n_all = 0;

        do {
                n = balancer_inspect_tids(stage->balancer, last, 0, true, tids, ARRAY_SIZE(tids));
                for (unsigned i = 0; i < n; i++)
                        assert_int_equal(tids[i], sim_kernel_tid(n_all++));
                last = n > 0 ? tids[n - 1] : last;
        } while (n == ARRAY_SIZE(tids));
        assert_int_equal(n_all, STAGE_HOGS + STAGE_SLEEPERS);
        assert_int_equal(
                balancer_inspect_tids(stage->balancer, 0, sim_kernel_tid(3), true, tids, 7), 1);
        assert_int_equal(tids[0], sim_kernel_tid(3));
}

#define N_MANY 500

/* A process of very many threads: tells so many at once as it is asked for, and counts how many. */
struct many {
        const struct kernel_ops *sim_ops;
        struct kernel_ops ops;
        pid_t told;
        unsigned most, n_walks;
};

static struct many many;

static int begin_many(struct kernel *kernel, pid_t tgid, struct kernel_walk *ret)
{
        (void)kernel;
        many.n_walks++;
        *ret = (struct kernel_walk){.tgid = tgid};
        return 0;
}

static int next_of_many(struct kernel *kernel, struct kernel_walk *walk, pid_t *ret_tids,
                        unsigned n)
{
        int found = 0;

        (void)kernel;
        (void)walk;
        many.most = MAX(many.most, n);
        while (found < (int)n && many.told < N_MANY) {
                many.told++;
                ret_tids[found++] = sim_kernel_tid(0);
        }
        return found;
}

static void end_many(struct kernel *kernel, struct kernel_walk *walk)
{
        (void)kernel;
        (void)walk;
        many.n_walks--;
}

/* A turn reads as much of the process's folder as it tells, and the next one goes on from there. */
static void test_processes_are_read_in_slices(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct client other = connect_as(stage, &root);
        char text[128];
        unsigned n = 0;

        many = (struct many){.sim_ops = stage->kernel->ops, .ops = *stage->kernel->ops};
        many.ops.begin_process = begin_many;
        many.ops.next_threads = next_of_many;
        many.ops.end_process = end_many;
        stage->kernel->ops = &many.ops;
        (void)snprintf(text, sizeof(text),
                       "{\"method\":\"io.balancerd.ListThreads\",\"more\":true,"
                       "\"parameters\":{\"pid\":%d,\"all\":true}}",
                       sim_kernel_tid(0));
        say(&c, text);
        for (bool continues = true; continues; n++) {
                struct varlink_reply reply = {0};

                stage_run(stage);
                if (!take(&c, &reply))
                        hear(&c, &reply);
                continues = reply.continues;
                varlink_reply_done(&reply);
        }
        assert_int_equal(n, N_MANY);
        assert_in_range(many.most, 2, 64);
        assert_int_equal(many.n_walks, 0);
        say(&other, text); /* who goes meanwhile leaves nothing open */
        many.told = -N_MANY;
        while (many.n_walks == 0)
                assert_true(sd_event_run(stage->event, 0) > 0);
        client_done(&other);
        stage_run(stage);
        assert_int_equal(many.n_walks, 0);
        stage->kernel->ops = many.sim_ops;
}

static void test_strangers_see_nothing(void **state)
{
        _cleanup_client_ struct client c = connect_as(*state, &stranger);
        char text[128];

        say(&c, LIST_ALL);
        assert_error(&c, "NoSuchThread");
        (void)snprintf(text, sizeof(text),
                       "{\"method\":\"io.balancerd.Explain\",\"parameters\":{\"tid\":%d}}",
                       sim_kernel_tid(0));
        say(&c, text);
        assert_error(&c, "NoSuchThread");
        say(&c, "{\"method\":\"io.balancerd.Reload\"}");
        assert_error(&c, "PermissionDenied");
}

static void test_everyone_sees_all_where_that_is_set(void **state)
{
        struct stage *stage = *state;
        const struct api_settings settings = {.observe_all = true, .group = GID_NONE};
        _cleanup_client_ struct client c = connect_as(stage, &stranger);

        server_configure(stage->server, &settings);
        say(&c, LIST_ALL);
        assert_field(&c, "thread", true);
}

/* Runs the balancer until it decides something. */
static void decide(struct stage *stage)
{
        uint64_t before = decisions_count(balancer_decisions(stage->balancer));

        for (unsigned i = 0; decisions_count(balancer_decisions(stage->balancer)) == before; i++) {
                assert_true(i < 10000);
                stage_tick(stage);
        }
}

static void test_monitor_tells_decisions_to_those_who_may_see(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client all = connect_as(stage, &root);
        _cleanup_client_ struct client own = connect_as(stage, &owner);
        _cleanup_client_ struct client none = connect_as(stage, &stranger);

        say(&all, MONITOR);
        say(&own, MONITOR);
        say(&none, MONITOR);
        assert_field(&all, "ready", true);
        assert_field(&own, "ready", true);
        assert_field(&none, "ready", true);
        decide(stage);
        assert_field(&all, "decision", true);
        assert_field(&own, "decision", true);
        assert_silence(&none);
}

/* As if nothing had been decided. */
static void forget_decisions(struct stage *stage)
{
        decisions_free(stage->balancer->decisions);
        assert_int_equal(decisions_new(&stage->balancer->decisions), 0);
}

/* N decisions more, numbered in their field `from`, in turn about threads 1 and 2 of users 0 and
 * 1000. */
static void decide_times(struct stage *stage, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                struct decision decision = {.at = clock_now_nsec(CLOCK_MONOTONIC)};

                decision.from = (unsigned)decisions_count(stage->balancer->decisions);
                decision.uid = decision.from % 2 ? stranger.uid : 0;
                decision.tid = 1 + (pid_t)decision.from % 2;
                decisions_add(stage->balancer->decisions, &decision);
        }
}

#define HISTORY(parameters)                                                                        \
        "{\"method\":\"io.balancerd.ListDecisions\",\"more\":true,\"parameters\":{" parameters "}" \
        "}"

/* The number of the next reply's decision. */
static unsigned hear_number(struct client *client, bool *ret_continues)
{
        struct varlink_reply reply = {0};
        unsigned number;

        hear(client, &reply);
        assert_null(reply.error);
        number = (unsigned)json_integer_value(
                json_object_get(json_object_get(reply.parameters, "decision"), "from"));
        *ret_continues = reply.continues;
        varlink_reply_done(&reply);
        return number;
}

/* A list of decisions, each STEP after the one before. */
static void assert_numbers(struct client *client, unsigned first, unsigned last, unsigned step)
{
        bool continues = true;

        for (unsigned number = first; continues; number += step) {
                assert_int_equal(hear_number(client, &continues), number);
                assert_int_equal(continues, number != last);
        }
        assert_silence(client);
}

static void test_history_tells_what_the_ring_has(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);

        forget_decisions(stage);
        say(&c, HISTORY(""));
        assert_error(&c, "NoDecisions");
        decide_times(stage, DECISIONS_MAX + 10);
        say(&c, HISTORY(""));
        assert_numbers(&c, 10, DECISIONS_MAX + 9, 1);
        say(&c, HISTORY("\"last\":3"));
        assert_numbers(&c, DECISIONS_MAX + 7, DECISIONS_MAX + 9, 1);
        say(&c, HISTORY("\"last\":3,\"tid\":1"));
        assert_numbers(&c, DECISIONS_MAX + 4, DECISIONS_MAX + 8, 2);
        say(&c, HISTORY("\"tid\":3"));
        assert_error(&c, "NoDecisions");
        say(&c, HISTORY("\"last\":0"));
        assert_error(&c, "InvalidParameter");
}

static void test_history_is_of_what_the_caller_may_see(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &stranger);

        forget_decisions(stage);
        decide_times(stage, 10);
        say(&c, HISTORY(""));
        assert_numbers(&c, 1, 9, 2);
        say(&c, HISTORY("\"last\":2"));
        assert_numbers(&c, 7, 9, 2);
        say(&c, HISTORY("\"tid\":1"));
        assert_error(&c, "NoDecisions");
}

/* What was decided since is not told, and what was overwritten meanwhile is left out. */
static void test_history_ends_while_more_is_decided(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        unsigned told = 0;
        bool continues = true;

        decide_times(stage, DECISIONS_MAX);
        say(&c, HISTORY(""));
        while (!varlink_stream_pending(&stage->server->connections->stream))
                assert_true(sd_event_run(stage->event, 0) > 0);
        decide_times(stage, DECISIONS_MAX);
        for (unsigned number, last = 0; continues; told++, last = number) {
                number = hear_number(&c, &continues);
                assert_true(told == 0 || number == last + 1);
        }
        assert_true(told > 1 && told < DECISIONS_MAX);
        assert_silence(&c);
}

static void test_monitor_tells_notices_to_those_who_see_all(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client all = connect_as(stage, &root);
        _cleanup_client_ struct client own = connect_as(stage, &owner);
        _cleanup_client_ struct client bad = connect_as(stage, &stranger);

        say(&all, MONITOR);
        say(&own, MONITOR);
        assert_field(&all, "ready", true);
        assert_field(&own, "ready", true);
        say(&bad, "{}");
        assert_error(&bad, "InvalidMessage");
        assert_closed(&bad);
        assert_field(&all, "notice", true);
        assert_silence(&own);
        assert_int_equal(stage->last_kind, NOTICE_CLIENT_DROPPED);
        assert_int_equal(stage->last_tgid, stranger.pid);
        assert_string_equal(stage->last_notice, "invalid message");
}

/* The next reply's field, a number. */
static json_int_t hear_integer(struct client *client, const char *field)
{
        struct varlink_reply reply = {0};
        json_int_t value;

        hear(client, &reply);
        assert_true(json_is_integer(json_object_get(reply.parameters, field)));
        value = json_integer_value(json_object_get(reply.parameters, field));
        varlink_reply_done(&reply);
        return value;
}

/* More than the rings have, at once: whoever reads is told how many it lost, and the rest. */
static void test_subscriber_that_falls_behind_is_told(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        const struct notice notice = {.text = "again"};
        bool continues;

        forget_decisions(stage);
        say(&c, MONITOR);
        assert_field(&c, "ready", true);
        for (unsigned i = 0; i < MONITOR_NOTICES + 3; i++)
                monitor_tell_notice(&stage->server->monitor, &notice);
        assert_int_equal(hear_integer(&c, "lost"), 3);
        for (unsigned i = 0; i < MONITOR_NOTICES; i++)
                assert_field(&c, "notice", true);
        assert_silence(&c);
        decide_times(stage, DECISIONS_MAX + 5);
        monitor_tell_decision(&stage->server->monitor);
        assert_int_equal(hear_integer(&c, "lost"), 5);
        for (unsigned i = 5; i < DECISIONS_MAX + 5; i++)
                assert_int_equal(hear_number(&c, &continues), i);
        assert_silence(&c);
        assert_int_equal(stage->n_notices, 0); /* nobody was dropped */
}

/* More than one turn's worth, decided when the loop runs no more. */
static void test_subscriber_is_told_the_last_decisions(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        bool continues;

        forget_decisions(stage);
        say(&c, MONITOR);
        assert_field(&c, "ready", true);
        decide_times(stage, 40);
        monitor_tell_decision(&stage->server->monitor);
        server_finish(stage->server);
        server_free(TAKE_PTR(stage->server));
        for (unsigned i = 0; i < 40; i++)
                assert_int_equal(hear_number(&c, &continues), i);
        assert_closed(&c);
}

/* Notices that it is not told are no loss to it. */
static void test_subscriber_does_not_lose_what_is_not_for_it(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &owner);
        const struct notice notice = {.text = "again"};

        say(&c, MONITOR);
        assert_field(&c, "ready", true);
        for (unsigned i = 0; i < MONITOR_NOTICES + 3; i++)
                monitor_tell_notice(&stage->server->monitor, &notice);
        assert_silence(&c);
        assert_non_null(stage->server->connections);
}

/* The time that stands in FIELD of the next reply, or, with an OBJECT, in that of its. */
static json_int_t hear_time(struct client *client, const char *object, const char *field)
{
        struct varlink_reply reply = {0};
        const json_t *in;
        json_int_t at;

        hear(client, &reply);
        in = object ? json_object_get(reply.parameters, object) : reply.parameters;
        at = json_integer_value(json_object_get(in, field));
        varlink_reply_done(&reply);
        return at;
}

/* Within the last minute. */
static void assert_recent(json_int_t usec)
{
        json_int_t now = (json_int_t)(clock_now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC);

        assert_in_range(usec, now - 60 * 1000000, now + 1000000);
}

/* As if the clock had been set by an hour since it was looked at. */
static void set_clock(struct stage *stage)
{
        stage->server->calendar.ahead -= 3600 * (int64_t)NSEC_PER_SEC;
}

static void test_times_go_by_the_clock_as_it_is_set_now(void **state)
{
        const struct notice notice = {.level = 4, .text = "something", .detail = ""};
        const struct decision decision = {.boottime_at = clock_now_nsec(CLOCK_BOOTTIME)};
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        _cleanup_client_ struct client monitor = connect_as(stage, &root);

        forget_decisions(stage);
        decisions_add(stage->balancer->decisions, &decision);
        set_clock(stage);
        say(&c, GET_STATUS);
        assert_recent(hear_time(&c, NULL, "startedUSec"));
        set_clock(stage);
        say(&c, HISTORY(""));
        assert_recent(hear_time(&c, "decision", "timeUSec"));
        say(&monitor, MONITOR);
        assert_field(&monitor, "ready", true);
        set_clock(stage);
        /* Another turn of the loop: the clock is looked at once in each. */
        assert_int_equal(sd_event_run(stage->event, 0), 0);
        monitor_tell_notice(&stage->server->monitor, &notice);
        assert_recent(hear_time(&monitor, "notice", "timeUSec"));
}

/* What was decided about a thread while it was another user's is not told to its present one. */
static void test_explain_tells_what_the_caller_might_see(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client own = connect_as(stage, &owner);
        _cleanup_client_ struct client all = connect_as(stage, &root);
        const struct thread *thread =
                threads_find(&stage->balancer->sampler.threads, sim_kernel_tid(0));
        struct decision decision = {.tid = thread->tid, .start_ticks = thread->start_ticks};
        struct varlink_reply reply = {0};
        char text[128];

        forget_decisions(stage);
        decisions_add(stage->balancer->decisions, &decision);
        decision.uid = stranger.uid;
        decisions_add(stage->balancer->decisions, &decision);
        (void)snprintf(text, sizeof(text),
                       "{\"method\":\"io.balancerd.Explain\",\"parameters\":{\"tid\":%d}}",
                       thread->tid);
        say(&own, text);
        hear(&own, &reply);
        assert_int_equal(json_array_size(json_object_get(reply.parameters, "decisions")), 1);
        varlink_reply_done(&reply);
        say(&all, text);
        hear(&all, &reply);
        assert_int_equal(json_array_size(json_object_get(reply.parameters, "decisions")), 2);
        varlink_reply_done(&reply);
}

static int wide_affinity(struct kernel *kernel, pid_t tid, struct cpuset *ret)
{
        _cleanup_cpuset_ struct cpuset wide = {0};

        (void)kernel;
        (void)tid;
        for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu += 2)
                if (cpuset_add(&wide, cpu) < 0)
                        return -ENOMEM;
        *ret = TAKE_CPUSET(wide);
        return 0;
}

/* Threads with masks that take 20 kB each, of which a turn's number would not fit at once. */
static void test_lists_of_wide_masks(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        const struct kernel_ops *ops = stage->kernel->ops;
        static struct kernel_ops wide; /* outlives a failure */
        unsigned n = 0;

        wide = *ops;
        wide.get_affinity = wide_affinity;
        stage->kernel->ops = &wide;
        say(&c, LIST_ALL);
        for (bool continues = true; continues; n++) {
                struct varlink_reply reply = {0};

                stage_run(stage);
                if (!take(&c, &reply)) /* half of it was in the socket */
                        hear(&c, &reply);
                assert_null(reply.error);
                continues = reply.continues;
                varlink_reply_done(&reply);
        }
        stage->kernel->ops = ops;
        assert_int_equal(n, STAGE_HOGS + STAGE_SLEEPERS);
}

/* What Explain tells of a thread: how many decisions. */
static size_t n_explained(struct client *client, pid_t tid)
{
        struct varlink_reply reply = {0};
        char text[128];
        size_t n;

        (void)snprintf(text, sizeof(text),
                       "{\"method\":\"io.balancerd.Explain\",\"parameters\":{\"tid\":%d}}", tid);
        say(client, text);
        hear(client, &reply);
        assert_null(reply.error);
        n = json_array_size(json_object_get(reply.parameters, "decisions"));
        varlink_reply_done(&reply);
        return n;
}

/* A thread's number may have been another's, of whom decisions are still known. */
static void test_decisions_about_an_earlier_thread_are_not_told(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        const struct decisions *decisions = balancer_decisions(stage->balancer);
        struct decision decision;
        size_t n;

        decide(stage);
        decision = *decisions_get(decisions, decisions_count(decisions) - 1);
        n = n_explained(&c, decision.tid);
        assert_true(n > 0);
        stage_add_decision(stage, &decision);
        assert_int_equal(n_explained(&c, decision.tid), n + 1);
        decision.start_ticks++;
        stage_add_decision(stage, &decision);
        assert_int_equal(n_explained(&c, decision.tid), n + 1);
}

/* What the kernel keeps for a client that does not read is bounded, too. */
static void test_little_waits_in_the_kernel(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        socklen_t size = sizeof(int);
        int buffer;

        assert_int_equal(getsockopt(stage->server->connections->stream.fd, SOL_SOCKET, SO_SNDBUF,
                                    &buffer, &size),
                         0);
        assert_in_range(buffer, VARLINK_MESSAGE_MAX, 2 * VARLINK_MESSAGE_MAX);
}

/* Without memory for it a turn comes later, by the timer. */
static void test_a_turn_that_could_not_be_had_comes_later(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct server *server = stage->server;

        stage_run(stage);
        server_queue(server, server->connections);
        server->turn = sd_event_source_disable_unref(server->turn);
        server_wake_by(server, server_now(server));
        while (server->turns)
                assert_true(sd_event_run(stage->event, UINT64_MAX) >= 0);
        say(&c, GET_STATUS);
        assert_field(&c, "version", false);
}

/* What does not fit into the socket waits, bounded, and the next call is not read before. */
static void test_reader_that_does_not_read_is_dropped(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct connection *connection = stage->server->connections;
        nsec_t now;

        while (varlink_stream_pending(&connection->stream) == 0) {
                say(&c, LIST_ALL);
                stage_run(stage);
        }
        assert_true(connection->stalled_at != 0);
        now = connection->stalled_at + TAKE_WITHIN;
        assert_int_equal(connection_look(connection, now - 1), now);
        assert_int_equal(connection_look(connection, now), NSEC_INFINITY);
        assert_null(stage->server->connections);
        assert_string_equal(stage->last_notice, "does not read");
}

/* A client that reads after all gets all of it. */
static void test_slow_reader_loses_nothing(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct connection *connection = stage->server->connections;
        unsigned n_asked = 0, n_heard = 0;
        struct varlink_reply reply = {0};

        for (; varlink_stream_pending(&connection->stream) == 0; n_asked++) {
                say(&c, LIST_ALL);
                stage_run(stage);
        }
        while (n_heard < n_asked) {
                hear(&c, &reply);
                n_heard += !reply.continues;
                varlink_reply_done(&reply);
        }
        assert_silence(&c);
        assert_int_equal(connection->stalled_at, 0);
}

static void test_silent_clients_are_dropped(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct connection *connection = stage->server->connections;
        nsec_t at = connection->since + FIRST_CALL_WITHIN;

        assert_true(stage->server->timer_at <= at);
        assert_int_equal(connection_look(connection, at - 1), at);
        assert_int_equal(connection_look(connection, at), NSEC_INFINITY);
        assert_string_equal(stage->last_notice, "silent");
        assert_closed(&c);
}

static void test_idle_clients_are_dropped_later(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct connection *connection = stage->server->connections;
        nsec_t at;

        say(&c, GET_STATUS);
        assert_field(&c, "version", false);
        at = connection->since + NEXT_CALL_WITHIN;
        assert_int_equal(connection_look(connection, at - 1), at);
        assert_int_equal(connection_look(connection, at), NSEC_INFINITY);
        assert_string_equal(stage->last_notice, "idle");
}

/* The timer knows of the deadline again when a debt, a list or a turn has ended. */
static void test_deadlines_come_back(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &stranger);
        struct connection *connection = stage->server->connections;
        nsec_t now = server_now(stage->server);

        connection->owing = true;
        stage->server->timer_at = NSEC_INFINITY;
        assert_int_equal(connection_look(connection, now), NSEC_INFINITY);
        stage_run(stage);
        assert_false(connection->owing);
        assert_int_equal(stage->server->timer_at, connection->since + FIRST_CALL_WITHIN);

        connection->peer = root;
        say(&c, LIST_ALL);
        while (!connection->producer)
                assert_true(sd_event_run(stage->event, 0) > 0);
        stage->server->timer_at = NSEC_INFINITY; /* as after it has looked at it */
        assert_int_equal(connection_look(connection, now), NSEC_INFINITY);
        stage_run(stage);
        assert_null(connection->producer);
        assert_int_equal(stage->server->timer_at, connection->since + NEXT_CALL_WITHIN);
}

static void test_subscribers_may_be_silent(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);

        say(&c, MONITOR);
        assert_field(&c, "ready", true);
        assert_int_equal(connection_look(stage->server->connections, NSEC_INFINITY - 1),
                         NSEC_INFINITY);
        assert_non_null(stage->server->connections);
}

/* Whoever has used up his share waits, gets no error, and is served again. */
static void test_debtors_wait(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &stranger);
        struct connection *connection = stage->server->connections;
        nsec_t paid_at, now;

        say(&c, GET_STATUS);
        assert_field(&c, "version", false);
        user_charge(connection->user, server_now(stage->server), 200 * NSEC_PER_MSEC);
        say(&c, GET_STATUS);
        say(&c, GET_STATUS);
        assert_field(&c, "version", false); /* what was begun before it was known */
        assert_true(connection->owing);
        assert_silence(&c);
        now = server_now(stage->server);
        paid_at = user_paid_at(connection->user, now);
        assert_true(paid_at > now);
        assert_int_equal(connection_look(connection, now), paid_at);
        assert_true(connection->owing);
        user_charge(connection->user, now + 10 * NSEC_PER_SEC, 0);
        (void)connection_look(connection, now + 10 * NSEC_PER_SEC);
        assert_field(&c, "version", false);
}

/* Connecting anew is no way round: neither for who was in debt before, nor for who gets into it by
 * connecting. */
static void test_debtors_wait_on_new_connections(void **state)
{
        struct stage *stage = *state;
        struct server *server = stage->server;

        stage_run(stage);
        server->limits.all = (struct account){nsec_to_sec(LIMITS_SAVINGS), server_now(server)};
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_client_ struct client c = connect_as(stage, &stranger);
                nsec_t now = server_now(server);
                nsec_t paid_at = user_paid_at(server->connections->user, now);

                assert_true(paid_at > now);
                assert_true(server->connections->owing);
                assert_true(server->timer_at <= paid_at);
                /* What connecting cost may be paid before the call is read. */
                user_charge(server->connections->user, now, 2 * LIMITS_SAVINGS);
                say(&c, GET_STATUS);
                assert_silence(&c);
        }
}

/* Who is always in debt again when his turn comes is read from in that turn. */
static void test_debtors_are_read_from_in_their_turn(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &stranger);
        struct connection *connection = stage->server->connections;
        nsec_t now = server_now(stage->server);

        user_charge(connection->user, now, 2 * LIMITS_SAVINGS);
        stage_run(stage);
        connection->owing = true;
        say(&c, GET_STATUS);
        assert_silence(&c);
        connection->owing = false; /* as connection_look() finds, and others spend all at once */
        connection->behind = true;
        server_queue(stage->server, connection);
        assert_field(&c, "version", false);
        assert_true(connection->owing);
}

/* As a client would that finds the socket by its name. */
static int connect_really(const struct stage *stage)
{
        struct sockaddr_un address;
        socklen_t size = sizeof(address);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(getsockname(stage->server->fd, (struct sockaddr *)&address, &size), 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&address, size), 0);
        return fd;
}

/* What taking connections costs can be held off only by taking none for a moment. */
static void test_nobody_is_taken_while_all_are_in_debt(void **state)
{
        struct stage *stage = *state;
        struct server *server = stage->server;
        int first = connect_really(stage), second;

        limits_charge(&server->limits, &stranger, server_now(server),
                      LIMITS_SAVINGS + 2 * NSEC_PER_MSEC);
        stage_run(stage);
        assert_int_equal(server->limits.n_connections, 1);
        assert_true(server->accept_again_at != 0);
        assert_true(server->timer_at <= server->accept_again_at);
        second = connect_really(stage);
        close(first); /* room for another changes nothing */
        stage_run(stage);
        assert_null(server->connections);
        while (!server->connections) /* the debt is paid, then */
                assert_true(sd_event_run(stage->event, UINT64_MAX) >= 0);
        assert_int_equal(limits_paid_at(&server->limits, server_now(server)), 0);
        close(second);
}

/* Nobody is dropped for it, and whoever waits comes in later. */
static void test_clients_wait_where_descriptors_are_out(void **state)
{
        struct stage *stage = *state;
        int client = connect_really(stage), later, next = dup(client);
        struct rlimit limit, none;

        close(next);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        stage_run(stage);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_null(stage->server->connections);
        assert_int_equal(stage->last_kind, NOTICE_CLIENTS_WAIT);
        assert_string_equal(stage->last_notice, "EMFILE");
        assert_int_equal(stage->last_tgid, 0);
        assert_true(stage->server->accept_again_at != 0);
        later = connect_really(stage); /* under valgrind(1) the first one is taken and closed */
        while (!stage->server->connections)
                assert_true(sd_event_run(stage->event, UINT64_MAX) >= 0);
        close(client);
        close(later);
}

/* What each of N clients that send 20 calls at once costs the loop: a dispatch for each reply, and
 * a few for the client. */
static void test_many_busy_clients_cost_no_more_each(void **state)
{
        enum { N = 64, N_CALLS = 20 };
        struct stage *stage = *state;
        struct client clients[N];
        struct varlink_reply reply = {0};
        unsigned n = 0;

        for (unsigned i = 0; i < N; i++) {
                clients[i] = connect_as(stage, &root);
                for (unsigned k = 0; k < N_CALLS; k++)
                        say(&clients[i], GET_STATUS);
        }
        for (unsigned i = 0; i < N; i += 2) /* these do not wait for what they get */
                assert_int_equal(shutdown(clients[i].stream.fd, SHUT_RDWR), 0);
        while (sd_event_run(stage->event, 0) > 0)
                n++;
        assert_true(n <= N * (N_CALLS + 4));
        for (unsigned i = 1; i < N; i += 2)
                for (unsigned k = 0; k < N_CALLS; k++) {
                        assert_true(take(&clients[i], &reply));
                        varlink_reply_done(&reply);
                }
        for (unsigned i = 0; i < N; i++)
                client_done(&clients[i]);
}

/* As when a debt is paid before the turn has come in which it would have been noticed. */
static void test_nobody_has_two_turns(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client a = connect_as(stage, &root);
        _cleanup_client_ struct client b = connect_as(stage, &root);
        struct connection *first = stage->server->connections, *second = first->next;

        server_queue(stage->server, first);
        server_queue(stage->server, second);
        server_queue(stage->server, first);
        stage_run(stage);
        assert_null(stage->server->turns);
        say(&a, GET_STATUS);
        say(&b, GET_STATUS);
        assert_field(&a, "version", false);
        assert_field(&b, "version", false);
}

static void test_subscriber_that_dies_is_noticed(void **state)
{
        struct stage *stage = *state;
        struct client c = connect_as(stage, &root);

        say(&c, MONITOR);
        say(&c, GET_STATUS); /* waits, unread */
        assert_field(&c, "ready", true);
        client_done(&c);
        stage_run(stage);
        assert_null(stage->server->connections);
        assert_null(stage->server->monitor.subscriptions);
        assert_int_equal(stage->n_notices, 0);
}

static void test_calls_sent_before_the_end_are_answered(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);

        say(&c, GET_STATUS);
        say(&c, GET_STATUS);
        assert_int_equal(shutdown(c.stream.fd, SHUT_WR), 0);
        assert_field(&c, "version", false);
        assert_field(&c, "version", false);
        assert_closed(&c);
        assert_null(stage->server->connections);
}

static void test_reload(void **state)
{
        struct stage *stage = *state;
        _cleanup_client_ struct client c = connect_as(stage, &root);
        struct varlink_reply reply = {0};

        say(&c, "{\"method\":\"io.balancerd.Reload\"}");
        assert_field(&c, "configuration", false);
        stage->reload_result = -EOPNOTSUPP;
        say(&c, "{\"method\":\"io.balancerd.Reload\"}");
        assert_error(&c, "MethodNotImplemented");
        stage->reload_result = -EBADMSG;
        say(&c, "{\"method\":\"io.balancerd.Reload\"}");
        hear(&c, &reply);
        assert_string_equal(reply.error, "io.balancerd.InvalidConfiguration");
        assert_int_equal(json_object_size(reply.parameters), 3);
        assert_int_equal(json_integer_value(json_object_get(reply.parameters, "line")), 3);
        varlink_reply_done(&reply);
}

/* Of what a client wrote only the beginning is repeated to it, whole characters of it. */
static void test_echo_is_short(void **state)
{
        _cleanup_client_ struct client c = connect_as(*state, &root);
        struct varlink_reply reply = {0};
        char text[1024], name[512];

        /* "a.b." and 249 more, then characters of two bytes each: the 255th byte is within one. */
        memset(name, 'x', sizeof(name));
        for (size_t at = 250; at + 2 < sizeof(name); at += 2)
                name[at] = '\xc3', name[at + 1] = '\xa4';
        (void)snprintf(text, sizeof(text), "{\"method\":\"a.b.%.*s.C\"}", 400, name);
        say(&c, text);
        hear(&c, &reply);
        assert_string_equal(reply.error, "org.varlink.service.InterfaceNotFound");
        assert_int_equal(json_string_length(json_object_get(reply.parameters, "interface")), 254);
        varlink_reply_done(&reply);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_replies_come_in_order),
                TEST(test_oneway_gets_no_reply),
                TEST(test_clients_take_turns),
                TEST(test_lists_are_made_in_slices),
                TEST(test_tids_are_found_in_order),
                TEST(test_processes_are_read_in_slices),
                TEST(test_strangers_see_nothing),
                TEST(test_everyone_sees_all_where_that_is_set),
                TEST(test_monitor_tells_decisions_to_those_who_may_see),
                TEST(test_history_tells_what_the_ring_has),
                TEST(test_history_is_of_what_the_caller_may_see),
                TEST(test_history_ends_while_more_is_decided),
                TEST(test_monitor_tells_notices_to_those_who_see_all),
                TEST(test_subscriber_is_told_the_last_decisions),
                TEST(test_subscriber_that_falls_behind_is_told),
                TEST(test_subscriber_does_not_lose_what_is_not_for_it),
                TEST(test_times_go_by_the_clock_as_it_is_set_now),
                TEST(test_explain_tells_what_the_caller_might_see),
                TEST(test_lists_of_wide_masks),
                TEST(test_decisions_about_an_earlier_thread_are_not_told),
                TEST(test_little_waits_in_the_kernel),
                TEST(test_a_turn_that_could_not_be_had_comes_later),
                TEST(test_reader_that_does_not_read_is_dropped),
                TEST(test_slow_reader_loses_nothing),
                TEST(test_silent_clients_are_dropped),
                TEST(test_idle_clients_are_dropped_later),
                TEST(test_subscribers_may_be_silent),
                TEST(test_debtors_wait),
                TEST(test_deadlines_come_back),
                TEST(test_debtors_wait_on_new_connections),
                TEST(test_debtors_are_read_from_in_their_turn),
                TEST(test_nobody_is_taken_while_all_are_in_debt),
                TEST(test_clients_wait_where_descriptors_are_out),
                TEST(test_many_busy_clients_cost_no_more_each),
                TEST(test_nobody_has_two_turns),
                TEST(test_subscriber_that_dies_is_noticed),
                TEST(test_calls_sent_before_the_end_are_answered),
                TEST(test_reload),
                TEST(test_echo_is_short),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
