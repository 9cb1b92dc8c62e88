/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A connection to balancerd: calls, and replies one after the other. Blocking, with a time limit;
 * one thread at a time. Knows the wire and nothing of what the daemon does.
 */

#include <jansson.h>
#include <stdbool.h>

#include "base/time.h"
#include "varlink/message.h"

struct balancer_client;

/* PATH: of the socket; NULL: the system's. TIMEOUT: how long connecting, and each reply, may take;
 * NSEC_INFINITY: as long as it takes. Returns 0, -ENOENT or -ECONNREFUSED when no daemon is there,
 * -EACCES, -ENAMETOOLONG, -EAGAIN when it takes no more connections, -ETIMEDOUT, ... */
int balancer_client_open(struct balancer_client **ret, const char *path, nsec_t timeout);
void balancer_client_close(struct balancer_client *client);

static inline void balancer_client_closep(struct balancer_client **client)
{
        balancer_client_close(*client);
}

/* The socket, for poll(2) beside others. Data may have been received already: see
 * balancer_client_receive(). */
int balancer_client_fd(const struct balancer_client *client);

/* Sends a call; PARAMETERS stay the caller's and may be NULL. MORE: several replies are wanted.
 * Returns 0 or a negative errno. */
int balancer_client_send(struct balancer_client *client, const char *method, json_t *parameters,
                         bool more);

/* Waits for the next reply: 0, -ETIMEDOUT, -ECONNRESET when the daemon has closed the connection,
 * -EBADMSG when it sends what is no reply, or another negative errno. A refusal is a reply, with
 * its error set. RET needs varlink_reply_done(). */
int balancer_client_receive(struct balancer_client *client, struct varlink_reply *ret);

/* As poll(2) would have it: 1 a reply is there already or can be read of, 0 not within TIMEOUT. */
int balancer_client_wait(struct balancer_client *client, nsec_t timeout);

/* Both for a call with one reply. */
int balancer_client_call(struct balancer_client *client, const char *method, json_t *parameters,
                         struct varlink_reply *ret);
