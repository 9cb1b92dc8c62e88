/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.balancerd.ListThreads and Explain. */

#include <errno.h>

#include "api/encode.h"
#include "api/methods.h"
#include "api/sentence.h"

/* Of a process's folder so many are read at once. */
#define WALKED_AT_ONCE 64U
/* Threads looked at in one turn: of those that are not watched files are read. */
#define THREADS_PER_TURN 32U
/* TIDs that are asked for at once. Each time all that are known are looked through, or some of a
 * process's folder are read. */
#define TIDS_AT_ONCE 1024U
/* Decisions in one reply at most, and the room for what stands beside them and the affinity. */
#define DECISIONS_TOLD    100U
#define ROOM_FOR_THE_REST 1024U

/* Looks at the thread TID for the caller. Returns 0, -ESRCH where he may not see it, or -ENOMEM. */
static int look(const struct connection *connection, pid_t tid, struct thread_view *ret)
{
        struct balancer *balancer = connection->server->host.balancer;
        _cleanup_(thread_view_done) struct thread_view view = {0};
        pid_t tgid;
        uid_t uid;
        int r;

        r = balancer_inspect_owner(balancer, tid, &tgid, &uid);
        if (r < 0)
                return r;
        if (!server_shows(connection->server, &connection->peer, uid))
                return -ESRCH;
        r = balancer_inspect_thread(balancer, tid, &view);
        if (r < 0)
                return r;
        /* The number may have another owner by now. */
        if (!server_shows(connection->server, &connection->peer, view.uid))
                return -ESRCH;
        *ret = view;
        view = (struct thread_view){0};
        return 0;
}

struct thread_list {
        struct producer producer;
        struct balancer *balancer;
        struct kernel_walk walk; /* of all threads of a process */
        bool walking;
        pid_t tid, tgid; /* asked for; 0: any */
        bool all;
        pid_t tids[TIDS_AT_ONCE];
        unsigned n_tids, next;
        bool exhausted; /* there are no more than these */
        json_t *held;   /* to be told next: whether it is the last is known then */
};

static void thread_list_free(struct producer *producer)
{
        struct thread_list *list = CONTAINER_OF(producer, struct thread_list, producer);

        if (list->walking)
                balancer_walk_end(list->balancer, &list->walk);
        json_decref(list->held);
        free(list);
}

/* Goes on through the threads of the process. */
static int walk_on(struct thread_list *list)
{
        int r;

        if (!list->walking) {
                r = balancer_walk_begin(list->balancer, list->tgid, &list->walk);
                if (r < 0)
                        return r == -ESRCH ? 0 : r;
                list->walking = true;
        }
        return balancer_walk_next(list->balancer, &list->walk, list->tids, WALKED_AT_ONCE);
}

/* The next TIDs. Returns 0 or a negative errno. */
static int refill(struct thread_list *list)
{
        pid_t last = list->n_tids > 0 ? list->tids[list->n_tids - 1] : 0;
        int n;

        if (list->all && list->tgid > 0) {
                n = walk_on(list);
                list->exhausted = n <= 0;
        } else {
                n = (int)balancer_inspect_tids(list->balancer, last, list->tgid, list->all,
                                               list->tids, TIDS_AT_ONCE);
                list->exhausted = n < (int)TIDS_AT_ONCE;
        }
        list->n_tids = (unsigned)MAX(n, 0);
        list->next = 0;
        return MIN(n, 0);
}

/* The next TID, 0 at the end, or a negative errno. */
static int next_tid(struct thread_list *list)
{
        if (list->next == list->n_tids && !list->exhausted) {
                int r = refill(list);

                if (r < 0)
                        return r;
        }
        return list->next < list->n_tids ? list->tids[list->next++] : 0;
}

/* All were looked at: tells the last. */
static int thread_list_end(struct thread_list *list, struct connection *connection)
{
        int r;

        if (list->held)
                r = connection_reply(connection, TAKE_PTR(list->held), false);
        else
                r = connection_refuse(connection, "io.balancerd.NoSuchThread",
                                      list->tid > 0 ? json_pack("{s:i}", "tid", (int)list->tid)
                                                    : json_object());
        return r < 0 ? r : PROGRESS_END;
}

/* Tells the one before, and holds this one back. */
static int thread_list_add(struct thread_list *list, struct connection *connection, pid_t tid)
{
        _cleanup_(thread_view_done) struct thread_view view = {0};
        json_t *encoded;
        int r;

        r = look(connection, tid, &view);
        if (r < 0 || (list->tgid > 0 && view.tgid != list->tgid))
                return r == -ENOMEM ? r : 0;
        encoded =
                json_pack("{s:o}", "thread", encode_thread(&view, server_now(connection->server)));
        if (!encoded)
                return -ENOMEM;
        r = list->held ? connection_reply(connection, TAKE_PTR(list->held), true) : 0;
        list->held = encoded;
        return r;
}

