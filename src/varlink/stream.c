/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink/stream.h"

#include <errno.h>
#include <sys/socket.h>

/* What is received at once: more than a message usually has. */
#define CHUNK ((size_t)4 << 10)

static size_t bytes_length(const struct varlink_bytes *bytes)
{
        return bytes->end - bytes->start;
}

static void bytes_free(struct varlink_bytes *bytes)
{
        free(bytes->data);
        *bytes = (struct varlink_bytes){0};
}

/* Forgets the first N bytes, and the memory with the last of them. */
static void bytes_take(struct varlink_bytes *bytes, size_t n)
{
        bytes->start += n;
        if (bytes->start == bytes->end)
                bytes_free(bytes);
}

/* Room for N more bytes behind `end`. Returns 0 or -ENOMEM. */
static int bytes_reserve(struct varlink_bytes *bytes, size_t n)
{
        size_t length = bytes_length(bytes), capacity;
        char *data;

        if (bytes->capacity - bytes->end >= n)
                return 0;
        if (bytes->start > 0) {
                memmove(bytes->data, bytes->data + bytes->start, length);
                bytes->start = 0;
                bytes->end = length;
                if (bytes->capacity - length >= n)
                        return 0;
        }
        capacity = MAX(length + n, bytes->capacity * 2);
        data = realloc(bytes->data, capacity);
        if (!data)
                return -ENOMEM;
        bytes->data = data;
        bytes->capacity = capacity;
        return 0;
}

void varlink_stream_init(struct varlink_stream *stream, int fd)
{
        *stream = (struct varlink_stream){.fd = fd};
}

void varlink_stream_done(struct varlink_stream *stream)
{
        if (stream->fd >= 0)
                close(stream->fd);
        bytes_free(&stream->in);
        bytes_free(&stream->out);
        *stream = (struct varlink_stream){.fd = -EBADF};
}

/* The message that was handed out last is no longer in use. */
static void forget_taken(struct varlink_stream *stream)
{
        bytes_take(&stream->in, stream->n_taken);
        stream->n_taken = 0;
}

ssize_t varlink_stream_receive(struct varlink_stream *stream)
{
        struct varlink_bytes *in = &stream->in;
        size_t room;
        ssize_t n;
        int r;

        forget_taken(stream);
        room = MIN(VARLINK_MESSAGE_MAX - bytes_length(in), CHUNK);
        r = bytes_reserve(in, room);
        if (r < 0)
                return r;
        n = recv(stream->fd, in->data + in->end, room, MSG_DONTWAIT);
        r = -errno;
        if (n > 0)
                in->end += (size_t)n;
        else
                bytes_take(in, 0);
        return n < 0 ? r : n;
}

int varlink_stream_next(struct varlink_stream *stream, const char **ret_text, size_t *ret_length)
{
        struct varlink_bytes *in = &stream->in;
        const char *text, *end;
        size_t length;

        forget_taken(stream);
        length = bytes_length(in);
        if (length == 0)
                return 0;
        text = in->data + in->start;
        end = memchr(text + stream->n_searched, '\0', length - stream->n_searched);
        if (!end) {
                stream->n_searched = length;
                return length < VARLINK_MESSAGE_MAX ? 0 : -EMSGSIZE;
        }
        stream->n_searched = 0;
        stream->n_taken = (size_t)(end - text) + 1;
        *ret_text = text;
        *ret_length = stream->n_taken - 1;
        return 1;
}

bool varlink_stream_is_cut(const struct varlink_stream *stream)
{
        return bytes_length(&stream->in) > stream->n_taken;
}

int varlink_stream_reserve(struct varlink_stream *stream, size_t length, char **ret_room)
{
        int r;

        if (length > VARLINK_MESSAGE_MAX)
                return -EMSGSIZE;
        if (length > VARLINK_OUTPUT_MAX - bytes_length(&stream->out))
                return -ENOBUFS;
        r = bytes_reserve(&stream->out, length);
        if (r < 0)
                return r;
        *ret_room = stream->out.data + stream->out.end;
        return 0;
}

void varlink_stream_commit(struct varlink_stream *stream, size_t length)
{
        stream->out.end += length;
}

int varlink_stream_send(struct varlink_stream *stream)
{
        struct varlink_bytes *out = &stream->out;

        forget_taken(stream); /* so that who waits for the next call waits without memory */
        while (bytes_length(out) > 0) {
                ssize_t n = send(stream->fd, out->data + out->start, bytes_length(out),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                bytes_take(out, (size_t)n);
        }
        return 0;
}

size_t varlink_stream_pending(const struct varlink_stream *stream)
{
        return bytes_length(&stream->out);
}
