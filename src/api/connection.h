/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One client: its messages in, one at a time, and the replies out. Knows the rules of the protocol
 * and of patience, and no method.
 */

#include "api/server.h"
#include "varlink/message.h"

/* A first call must be there whole so long after connecting; the next one after the last. */
#define FIRST_CALL_WITHIN (10 * NSEC_PER_SEC)
#define NEXT_CALL_WITHIN  (300 * NSEC_PER_SEC)
/* What waits to be sent must be taken, all of it, within this time. */
#define TAKE_WITHIN (10 * NSEC_PER_SEC)

enum progress {
        PROGRESS_END,  /* the call is answered */
        PROGRESS_MORE, /* more replies can be had at once */
        PROGRESS_WAIT, /* more will come: the producer calls connection_wake() then */
};

/* Makes the replies of a call that has many. Embedded in what it needs for that. */
struct producer {
        /* Puts some replies, until connection_is_full() at most. Returns an enum
         * progress, or a negative errno that ends the connection. */
        int (*produce)(struct producer *producer, struct connection *connection);
        void (*free)(struct producer *producer);
};

struct connection {
        struct server *server;
        struct connection *prev, *next;           /* of all */
        struct connection *turn_prev, *turn_next; /* of those whose turn comes */
        struct varlink_stream stream;
        sd_event_source *source;
        uint32_t events; /* that are listened for */
        struct user *user;
        struct peer peer;
        struct producer *producer; /* of the call that is being answered; NULL: none */
        const char *dropped_for;   /* why it ends, if that is to be told; static text */
        nsec_t since;              /* when it connected, or its last call was answered */
        nsec_t stalled_at;         /* since when something waits to be sent; 0: nothing does */
        bool has_turn;
        bool called;         /* a call came whole */
        bool input_ended;    /* the client sends no more */
        bool mute;           /* the call that is being answered wants no reply */
        bool closing;        /* nothing more is answered: what waits is sent, then it is closed */
        bool unwanted_input; /* came while it is listened for */
        bool hung_up;        /* nobody is at the other end any more */
        bool owing;          /* waits for its user's debt to be paid */
        bool behind;         /* has waited so, and not been read from since */
};

/* Takes over FD and USER, with success only; then the user was charged what was done since BEGAN
 * (server_cost()), and waits if he is in debt. Returns 0 or a negative errno. */
int connection_new(struct server *server, int fd, const struct peer *peer, struct user *user,
                   nsec_t began);
void connection_free(struct connection *connection);

/* Its turn: one message, or one slice of an answer. It may be gone afterwards. */
void connection_take_turn(struct connection *connection);
/* Its producer has something to do. */
void connection_wake(struct connection *connection);
/* Ends what has waited too long, goes on with what has waited long enough. Returns when to look
 * again; NSEC_INFINITY: need not be. It may be gone afterwards. */
nsec_t connection_look(struct connection *connection, nsec_t now);

/* Put a reply behind what is to be sent; PARAMETERS' reference is taken (NULL: there was no memory
 * for them). They put nothing where the call wants no reply. Return 0 or a negative errno, which
 * ends the connection. */
int connection_reply(struct connection *connection, json_t *parameters, bool continues);
int connection_refuse(struct connection *connection, const char *error, json_t *parameters);
/* Whether so much waits to be sent that one more of the longest replies might not fit: a producer
 * goes on in its next turn. */
bool connection_is_full(const struct connection *connection);
/* What came is no call: says so, and closes. */
int connection_reject(struct connection *connection, const char *fault);