static int thread_list_produce(struct producer *producer, struct connection *connection)
{
        struct thread_list *list = CONTAINER_OF(producer, struct thread_list, producer);

        for (unsigned i = 0; i < THREADS_PER_TURN && !connection_is_full(connection); i++) {
                pid_t tid; /* or why there is none */
                int r;

                tid = next_tid(list);
                if (tid < 0)
                        return tid;
                if (tid == 0)
                        return thread_list_end(list, connection);
                r = thread_list_add(list, connection, tid);
                if (r < 0)
                        return r;
        }
        return PROGRESS_MORE;
}

int method_list_threads(const struct call *call)
{
        pid_t tid = 0, tgid = 0;
        bool all = false;
        const struct parameter parameters[] = {
                {.name = "tid", .ret_pid = &tid},
                {.name = "pid", .ret_pid = &tgid},
                {.name = "all", .ret_flag = &all},
        };
        struct thread_list *list;
        int r;

        if (!call_read(call, parameters, ARRAY_SIZE(parameters), &r))
                return r;
        list = calloc(1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        list->producer =
                (struct producer){.produce = thread_list_produce, .free = thread_list_free};
        list->balancer = call->server->host.balancer;
        list->tid = tid;
        list->tgid = tgid;
        list->all = all;
        if (tid > 0) {
                list->tids[list->n_tids++] = tid;
                list->exhausted = true;
        }
        return call_produce(call, &list->producer);
}

/* Whether the decision was about this very thread, and not about an earlier one of its number, and
 * at a time when the caller might see it: it may have had another user then. */
static bool concerns(const struct decision *decision, const struct thread_view *view,
                     const struct connection *connection)
{
        return decision->tid == view->tid && decision->start_ticks == view->start_ticks &&
               server_shows(connection->server, &connection->peer, decision->uid);
}

/* How many decisions fit into a message with the thread: on very large machines the affinity alone
 * may take a third of it. */
static size_t decisions_that_fit(const json_t *thread)
{
        size_t affinity = json_string_length(json_object_get(thread, "affinity"));
        size_t room = VARLINK_MESSAGE_MAX - ROOM_FOR_THE_REST, n;

        n = (room - MIN(room, affinity)) / ENCODED_DECISION_MAX;
        return MIN(n, DECISIONS_TOLD);
}

/* The last decisions about the thread, N at most, the oldest first. */
static json_t *encode_decisions(const struct connection *connection, const struct thread_view *view,
                                size_t n)
{
        const struct decisions *decisions = balancer_decisions(connection->server->host.balancer);
        const struct calendar *calendar = &connection->server->calendar;
        json_auto_t *array = json_array();
        uint64_t number = decisions_count(decisions);

        while (number-- > 0 && json_array_size(array) < n) {
                const struct decision *decision = decisions_get(decisions, number);

                if (!decision)
                        break;
                if (!concerns(decision, view, connection))
                        continue;
                if (json_array_insert_new(array, 0, encode_decision(decision, calendar)) < 0)
                        return NULL;
        }
        return json_incref(array);
}

/* A thread that is not watched has no shares: what it did in its life is read instead. */
static void explain(struct balancer *balancer, const struct thread_view *view,
                    char ret_text[static SENTENCE_SIZE])
{
        struct kernel_counters so_far;
        bool known = !view->watched && balancer_inspect_counters(balancer, view, &so_far) >= 0;

        sentence_explain(view, known ? &so_far : NULL, ret_text);
}

int method_explain(const struct call *call)
{
        _cleanup_(thread_view_done) struct thread_view view = {0};
        json_auto_t *thread = NULL;
        pid_t tid = 0;
        const struct parameter parameters[] = {{.name = "tid", .required = true, .ret_pid = &tid}};
        char text[SENTENCE_SIZE];
        int r;

        if (!call_read(call, parameters, ARRAY_SIZE(parameters), &r))
                return r;
        r = look(call->connection, tid, &view);
        if (r == -ESRCH)
                return call_refuse(call, "io.balancerd.NoSuchThread",
                                   json_pack("{s:i}", "tid", (int)tid));
        if (r < 0)
                return r;
        explain(call->server->host.balancer, &view, text);
        thread = encode_thread(&view, server_now(call->server));
        return call_reply(
                call,
                json_pack("{s:O, s:s, s:o}", "thread", thread, "text", text, "decisions",
                          encode_decisions(call->connection, &view, decisions_that_fit(thread))));
}
