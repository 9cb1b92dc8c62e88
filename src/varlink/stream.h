/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages over a stream socket: each is some text and one NUL byte (varlink.org, "Protocol").
 * Knows neither JSON nor an event loop; never waits. A stream that has nothing under way owns no
 * memory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/macro.h"

/* The longest message that is taken or sent, its NUL included. */
#define VARLINK_MESSAGE_MAX ((size_t)64 << 10)
/* What may wait to be sent: two of the longest messages. */
#define VARLINK_OUTPUT_MAX (2 * VARLINK_MESSAGE_MAX)

/* Bytes in the order in which they came: [start, end) of `data` are not yet used. */
struct varlink_bytes {
        char *data;
        size_t start, end, capacity;
};

struct varlink_stream {
        int fd;                   /* owned; non-blocking or not: no call here waits */
        struct varlink_bytes in;  /* received */
        size_t n_taken;           /* of `in`: the message that was handed out last, still in use */
        size_t n_searched;        /* of `in` behind that: holds no NUL */
        struct varlink_bytes out; /* to be sent */
};

/* Takes over FD, a connected stream socket. */
void varlink_stream_init(struct varlink_stream *stream, int fd);
void varlink_stream_done(struct varlink_stream *stream);
/* A stream of nothing, that needs no varlink_stream_done() and stands it. */
#define VARLINK_STREAM_NONE                                                                        \
        {                                                                                          \
                .fd = -1                                                                           \
        }
#define _cleanup_varlink_stream_ _cleanup_(varlink_stream_done)

/*
 * Receives once what is there, up to the room that a message has left; to be called when
 * varlink_stream_next() has returned 0. Returns the number of bytes, 0 at the end of the stream,
 * -EAGAIN when nothing is there, -ENOMEM, or the error of recv(2).
 */
ssize_t varlink_stream_receive(struct varlink_stream *stream);

/*
 * The next message that is there whole: returns 1 and its text, which is valid until the next call
 * with STREAM and has a NUL at its end that LENGTH does not count; 0 when there is none;
 * -EMSGSIZE when what is there is the beginning of one that is too long.
 */
int varlink_stream_next(struct varlink_stream *stream, const char **ret_text, size_t *ret_length);

/* Whether more was received than has been handed out: where varlink_stream_next() has returned 0,
 * the beginning of a message, otherwise perhaps whole ones. */
bool varlink_stream_is_cut(const struct varlink_stream *stream);

/*
 * Room for LENGTH more bytes that are to be sent: returns 0 and where they are to be written, to be
 * followed by varlink_stream_commit(); -EMSGSIZE for more than VARLINK_MESSAGE_MAX, -ENOBUFS where
 * more than VARLINK_OUTPUT_MAX would wait, or -ENOMEM.
 */
int varlink_stream_reserve(struct varlink_stream *stream, size_t length, char **ret_room);
/* LENGTH of the bytes reserved were written, the NUL at the end included. */
void varlink_stream_commit(struct varlink_stream *stream, size_t length);

/* Sends what the socket takes at once. Returns 0 or the error of send(2), which is never -EAGAIN.
 */
int varlink_stream_send(struct varlink_stream *stream);
/* Bytes that wait to be sent. */
size_t varlink_stream_pending(const struct varlink_stream *stream);
