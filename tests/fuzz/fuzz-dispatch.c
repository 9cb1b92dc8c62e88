/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server as a client meets it: the first byte of an input says in pieces of what size the rest
 * is sent, who the client is, whether its user is in debt, and whether it shuts its end when all is
 * sent. Every reply must be Varlink, every call that
 * wants one gets its replies, in order, a stranger learns of no thread, and nothing is left when
 * the client has gone.
 */

#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "api/stage.h"
#include "varlink/message.h"

/* Of the first byte. */
#define PIECE    0x1F
#define DEBTOR   0x20
#define STRANGER 0x40
#define SHUTS    0x80

static const struct peer root = {.pid = 1, .privileged = true};
static const struct peer stranger = {.pid = 3, .uid = 1000};

/* What the client is owed, by its own reading of what it sends. */
struct owed {
        unsigned n_answers;
        bool subscribed; /* the next answer never ends, and no call after it is answered */
        bool rejected;   /* the next one says that a message is no call, and is the last */
};

static bool subscribes(const struct varlink_call *call)
{
        return strcmp(call->method, "io.balancerd.Monitor") == 0 && call->more && !call->oneway &&
               !call->upgrade && json_object_size(call->parameters) == 0;
}

static struct owed reckon(const char *text, size_t size)
{
        struct owed owed = {0};
        const char *end;

        for (; (end = memchr(text, '\0', size)) && !owed.subscribed && !owed.rejected;
             size -= (size_t)(end + 1 - text), text = end + 1) {
                struct varlink_call call = {0};
                const char *fault;

                if (varlink_call_parse(text, (size_t)(end - text), &call, &fault) < 0) {
                        owed.rejected = true;
                        break;
                }
                owed.subscribed = subscribes(&call);
                owed.n_answers += !call.oneway && !owed.subscribed;
                varlink_call_done(&call);
        }
        return owed;
}

/* What the client got. */
struct got {
        struct varlink_stream stream;
        bool is_stranger;
        unsigned n_answers;
        bool began;    /* an answer of which there is more to come */
        bool rejected; /* the last was InvalidMessage */
        bool ended;
};

/* Every thread of the stage is root's. */
static bool tells_of_threads(const struct varlink_reply *reply)
{
        return json_object_get(reply->parameters, "thread") ||
               json_object_get(reply->parameters, "decision") ||
               json_object_get(reply->parameters, "notice");
}

static void take_replies(struct got *got)
{
        const char *text, *fault;
        size_t length;

        while (varlink_stream_next(&got->stream, &text, &length) > 0) {
                struct varlink_reply reply = {0};

                REQUIRE(varlink_reply_parse(text, length, &reply, &fault) == 0);
                REQUIRE(!reply.error || !reply.continues);
                REQUIRE(!got->rejected);
                REQUIRE(!got->is_stranger || !tells_of_threads(&reply));
                got->rejected =
                        reply.error && strcmp(reply.error, "io.balancerd.InvalidMessage") == 0;
                got->began = reply.continues;
                got->n_answers += !reply.continues && !got->rejected;
                varlink_reply_done(&reply);
        }
}

/* Lets a debt be paid, as if time had passed. Returns whether there was one. */
static bool pay(struct stage *stage)
{
        struct connection *connection = stage->server->connections;
        nsec_t later = server_now(stage->server) + NSEC_PER_SEC;

        if (!connection || !connection->owing)
                return false;
        REQUIRE(!connection->peer.privileged);
        user_charge(connection->user, later + 3600 * NSEC_PER_SEC, 0);
        (void)connection_look(connection, later);
        return true;
}

/* Lets the server work, and reads what comes, until nothing does. */
static void converse(struct stage *stage, struct got *got)
{
        ssize_t n;

        do {
                stage_run(stage);
                n = varlink_stream_receive(&got->stream);
                take_replies(got);
        } while (n > 0 || pay(stage));
        REQUIRE(n == 0 || n == -EAGAIN || n == -ECONNRESET);
        got->ended = n != -EAGAIN;
}

/* In pieces; the server takes each before the next. */
static void say(struct stage *stage, struct got *got, const uint8_t *data, size_t size,
                size_t piece)
{
        while (size > 0 && !got->ended) {
                ssize_t n = send(got->stream.fd, data, MIN(piece, size), MSG_NOSIGNAL);

                if (n > 0) {
                        data += n;
                        size -= (size_t)n;
                } else if (errno != EAGAIN) {
                        break; /* it has closed */
                }
                converse(stage, got);
                if (n <= 0 && got->began)
                        break; /* a subscriber is not listened to */
        }
}

static void leave(struct stage *stage, struct got *got)
{
        varlink_stream_done(&got->stream);
        stage_run(stage);
        REQUIRE(!stage->server->connections && !stage->server->turns);
        REQUIRE(!stage->server->monitor.subscriptions && stage->server->limits.n_connections == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct stage *stage; /* reused: it is the same after each input */
        struct owed owed;
        struct got got = {0};

        if (size < 1)
                return 0;
        if (!stage)
                stage = stage_new();
        owed = reckon((const char *)data + 1, size - 1);
        got.is_stranger = data[0] & STRANGER;
        varlink_stream_init(&got.stream, stage_connect(stage, got.is_stranger ? &stranger : &root));
        if ((data[0] & (STRANGER | DEBTOR)) == (STRANGER | DEBTOR))
                user_charge(stage->server->connections->user, server_now(stage->server),
                            2 * LIMITS_SAVINGS);
        say(stage, &got, data + 1, size - 1, data[0] & PIECE ? data[0] & PIECE : size);
        if (data[0] & SHUTS)
                (void)shutdown(got.stream.fd, SHUT_WR);
        converse(stage, &got);
        REQUIRE(got.n_answers == owed.n_answers);
        REQUIRE(got.began == owed.subscribed && got.rejected == owed.rejected);
        REQUIRE(got.ended == (owed.rejected || ((data[0] & SHUTS) && !owed.subscribed)));
        leave(stage, &got);
        return 0;
}
