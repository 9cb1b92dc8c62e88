/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Talking to the daemon on a user's behalf: whatever goes wrong is told on standard error in plain
 * words, once, so that callers only return it. What comes is made printable, unless it is
 * passed on as JSON.
 */

#include <jansson.h>

#include "balancectl/request.h"
#include "libbalancer/client.h"

struct session {
        struct balancer_client *client;
        const char *path;
        nsec_t timeout;
        int id;   /* of the thread or process that is asked for; 0: none */
        bool raw; /* replies are passed on as JSON */
};

int session_open(struct session *session, const struct request *request);
void session_done(struct session *session);
#define _cleanup_session_ _cleanup_(session_done)

/* A call of METHOD ("GetStatus") with one reply. PARAMETERS may be NULL; they are taken over,
 * whatever happens. */
int session_call(struct session *session, const char *method, json_t *parameters,
                 struct varlink_reply *ret);

/* All of a command that asks METHOD once: the answer is printed as JSON, or by PRINT, which returns
 * 0 or an error that it has told. */
int session_query(const struct request *request, const char *method,
                  int (*print)(const struct request *request, const json_t *answer));

/* The two halves. session_receive() returns SESSION_REFUSED, and RET, when the daemon says no: the
 * caller tells it by session_refuse(), or knows better. */
#define SESSION_REFUSED 1
int session_send(struct session *session, const char *method, json_t *parameters, bool more);
int session_receive(struct session *session, struct varlink_reply *ret);

/* Asks whether the user sees everybody's threads; false where that cannot be told. */
bool session_sees_all(struct session *session);

/* Tells why the daemon said no, and returns -EREMOTEIO. */
int session_refuse(struct session *session, const struct varlink_reply *reply);

/* A call of METHOD with many replies: what KEY holds in each becomes an element of RET; replies
 * without it are passed over. That nothing was decided is an empty list, and that there is no such
 * thread too, unless PARAMETERS ask for a certain one. */
int session_list(struct session *session, const char *method, json_t *parameters, const char *key,
                 json_t **ret);

/* All of a command that asks for one such list: as session_query(). That PARAMETERS are NULL is
 * told as a lack of memory; PRINT may go on asking. */
int session_query_list(const struct request *request, const char *method, json_t *parameters,
                       const char *key,
                       int (*print)(const struct request *request, struct session *session,
                                    const json_t *list));
