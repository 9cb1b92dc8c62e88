/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server as a client meets it: the first byte of an input says in pieces of what size the rest
 * is sent, and whether the client then shuts its end. Every reply must be Varlink, every call that
 * wants one gets its replies, in order, and nothing is left when the client has gone.
 */

#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "api/stage.h"
#include "varlink/message.h"

static const struct peer root = {.pid = 1, .privileged = true};

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
        unsigned n_answers;
        bool began;    /* an answer of which there is more to come */
        bool rejected; /* the last was InvalidMessage */
        bool ended;
};

static void take_replies(struct got *got)
{
        const char *text, *fault;
        size_t length;

        while (varlink_stream_next(&got->stream, &text, &length) > 0) {
                struct varlink_reply reply = {0};

                REQUIRE(varlink_reply_parse(text, length, &reply, &fault) == 0);
                REQUIRE(!reply.error || !reply.continues);
                REQUIRE(!got->rejected);
                got->rejected =
                        reply.error && strcmp(reply.error, "io.balancerd.InvalidMessage") == 0;
                got->began = reply.continues;
                got->n_answers += !reply.continues && !got->rejected;
                varlink_reply_done(&reply);
        }
}

/* Lets the server work, and reads what comes, until nothing does. */
static void converse(struct stage *stage, struct got *got)
{
        ssize_t n;

        do {
                stage_run(stage);
                n = varlink_stream_receive(&got->stream);
                take_replies(got);
        } while (n > 0);
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
        varlink_stream_init(&got.stream, stage_connect(stage, &root));
        say(stage, &got, data + 1, size - 1, data[0] & 0x7F ? data[0] & 0x7F : size);
        if (data[0] & 0x80)
                (void)shutdown(got.stream.fd, SHUT_WR);
        converse(stage, &got);
        REQUIRE(got.n_answers == owed.n_answers);
        REQUIRE(got.began == owed.subscribed && got.rejected == owed.rejected);
        REQUIRE(got.ended == (owed.rejected || ((data[0] & 0x80) && !owed.subscribed)));
        leave(stage, &got);
        return 0;
}
