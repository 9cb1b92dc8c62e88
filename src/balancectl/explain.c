/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl explain: a thread, why it is where it is, and what was decided about it. */

#include <inttypes.h>

#include "balancectl/cells.h"
#include "balancectl/events.h"
#include "balancectl/fields.h"
#include "balancectl/mates.h"
#include "balancectl/print.h"
#include "balancectl/refusal.h"
#include "balancectl/session.h"
#include "balancectl/verbs.h"
#include "base/macro.h"

/* The kernel's scale: -1, 0 to 99, 100 to 139. */
#define PRIORITY_DEADLINE     (-1)
#define PRIORITY_REALTIME_END 100
#define PRIORITY_NICE_0       120
#define PRIORITY_NICEST       139

/* proc_pid_stat(5) */
static const char *describe_state(const json_t *thread)
{
        static const struct {
                const char *state, *words;
        } known[] = {
                {"R", "running or ready"},
                {"S", "asleep"},
                {"D", "asleep, not to be disturbed"},
                {"I", "idle"},
                {"T", "stopped"},
                {"t", "stopped by a tracer"},
                {"P", "parked"},
                {"Z", "ended, not yet waited for"},
                {"X", "ended"},
        };
        const char *state = field_text(thread, "state", "-");

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(state, known[i].state))
                        return known[i].words;
        return "in a state that is not known here";
}

/* What the kernel counts, in the terms in which it was set: sched(7). */
static const char *describe_priority(const json_t *thread, char buffer[static WORDS_SIZE])
{
        int64_t priority;

        if (!field_integer(thread, "priority", &priority) || priority < PRIORITY_DEADLINE ||
            priority > PRIORITY_NICEST)
                return "of no priority that is known here";
        if (priority == PRIORITY_DEADLINE)
                return "under SCHED_DEADLINE";
        if (priority < PRIORITY_REALTIME_END)
                (void)snprintf(buffer, WORDS_SIZE, "real-time priority %" PRId64,
                               PRIORITY_REALTIME_END - 1 - priority);
        else
                (void)snprintf(buffer, WORDS_SIZE, "nice %" PRId64, priority - PRIORITY_NICE_0);
        return buffer;
}

static void print_thread(const struct terminal *terminal, const json_t *thread)
{
        char tid[WORDS_SIZE], pid[WORDS_SIZE], uid[WORDS_SIZE], cpu[WORDS_SIZE];
        char priority[WORDS_SIZE];

        print_card(terminal, "Thread", "%s (%s) of process %s, user %s",
                   cell_integer(thread, "tid", tid), field_text(thread, "comm", "-"),
                   cell_integer(thread, "pid", pid), cell_integer(thread, "uid", uid));
        print_card(terminal, "Where", "CPU %s, permitted %s", cell_integer(thread, "cpu", cpu),
                   field_text(thread, "affinity", "-"));
        print_card(terminal, "State", "%s (%s), %s", describe_state(thread),
                   field_text(thread, "state", "-"), describe_priority(thread, priority));
}

static void print_load(const struct terminal *terminal, const json_t *thread)
{
        char run[WORDS_SIZE], wait[WORDS_SIZE], demand[WORDS_SIZE], ago[WORDS_SIZE];

        if (!field_flag(thread, "watched"))
                return;
        print_card(terminal, "Load", "runs %s, waits %s, would use %s of a CPU",
                   cell_share(thread, "run", run), cell_share(thread, "wait", wait),
                   cell_share(thread, "demand", demand));
        if (json_object_get(thread, "movedAgoUSec"))
                print_card(terminal, "Moved", "%s ago", cell_span(thread, "movedAgoUSec", ago));
}

static void print_history(const struct terminal *terminal, const json_t *decisions)
{
        size_t n = json_array_size(decisions);

        if (n == 0)
                print_card(terminal, "History", "nothing was decided about it lately");
        else
                print_card(terminal, "History", "%zu decision%s", n, n == 1 ? "" : "s");
        for (size_t i = 0; i < n; i++)
                print_decision(terminal, json_array_get(decisions, i));
}

static void print(const struct terminal *terminal, const json_t *reply)
{
        const json_t *thread = json_object_get(reply, "thread");

        print_thread(terminal, thread);
        print_load(terminal, thread);
        print_card(terminal, "Verdict", "%s", cell_verdict(thread));
        print_card(terminal, "Why", "%s", field_text(reply, "text", "-"));
        print_history(terminal, json_object_get(reply, "decisions"));
}

/* Explains one thread. Returns 0, SESSION_REFUSED where it has ended since it was listed
 * (IS_LISTED), or an error that has been told. */
static int explain_one(const struct request *request, struct session *session, int64_t tid,
                       bool is_listed)
{
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};
        json_t *parameters = json_pack("{sI}", "tid", (json_int_t)tid);
        int r;

        if (!parameters)
                return tell_no_memory();
        r = session_send(session, "Explain", parameters, false);
        if (r < 0)
                return r;
        r = session_receive(session, &reply);
        if (r < 0)
                return r;
        if (r == SESSION_REFUSED && is_listed && refusal_is(&reply, "NoSuchThread"))
                return r;
        if (r == SESSION_REFUSED)
                return session_refuse(session, &reply);
        if (request->json != JSON_MODE_OFF)
                return print_json(reply.parameters, request->json);
        print(&request->terminal, reply.parameters);
        mates_tell(request, session, json_object_get(reply.parameters, "thread"));
        return 0;
}

static int explain_list(const struct request *request, struct session *session, const json_t *list)
{
        bool separate = false;

        for (size_t i = 0; i < json_array_size(list); i++) {
                int64_t tid;
                int r;

                if (!field_integer(json_array_get(list, i), "tid", &tid))
                        continue;
                if (separate && request->json == JSON_MODE_OFF)
                        (void)putchar('\n');
                r = explain_one(request, session, tid, true);
                if (r < 0)
                        return r;
                separate = r == 0;
        }
        return 0;
}

static int explain_all(const struct request *request, struct session *session)
{
        json_t *parameters = json_pack("{sisb}", "pid", request->id, "all", true);
        json_auto_t *list = NULL;
        int r;

        if (!parameters)
                return tell_no_memory();
        r = session_list(session, "ListThreads", parameters, "thread", &list);
        return r < 0 ? r : explain_list(request, session, list);
}

int verb_explain(const struct request *request)
{
        _cleanup_session_ struct session session = {0};
        int r;

        r = session_open(&session, request);
        if (r < 0)
                return r;
        return request->all_tasks ? explain_all(request, &session)
                                  : explain_one(request, &session, request->id, false);
}
