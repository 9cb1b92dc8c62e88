/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.balancerd.Monitor */

#include "api/monitor.h"

#include <errno.h>
#include <utlist.h>

#include "api/encode.h"
#include "api/methods.h"

/* Told to one client in one turn. */
#define TOLD_PER_TURN 32U

struct subscription {
        struct producer producer;
        struct monitor *monitor;
        struct connection *connection;
        struct subscription *prev, *next;
        bool ready;           /* and told so */
        uint64_t n_decisions; /* the number of the next one */
        uint64_t n_notices;   /* likewise */
};

void monitor_done(struct monitor *monitor)
{
        for (unsigned i = 0; i < MONITOR_NOTICES; i++)
                json_decref(monitor->notices[i]);
        *monitor = (struct monitor){0};
}

static void wake_all(struct monitor *monitor)
{
        struct subscription *s;

        DL_FOREACH (monitor->subscriptions, s)
                connection_wake(s->connection);
}

void monitor_tell_decision(struct monitor *monitor)
{
        wake_all(monitor);
}

void monitor_tell_notice(struct monitor *monitor, const struct notice *notice)
{
        json_t **place = &monitor->notices[monitor->n_notices % MONITOR_NOTICES];
        struct server *server;
        json_t *encoded;

        if (!monitor->subscriptions)
                return;
        server = monitor->subscriptions->connection->server;
        server_look_at_clock(server);
        encoded = encode_notice(notice, clock_now_nsec(CLOCK_BOOTTIME), &server->calendar);
        if (!encoded)
                return; /* the log has it */
        json_decref(*place);
        *place = encoded;
        monitor->n_notices++;
        wake_all(monitor);
}

static void subscription_free(struct producer *producer)
{
        struct subscription *s = CONTAINER_OF(producer, struct subscription, producer);

        DL_DELETE(s->monitor->subscriptions, s);
        free(s);
}

/* A ring of SIZE, to which COUNT were added, has overwritten what was to be told next: goes on with
 * the oldest that is left, and returns how many were lost. */
static uint64_t skip_lost(uint64_t *next, uint64_t count, unsigned size)
{
        uint64_t oldest = count > size ? count - size : 0;
        uint64_t n_lost = oldest - MIN(oldest, *next);

        *next += n_lost;
        return n_lost;
}

static int tell_lost(const struct subscription *s, uint64_t n)
{
        return connection_reply(s->connection, json_pack("{s:I}", "lost", (json_int_t)n), true);
}

/* Tells the next decision, where the caller may see it. */
static int tell_decision(struct subscription *s, const struct decisions *decisions)
{
        uint64_t n_lost = skip_lost(&s->n_decisions, decisions_count(decisions), DECISIONS_MAX);
        struct connection *connection = s->connection;
        const struct decision *decision;

        if (n_lost > 0)
                return tell_lost(s, n_lost);
        decision = decisions_get(decisions, s->n_decisions++);
        if (!server_shows(connection->server, &connection->peer, decision->uid))
                return 0;
        return connection_reply(connection,
                                json_pack("{s:o}", "decision",
                                          encode_decision(decision, &connection->server->calendar)),
                                true);
}

static int tell_notice(struct subscription *s)
{
        const struct monitor *monitor = s->monitor;
        uint64_t n_lost = skip_lost(&s->n_notices, monitor->n_notices, MONITOR_NOTICES);
        json_t *notice;

        if (n_lost > 0)
                return tell_lost(s, n_lost);
        notice = monitor->notices[s->n_notices++ % MONITOR_NOTICES];
        return connection_reply(s->connection, json_pack("{s:O}", "notice", notice), true);
}

static int tell_ready(struct subscription *s)
{
        s->ready = true;
        return connection_reply(s->connection, json_pack("{s:b}", "ready", true), true);
}

static int subscription_produce(struct producer *producer, struct connection *connection)
{
        struct subscription *s = CONTAINER_OF(producer, struct subscription, producer);
        const struct decisions *decisions = balancer_decisions(connection->server->host.balancer);

        if (!server_shows_all(connection->server, &connection->peer))
                s->n_notices = s->monitor->n_notices; /* none is for the caller */
        for (unsigned i = 0; i < TOLD_PER_TURN; i++) {
                int r;

                if (!s->ready)
                        r = tell_ready(s);
                else if (s->n_decisions < decisions_count(decisions))
                        r = tell_decision(s, decisions);
                else if (s->n_notices < s->monitor->n_notices)
                        r = tell_notice(s);
                else
                        return PROGRESS_WAIT;
                if (r < 0)
                        return r;
        }
        return PROGRESS_MORE;
}

int method_monitor(const struct call *call)
{
        struct monitor *monitor = &call->server->monitor;
        struct subscription *s;
        int r;

        if (!call_read(call, NULL, 0, &r))
                return r;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->producer = (struct producer){.produce = subscription_produce, .free = subscription_free};
        s->monitor = monitor;
        s->connection = call->connection;
        s->n_decisions = decisions_count(balancer_decisions(call->server->host.balancer));
        s->n_notices = monitor->n_notices;
        DL_APPEND(monitor->subscriptions, s);
        return call_produce(call, &s->producer);
}
