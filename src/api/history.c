/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.balancerd.ListDecisions: what the balancer's ring still has. */

#include <errno.h>

#include "api/encode.h"
#include "api/methods.h"

/* Decisions looked at in one turn; all of them fit into half of what may wait to be sent. */
#define DECISIONS_PER_TURN 64U
_Static_assert(DECISIONS_PER_TURN *ENCODED_DECISION_MAX <= VARLINK_OUTPUT_MAX / 2,
               "a turn's decisions do not fit");

struct history {
        struct producer producer;
        pid_t tid;          /* asked for; 0: any */
        uint64_t next, end; /* numbers in the ring: what is decided later is not told */
        json_t *held;       /* to be told next: whether it is the last is known then */
};

static void history_free(struct producer *producer)
{
        struct history *history = CONTAINER_OF(producer, struct history, producer);

        json_decref(history->held);
        free(history);
}

static bool is_wanted(const struct history *history, const struct connection *connection,
                      const struct decision *decision)
{
        return (history->tid == 0 || decision->tid == history->tid) &&
               server_shows(connection->server, &connection->peer, decision->uid);
}

/* The number from which on there are LAST decisions that are wanted, or as many as are left. */
static uint64_t find_first(const struct history *history, const struct connection *connection,
                           unsigned last)
{
        const struct decisions *decisions = balancer_decisions(connection->server->host.balancer);
        uint64_t first = history->end;

        for (unsigned n = 0; n < last && first > 0; first--) {
                const struct decision *decision = decisions_get(decisions, first - 1);

                if (!decision)
                        break;
                n += is_wanted(history, connection, decision);
        }
        return first;
}

/* All were looked at: tells the last. */
static int history_end(struct history *history, struct connection *connection)
{
        int r;

        if (history->held)
                r = connection_reply(connection, TAKE_PTR(history->held), false);
        else
                r = connection_refuse(connection, "io.balancerd.NoDecisions", json_object());
        return r < 0 ? r : PROGRESS_END;
}

/* Tells the one before, and holds this one back. */
static int history_add(struct history *history, struct connection *connection,
                       const struct decision *decision)
{
        const struct calendar *calendar = &connection->server->calendar;
        json_t *encoded;
        int r;

        encoded = json_pack("{s:o}", "decision", encode_decision(decision, calendar));
        if (!encoded)
                return -ENOMEM;
        r = history->held ? connection_reply(connection, TAKE_PTR(history->held), true) : 0;
        history->held = encoded;
        return r;
}

static int history_produce(struct producer *producer, struct connection *connection)
{
        struct history *history = CONTAINER_OF(producer, struct history, producer);
        const struct decisions *decisions = balancer_decisions(connection->server->host.balancer);

        for (unsigned i = 0; i < DECISIONS_PER_TURN; i++) {
                const struct decision *decision;
                int r;

                if (history->next == history->end)
                        return history_end(history, connection);
                decision = decisions_get(decisions, history->next++);
                if (!decision || !is_wanted(history, connection, decision))
                        continue; /* overwritten meanwhile, or of no concern */
                r = history_add(history, connection, decision);
                if (r < 0)
                        return r;
        }
        return PROGRESS_MORE;
}

int method_list_decisions(const struct call *call)
{
        pid_t tid = 0;
        unsigned last = DECISIONS_MAX;
        const struct parameter parameters[] = {
                {.name = "tid", .ret_pid = &tid},
                {.name = "last", .ret_count = &last},
        };
        struct history *history;
        int r;

        if (!call_read(call, parameters, ARRAY_SIZE(parameters), &r))
                return r;
        history = calloc(1, sizeof(*history));
        if (!history)
                return -ENOMEM;
        history->producer = (struct producer){.produce = history_produce, .free = history_free};
        history->tid = tid;
        history->end = decisions_count(balancer_decisions(call->server->host.balancer));
        history->next = find_first(history, call->connection, last);
        return call_produce(call, &history->producer);
}
