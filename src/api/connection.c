/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utlist.h>

#include "api/call.h"

/* What the kernel keeps for a client that does not read (it doubles the number for its own needs):
 * what is more waits here, where it is counted. */
#define SEND_BUFFER ((int)VARLINK_MESSAGE_MAX)

static void drop_producer(struct connection *c)
{
        struct producer *producer = TAKE_PTR(c->producer);

        if (producer)
                producer->free(producer);
}

void connection_free(struct connection *c)
{
        if (!c)
                return;
        drop_producer(c);
        server_forget(c->server, c);
        sd_event_source_disable_unref(c->source);
        varlink_stream_done(&c->stream);
        free(c);
}

/* Whether more of the client's messages are to be read now. */
static bool wants_input(const struct connection *c)
{
        return !c->producer && !c->has_turn && !c->owing && !c->closing && !c->input_ended &&
               varlink_stream_pending(&c->stream) == 0;
}

/* Input that is not wanted stays listened for until it comes: most calls are answered before the
 * next, and each change is a system call. */
static int listen_for(struct connection *c)
{
        uint32_t events = c->unwanted_input ? 0 : c->events & EPOLLIN;
        int r;

        /* Who has hung up cannot be listened to for anything else than that. */
        r = sd_event_source_set_enabled(c->source,
                                        c->hung_up && c->has_turn ? SD_EVENT_OFF : SD_EVENT_ON);
        if (r < 0)
                return r;
        c->unwanted_input = false;
        if (wants_input(c))
                events |= EPOLLIN;
        if (varlink_stream_pending(&c->stream) > 0)
                events |= EPOLLOUT;
        if (events == c->events)
                return 0;
        r = sd_event_source_set_io_events(c->source, events);
        if (r < 0)
                return r;
        c->events = events;
        return 0;
}

static int send_out(struct connection *c)
{
        int r;

        r = varlink_stream_send(&c->stream);
        if (r < 0)
                return r;
        if (varlink_stream_pending(&c->stream) == 0) {
                c->stalled_at = 0;
        } else if (c->stalled_at == 0) {
                c->stalled_at = server_now(c->server);
                server_wake_by(c->server, c->stalled_at + TAKE_WITHIN);
        }
        return 0;
}

static int put_reply(struct connection *c, const struct varlink_reply *reply)
{
        int r;

        r = varlink_reply_put(&c->stream, reply);
        if (r == -ENOBUFS || r == -EMSGSIZE)
                c->dropped_for = "reply too long";
        return r;
}

int connection_reply(struct connection *c, json_t *parameters, bool continues)
{
        json_auto_t *owned = parameters;
        const struct varlink_reply reply = {.parameters = owned, .continues = continues};

        if (!owned)
                return -ENOMEM;
        return c->mute ? 0 : put_reply(c, &reply);
}

bool connection_is_full(const struct connection *c)
{
        return varlink_stream_pending(&c->stream) > VARLINK_OUTPUT_MAX - VARLINK_MESSAGE_MAX;
}

int connection_refuse(struct connection *c, const char *error, json_t *parameters)
{
        json_auto_t *owned = parameters;
        const struct varlink_reply reply = {.error = error, .parameters = owned};

        if (!owned)
                return -ENOMEM;
        return c->mute ? 0 : put_reply(c, &reply);
}

int connection_reject(struct connection *c, const char *fault)
{
        c->mute = false;
        c->closing = true;
        c->dropped_for = "invalid message";
        return connection_refuse(c, "io.balancerd.InvalidMessage",
                                 json_pack("{s:s}", "reason", fault));
}

static int answer(struct connection *c, const char *text, size_t length)
{
        _cleanup_(varlink_call_done) struct varlink_call message = {0};
        const char *fault;
        int r;

        r = varlink_call_parse(text, length, &message, &fault);
        if (r == -EBADMSG)
                return connection_reject(c, fault);
        if (r < 0)
                return r;
        c->called = true;
        c->since = server_now(c->server);
        return call_dispatch(c, &message);
}

static int receive(struct connection *c)
{
        ssize_t n;

        n = varlink_stream_receive(&c->stream);
        if (n == -EAGAIN)
                return 0;
        if (n == 0)
                c->input_ended = true;
        return n < 0 ? (int)n : 0;
}

/* The next message, as varlink_stream_next() has it. Who was in debt has not been read from
 * meanwhile, and may be in debt again before his socket's turn comes. */
static int next_message(struct connection *c, const char **ret_text, size_t *ret_length)
{
        bool behind = c->behind;
        int r;

        c->behind = false;
        r = varlink_stream_next(&c->stream, ret_text, ret_length);
        if (r != 0 || !behind || c->input_ended)
                return r;
        r = receive(c);
        return r < 0 ? r : varlink_stream_next(&c->stream, ret_text, ret_length);
}

/* Answers the next message if it is there whole, or begins to. Returns whether there may be more to
 * do, or a negative errno. */
static int answer_next(struct connection *c)
{
        const char *text;
        size_t length;
        int r;

        r = next_message(c, &text, &length);
        if (r == -EMSGSIZE)
                return connection_reject(c, "longer than 65536 bytes");
        if (r <= 0)
                return r;
        r = answer(c, text, length);
        if (r < 0)
                return r;
        return c->producer || varlink_stream_is_cut(&c->stream);
}

/* Returns whether the producer could go on at once, or has ended and messages wait. */
static int produce(struct connection *c)
{
        int r;

        r = c->producer->produce(c->producer, c);
        if (r < 0)
                return r;
        switch ((enum progress)r) {
        case PROGRESS_MORE:
                return true;
        case PROGRESS_WAIT:
                return false;
        case PROGRESS_END:
                drop_producer(c);
                c->since = server_now(c->server);
                return varlink_stream_is_cut(&c->stream);
        }
        abort();
}

