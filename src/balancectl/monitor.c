/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl monitor: what the daemon does, as it does it. Ends when nobody reads its output any
 * more, even if nothing happens. */

#include <errno.h>
#include <poll.h>

#include "balancectl/events.h"
#include "balancectl/fields.h"
#include "balancectl/print.h"
#include "balancectl/session.h"
#include "balancectl/verbs.h"
#include "base/macro.h"

/* Waits until the daemon has said something: 0, or -EPIPE when nobody reads what we print. */
static int await_reply(const struct session *session)
{
        struct pollfd fds[] = {
                {.fd = balancer_client_fd(session->client), .events = POLLIN},
                {.fd = STDOUT_FILENO}, /* that its last reader has left is told unasked */
        };

        if (balancer_client_wait(session->client, 0) != 0)
                return 0;
        while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
                if (errno != EINTR)
                        return 0; /* receiving will tell */
        return fds[1].revents & (POLLERR | POLLHUP) ? -EPIPE : 0;
}

/* Returns whether it was an event: what a newer daemon may tell beside them is passed over. */
static bool is_event(const json_t *reply)
{
        return json_is_object(json_object_get(reply, "decision")) ||
               json_is_object(json_object_get(reply, "notice")) ||
               json_is_integer(json_object_get(reply, "lost"));
}

static int print_event(const struct request *request, const json_t *reply)
{
        const json_t *decision = json_object_get(reply, "decision");
        const json_t *notice = json_object_get(reply, "notice");

        if (request->json != JSON_MODE_OFF)
                return print_json(reply, request->json);
        if (json_is_object(decision))
                print_decision(&request->terminal, decision);
        if (json_is_object(notice))
                print_notice(&request->terminal, notice);
        if (json_is_integer(json_object_get(reply, "lost")))
                print_lost(&request->terminal, reply);
        return 0;
}

static void tell_ready(const struct request *request, const json_t *reply)
{
        if (request->legend && field_flag(reply, "ready"))
                fprintf(stderr, "listening; Ctrl-C ends\n");
}

/* Returns 1 when an event was printed, 0 when there was none, or an error that has been told. */
static int take_reply(const struct request *request, struct session *session, bool *ret_continues)
{
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};
        int r;

        r = session_receive(session, &reply);
        if (r != 0)
                return r == SESSION_REFUSED ? session_refuse(session, &reply) : r;
        *ret_continues = reply.continues;
        tell_ready(request, reply.parameters);
        if (!is_event(reply.parameters))
                return 0;
        r = print_event(request, reply.parameters);
        if (r >= 0)
                r = flush_output();
        return r < 0 ? r : 1;
}

static int follow(const struct request *request, struct session *session)
{
        uint64_t n_events = 0;
        bool continues = true, listening = false; /* only the first reply has a time limit */

        while (continues && (request->count == 0 || n_events < request->count)) {
                int r;

                r = listening ? await_reply(session) : 0;
                if (r >= 0)
                        r = take_reply(request, session, &continues);
                if (r < 0)
                        return r;
                n_events += (uint64_t)r;
                listening = true;
        }
        return 0;
}

int verb_monitor(const struct request *request)
{
        _cleanup_session_ struct session session = {0};
        int r;

        r = session_open(&session, request);
        if (r < 0)
                return r;
        r = session_send(&session, "Monitor", NULL, true);
        return r < 0 ? r : follow(request, &session);
}
