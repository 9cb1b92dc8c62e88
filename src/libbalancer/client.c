/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libbalancer/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "varlink/stream.h"

struct balancer_client {
        struct varlink_stream stream;
        nsec_t timeout;
        int error;                  /* what ended the conversation */
        const char *fault;          /* of -EBADMSG */
        bool has_reply;             /* one was taken from the stream, and nobody has it yet */
        struct varlink_reply reply; /* that one */
};

static nsec_t deadline_after(nsec_t timeout)
{
        nsec_t now = clock_now_nsec(CLOCK_MONOTONIC);

        return timeout < NSEC_INFINITY - now ? now + timeout : NSEC_INFINITY;
}

static struct timespec time_left(nsec_t deadline)
{
        nsec_t now = clock_now_nsec(CLOCK_MONOTONIC), left = deadline > now ? deadline - now : 0;

        return (struct timespec){(time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC)};
}

/* Waits for EVENTS or the end of the connection: 1, 0 at the deadline, or a negative errno. */
static int await(const struct balancer_client *client, short events, nsec_t deadline)
{
        struct pollfd peer = {.fd = client->stream.fd, .events = events};

        for (;;) {
                struct timespec left = time_left(deadline);
                int n = ppoll(&peer, 1, deadline == NSEC_INFINITY ? NULL : &left, NULL);

                if (n >= 0)
                        return n;
                if (errno != EINTR)
                        return -errno;
        }
}

/* connect(2) waits for room in the daemon's queue for as long as the socket may take to send. */
static int limit_connecting(int fd, nsec_t timeout)
{
        struct timeval limit = {0};

        if (timeout != NSEC_INFINITY) {
                nsec_t usec = MAX(timeout / NSEC_PER_USEC, (nsec_t)1); /* 0 would be no limit */

                limit.tv_sec = (time_t)(usec / 1000000);
                limit.tv_usec = (suseconds_t)(usec % 1000000);
        }
        return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ? -errno : 0;
}

static int connect_to(const char *path, nsec_t timeout)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t length = strlen(path);
        _cleanup_close_ int fd = -1;
        int r;

        if (length == 0)
                return -ENOENT;
        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = limit_connecting(fd, timeout);
        if (r < 0)
                return r;
        do
                r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : TAKE_FD(fd);
}

int balancer_client_open(struct balancer_client **ret, const char *path, nsec_t timeout)
{
        _cleanup_close_ int fd = -1;
        int r;

        fd = connect_to(path ? path : BALANCER_CLIENT_PATH, timeout);
        if (fd < 0)
                return fd;
        r = balancer_client_open_fd(ret, fd, timeout);
        if (r >= 0)
                (void)TAKE_FD(fd);
        return r;
}

int balancer_client_open_fd(struct balancer_client **ret, int fd, nsec_t timeout)
{
        struct balancer_client *client;

        client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        varlink_stream_init(&client->stream, fd);
        client->timeout = timeout;
        *ret = client;
        return 0;
}

void balancer_client_close(struct balancer_client *client)
{
        if (!client)
                return;
        if (client->has_reply)
                varlink_reply_done(&client->reply);
        varlink_stream_done(&client->stream);
        free(client);
}

int balancer_client_fd(const struct balancer_client *client)
{
        return client->stream.fd;
}

const char *balancer_client_fault(const struct balancer_client *client)
{
        return client->fault;
}

/* Remembers what ended the conversation, and returns it. */
static int fail(struct balancer_client *client, int error)
{
        client->error = error;
        return error;
}

static int flush(struct balancer_client *client)
{
        nsec_t deadline = deadline_after(client->timeout);

        for (;;) {
                int r = varlink_stream_send(&client->stream);

                if (r == -EPIPE || r == -ECONNRESET)
                        return 0;
                if (r < 0 || varlink_stream_pending(&client->stream) == 0)
                        return r;
                r = await(client, POLLOUT, deadline);
                if (r <= 0)
                        return r < 0 ? r : -ETIMEDOUT;
        }
}

int balancer_client_send(struct balancer_client *client, const char *method, json_t *parameters,
                         bool more)
{
        const struct varlink_call call = {.method = method, .parameters = parameters, .more = more};
        int r;

        if (client->error < 0)
                return client->error;
        r = varlink_call_put(&client->stream, &call);
        if (r >= 0)
                r = flush(client);
        return r < 0 ? fail(client, r) : 0;
}

/* Takes the next reply out of what was received: 1; 0 when there is none that is whole; or a
 * negative errno, which stays. */
static int take(struct balancer_client *client)
{
        const char *text;
        size_t length;
        int r;

        if (client->has_reply)
                return 1;
        if (client->error < 0)
                return client->error;
        r = varlink_stream_next(&client->stream, &text, &length);
        if (r == 0)
                return 0;
        if (r == -EMSGSIZE) {
                client->fault = "it is too long";
                return fail(client, -EBADMSG);
        }
        if (r > 0)
                r = varlink_reply_parse(text, length, &client->reply, &client->fault);
        if (r < 0)
                return fail(client, r);
        client->has_reply = true;
        return 1;
}

/* Receives what the daemon has sent; waits for it until the deadline. */
static int fill(struct balancer_client *client, nsec_t deadline)
{
        for (;;) {
                ssize_t n = varlink_stream_receive(&client->stream);
                int r;

                if (n > 0)
                        return 0;
                if (n == 0)
                        return fail(client, -ECONNRESET);
                if (n != -EAGAIN)
                        return fail(client, (int)n);
                r = await(client, POLLIN, deadline);
                if (r <= 0)
                        return r < 0 ? r : -ETIMEDOUT;
        }
}

int balancer_client_receive(struct balancer_client *client, struct varlink_reply *ret)
{
        nsec_t deadline = deadline_after(client->timeout);

        for (;;) {
                int r;

                r = take(client);
                if (r < 0)
                        return r;
                if (r > 0)
                        break;
                r = fill(client, deadline);
                if (r < 0)
                        return r;
        }
        client->has_reply = false;
        *ret = client->reply;
        client->reply = (struct varlink_reply){0};
        return 0;
}

int balancer_client_wait(struct balancer_client *client, nsec_t timeout)
{
        return take(client) != 0 ? 1 : await(client, POLLIN, deadline_after(timeout));
}

int balancer_client_call(struct balancer_client *client, const char *method, json_t *parameters,
                         struct varlink_reply *ret)
{
        struct varlink_reply reply;
        int r;

        r = balancer_client_send(client, method, parameters, false);
        if (r < 0)
                return r;
        r = balancer_client_receive(client, &reply);
        if (r < 0)
                return r;
        if (reply.continues) {
                varlink_reply_done(&reply);
                client->fault = "more follow, which nobody asked for";
                return fail(client, -EBADMSG);
        }
        *ret = reply;
        return 0;
}
