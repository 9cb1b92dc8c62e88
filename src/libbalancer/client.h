/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A connection to balancerd: calls, and replies one after the other. Blocking, with a time limit;
 * one thread at a time. Knows the wire and nothing of what the daemon does. Once something has
 * failed here the connection is of no more use, unless it was receiving that timed out.
 */

#include <jansson.h>
#include <stdbool.h>

#include "base/time.h"
#include "varlink/message.h"

/* Where the system's daemon listens. */
#define BALANCER_CLIENT_PATH PACKAGE_LOCALSTATE_RUN "/io.balancerd"
/* In front of the names of its methods and errors. */
#define BALANCER_CLIENT_INTERFACE "io.balancerd."

struct balancer_client;

/* PATH: of the socket; NULL: the system's. TIMEOUT: how long connecting, sending a call, and each
 * reply may take; NSEC_INFINITY: as long as it takes. Returns 0, -ENOENT or -ECONNREFUSED when no
 * daemon is there, -EACCES, -ENAMETOOLONG, -EAGAIN when it has taken no connection within TIMEOUT,
 * ... */
int balancer_client_open(struct balancer_client **ret, const char *path, nsec_t timeout);
/* The same for FD, a connected stream socket, which is the client's on success. Returns 0 or
 * -ENOMEM. */
int balancer_client_open_fd(struct balancer_client **ret, int fd, nsec_t timeout);
void balancer_client_close(struct balancer_client *client);

static inline void balancer_client_closep(struct balancer_client **client)
{
        balancer_client_close(*client);
}

/* The socket, for poll(2) beside others. Data may have been received already: see
 * balancer_client_receive(). */
int balancer_client_fd(const struct balancer_client *client);

/* Sends a call; PARAMETERS stay the caller's and may be NULL. MORE: several replies are wanted.
 * Returns 0, -ETIMEDOUT or another negative errno. That the daemon has closed the connection is no
 * error here: balancer_client_receive() gives what it has said before, and then says so. */
int balancer_client_send(struct balancer_client *client, const char *method, json_t *parameters,
                         bool more);

/* Waits for the next reply: 0, -ETIMEDOUT, -ECONNRESET when the daemon has closed the connection,
 * -EBADMSG when it sends what is no reply (balancer_client_fault() says what is wrong with it), or
 * another negative errno. A refusal is a reply, with its error set. RET needs
 * varlink_reply_done(). */
int balancer_client_receive(struct balancer_client *client, struct varlink_reply *ret);

/* What is wrong with what the daemon has sent, such as "it is too long" (static text). NULL:
 * nothing so far. */
const char *balancer_client_fault(const struct balancer_client *client);

/* As poll(2) would have it: 1 when balancer_client_receive() has something to give, if only an
 * error, or a part of a reply is there; 0 when there is nothing within TIMEOUT; or a negative
 * errno. */
int balancer_client_wait(struct balancer_client *client, nsec_t timeout);

/* Sends a call and receives its one reply; a reply that announces others is none (-EBADMSG). */
int balancer_client_call(struct balancer_client *client, const char *method, json_t *parameters,
                         struct varlink_reply *ret);
