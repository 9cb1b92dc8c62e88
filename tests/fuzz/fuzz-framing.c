/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Messages out of a stream that comes in pieces: the first byte says how large. What comes out is
 * what stands between the NULs, whatever the pieces; a call or reply that is understood is
 * understood again when it is sent on.
 */

#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>

#include "varlink/message.h"

static void send_on_call(const char *text, size_t length)
{
        _cleanup_varlink_stream_ struct varlink_stream out = VARLINK_STREAM_NONE;
        struct varlink_call call, again;
        const char *fault = NULL;

        if (varlink_call_parse(text, length, &call, &fault) < 0) {
                REQUIRE(fault);
                return;
        }
        REQUIRE(varlink_call_put(&out, &call) == 0);
        REQUIRE(varlink_call_parse(out.out.data, varlink_stream_pending(&out) - 1, &again,
                                   &fault) == 0);
        REQUIRE(strcmp(call.method, again.method) == 0);
        REQUIRE(call.more == again.more && call.oneway == again.oneway &&
                call.upgrade == again.upgrade);
        REQUIRE((call.parameters != NULL) == (again.parameters != NULL));
        varlink_call_done(&call);
        varlink_call_done(&again);
}

static void send_on_reply(const char *text, size_t length)
{
        _cleanup_varlink_stream_ struct varlink_stream out = VARLINK_STREAM_NONE;
        struct varlink_reply reply, again;
        const char *fault = NULL;

        if (varlink_reply_parse(text, length, &reply, &fault) < 0) {
                REQUIRE(fault);
                return;
        }
        REQUIRE(varlink_reply_put(&out, &reply) == 0);
        REQUIRE(varlink_reply_parse(out.out.data, varlink_stream_pending(&out) - 1, &again,
                                    &fault) == 0);
        REQUIRE((reply.error != NULL) == (again.error != NULL));
        REQUIRE(!reply.error || strcmp(reply.error, again.error) == 0);
        REQUIRE(reply.continues == again.continues);
        varlink_reply_done(&reply);
        varlink_reply_done(&again);
}

/* Takes what is there whole; *EXPECTED is what was sent and not yet taken. */
static void take(struct varlink_stream *stream, const char **expected, const char *end)
{
        const char *text;
        size_t length;

        while (varlink_stream_next(stream, &text, &length) == 1) {
                REQUIRE(length < (size_t)(end - *expected));
                REQUIRE(memcmp(text, *expected, length + 1) == 0);
                REQUIRE(!memchr(text, '\0', length));
                *expected += length + 1;
                send_on_call(text, length);
                send_on_reply(text, length);
        }
        REQUIRE(*expected == end || !memchr(*expected, '\0', (size_t)(end - *expected)));
        REQUIRE(varlink_stream_is_cut(stream) == (*expected < end));
        REQUIRE(stream->in.capacity > 0 || *expected == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_varlink_stream_ struct varlink_stream stream = VARLINK_STREAM_NONE;
        const char *bytes = (const char *)data + 1, *expected = bytes;
        size_t piece;
        int fds[2];

        if (size < 2 || size > 5000)
                return 0;
        piece = data[0] == 0 ? size : data[0];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        varlink_stream_init(&stream, fds[0]);
        for (size_t at = 0, n; at < size - 1; at += n) {
                n = MIN(piece, size - 1 - at);
                REQUIRE(send(fds[1], bytes + at, n, 0) == (ssize_t)n);
                for (ssize_t k, got = 0; got < (ssize_t)n; got += k) {
                        k = varlink_stream_receive(&stream);
                        REQUIRE(k > 0);
                        take(&stream, &expected, bytes + at + got + k);
                }
        }
        close(fds[1]);
        return 0;
}