/* One step of what there is to do; what comes after it waits for the next turn. */
static int step(struct connection *c)
{
        int r;

        if (c->owing || c->closing || c->has_turn || varlink_stream_pending(&c->stream) > 0)
                return 0;
        server_look_at_clock(c->server);
        r = c->producer ? produce(c) : answer_next(c);
        if (r < 0)
                return r;
        if (r > 0 && !c->closing)
                server_queue(c->server, c);
        return send_out(c);
}

/* An unprivileged user who is in debt waits, on each of his connections, a new one too. */
static void await_payment(struct connection *c)
{
        nsec_t paid_at;

        if (c->peer.privileged)
                return;
        paid_at = user_paid_at(c->user, server_now(c->server));
        if (paid_at == 0)
                return;
        c->owing = true;
        server_wake_by(c->server, paid_at);
}

/* What was done for an unprivileged user is charged to him. */
static void charge(struct connection *c, nsec_t began)
{
        if (c->peer.privileged)
                return;
        user_charge(c->user, server_now(c->server), server_cost(began));
        await_payment(c);
}

static nsec_t begin(const struct connection *c)
{
        return c->peer.privileged ? 0 : clock_now_nsec(CLOCK_THREAD_CPUTIME_ID);
}

static bool is_done(const struct connection *c)
{
        bool has_output = varlink_stream_pending(&c->stream) > 0;

        if (c->closing)
                return !has_output;
        return c->input_ended && !has_output && !c->producer && !c->has_turn && !c->owing;
}

/* What the end costs is charged too. */
static void end(struct connection *c)
{
        struct server *server = c->server;
        const struct peer peer = c->peer;
        nsec_t began = begin(c);

        if (c->dropped_for)
                server_tell_dropped(server, &peer, c->dropped_for);
        connection_free(c);
        if (!peer.privileged)
                limits_charge(&server->limits, &peer, server_now(server), server_cost(began));
}

/* When the client's patience, or ours with it, is at its end. */
static nsec_t deadline(const struct connection *c)
{
        if (c->stalled_at != 0)
                return c->stalled_at + TAKE_WITHIN;
        if (c->producer || c->owing || c->has_turn)
                return NSEC_INFINITY;
        return c->since + (c->called ? NEXT_CALL_WITHIN : FIRST_CALL_WITHIN);
}

/* The end of every event of the connection: ERROR is what it came to. */
static void settle(struct connection *c, nsec_t began, int error)
{
        charge(c, began);
        if (error == 0)
                error = listen_for(c);
        if (error == 0 && !is_done(c)) {
                server_wake_by(c->server, deadline(c));
                return;
        }
        if (error == -ENOMEM)
                c->dropped_for = "no memory";
        end(c);
}

/* EPOLLHUP: nobody is at the other end. What was sent before is still read, until something has to
 * be waited for. */
static int serve(struct connection *c, uint32_t revents)
{
        bool reads = (revents & EPOLLIN) && wants_input(c);
        int r;

        c->hung_up = revents & (EPOLLHUP | EPOLLERR);
        if (c->hung_up && !reads && !c->has_turn)
                return -EPIPE;
        c->unwanted_input = (revents & EPOLLIN) && !reads;
        if (revents & EPOLLOUT) {
                r = send_out(c);
                if (r < 0)
                        return r;
        }
        if (reads) {
                r = receive(c);
                if (r < 0)
                        return r;
        }
        return step(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        struct connection *c = userdata;
        nsec_t began = begin(c);

        (void)source;
        (void)fd;
        settle(c, began, serve(c, revents));
        return 0;
}

void connection_take_turn(struct connection *c)
{
        nsec_t began = begin(c);

        settle(c, began, step(c));
}

void connection_wake(struct connection *c)
{
        if (!c->has_turn && !c->owing && varlink_stream_pending(&c->stream) == 0)
                server_queue(c->server, c);
}

static const char *deadline_name(const struct connection *c)
{
        if (c->stalled_at != 0)
                return "does not read";
        return c->called ? "idle" : "silent";
}

nsec_t connection_look(struct connection *c, nsec_t now)
{
        nsec_t paid_at = c->owing ? user_paid_at(c->user, now) : 0, at;

        if (c->owing && paid_at == 0) {
                c->owing = false;
                c->behind = true;
                server_queue(c->server, c);
        }
        at = deadline(c);
        if (now >= at) {
                c->dropped_for = deadline_name(c);
                end(c);
                return NSEC_INFINITY;
        }
        return paid_at != 0 ? MIN(at, paid_at) : at;
}

int connection_new(struct server *server, int fd, const struct peer *peer, struct user *user,
                   nsec_t began)
{
        const int buffer = SEND_BUFFER;
        struct connection *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        r = sd_event_add_io(server->event, &c->source, fd, EPOLLIN, on_io, c);
        if (r >= 0)
                r = sd_event_source_set_priority(c->source, SERVER_PRIORITY);
        if (r < 0) {
                sd_event_source_disable_unref(c->source);
                free(c);
                return r;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
        varlink_stream_init(&c->stream, fd);
        c->server = server;
        c->events = EPOLLIN;
        c->user = user;
        c->peer = *peer;
        c->since = server_now(server);
        DL_APPEND(server->connections, c);
        server_wake_by(server, c->since + FIRST_CALL_WITHIN);
        charge(c, began);
        return 0;
}
