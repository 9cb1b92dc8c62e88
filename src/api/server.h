/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The Varlink server: takes connections and lets each, in turn, have one message answered or one
 * slice of a long answer made, so that nobody waits for anybody else's. Its event sources come
 * after all others of the loop: balancing comes first.
 *
 * What the server is asked for it asks the balancer and its host, the program; it does not know how
 * the program was configured, nor what a log is.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "api/calendar.h"
#include "api/limits.h"
#include "api/monitor.h"
#include "engine/balancer.h"
#include "model/notice.h"

/* What is wrong with the configuration, as the error InvalidConfiguration tells it. */
struct api_fault {
        char *file;
        unsigned line, column; /* 0: not known */
        char *pointer;         /* NULL: none */
        char *expected;
};

void api_fault_done(struct api_fault *fault);

/* What the server asks of the program. */
struct api_host {
        struct balancer *balancer;
        /* Reads the configuration again. Returns 0; -EBADMSG and what is wrong with it, which is
         * the caller's then; -EOPNOTSUPP where there is no configuration; or another error. */
        int (*reload)(struct api_fault *ret_fault, void *userdata);
        /* The files of the configuration in effect, in order, with NULL behind the last. */
        const char *const *(*configuration)(void *userdata);
        /* Told of clients that were dropped; may be NULL. */
        void (*on_notice)(const struct notice *notice, void *userdata);
        void *userdata;
};

/* What may be chosen, and chosen anew while the server runs. */
struct api_settings {
        bool observe_all;              /* every user sees every thread */
        unsigned connections_per_user; /* unprivileged ones */
        gid_t group;                   /* its members are privileged; GID_NONE: root alone */
};

/* Of its event sources: those of the program and the balancer have 0, the loop's own default. */
#define SERVER_PRIORITY 100
/* What the event loop does for each event, beside what is measured. */
#define SERVER_EVENT_COST (4 * NSEC_PER_USEC)

struct connection;

struct server {
        sd_event *event;
        struct api_host host;
        struct api_settings settings;
        nsec_t started_at; /* CLOCK_BOOTTIME */
        struct calendar calendar;
        uint64_t clock_seen_in; /* the turn of the loop; 0: none */
        pid_t pid;              /* its own */

        int fd; /* listening */
        sd_event_source *accept;
        nsec_t accept_again_at; /* 0: it accepts, or tries to */
        nsec_t short_at;        /* the last time that nothing could be taken; 0: never */

        struct limits limits;
        struct connection *connections; /* list */
        struct connection *turns;       /* list: those whose turn comes, the next first */
        sd_event_source *turn;          /* is there while somebody's turn comes */
        sd_event_source *timer;         /* of deadlines, coarse; off where there is none */
        nsec_t timer_at;                /* NSEC_INFINITY: off */
        struct monitor monitor;

        /* Notices that may be given now, when that was counted, and how many were not given. */
        double notices_left;
        nsec_t notices_at;
        unsigned n_silenced;
};

/* Takes over FD, a listening socket that does not block. Returns 0 or a negative errno. */
int server_new(struct server **ret, sd_event *event, int fd, const struct api_host *host,
               const struct api_settings *settings);
void server_free(struct server *server);

static inline void server_freep(struct server **server)
{
        server_free(*server);
}

/* At the end of the loop, within it: gives those that wait for their turn all that they need to
 * have told what there is, for a tenth of a second at most. Who does not read misses it. */
void server_finish(struct server *server);

/* Takes all clients that wait at FD, another listening socket that does not block, and closes it.
 * Returns how many. */
unsigned server_drain(struct server *server, int fd);

/* Who sees what holds at once; the group and the number of connections for those to come. */
void server_configure(struct server *server, const struct api_settings *settings);

/* For src/api alone. */

/* The time that the loop has, CLOCK_MONOTONIC. */
nsec_t server_now(const struct server *server);
/* To be called before times are told: follows a clock that was set, once in a turn of the loop, so
 * that what is told in one goes by one clock. */
void server_look_at_clock(struct server *server);
/* CPU time that an event took whose work began at BEGAN, CLOCK_THREAD_CPUTIME_ID. */
nsec_t server_cost(nsec_t began);
/* Looks at all connections at AT, CLOCK_MONOTONIC, at the latest, or a little later. */
void server_wake_by(struct server *server, nsec_t at);
/* Whether CALLER may see the threads of user UID. */
bool server_shows(const struct server *server, const struct peer *caller, uid_t uid);
bool server_shows_all(const struct server *server, const struct peer *caller);
/* Gives the connection a turn behind those that wait for theirs, unless it has one already. */
void server_queue(struct server *server, struct connection *connection);
/* It is gone; there is room for another. */
void server_forget(struct server *server, struct connection *connection);
/* Tells that a client was dropped, unless too much was told already. REASON: a word or two. */
void server_tell_dropped(struct server *server, const struct peer *peer, const char *reason);
