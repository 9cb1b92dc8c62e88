/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a user may have of the server: so many connections, and a share of one CPU's time. Who has
 * used up the latter is not refused, but waits. All unprivileged users together have a share, too:
 * it holds back who owns many user ids, and what is spent before anybody can be made to wait, on
 * taking connections. Knows no sockets.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "api/peer.h"
#include "base/time.h"

/* Connections of all users together, and how many of them are kept for privileged callers. */
#define LIMITS_CONNECTIONS 1024U
#define LIMITS_KEPT        64U

/* CPU time that may be saved up, and what is added in a second: for one unprivileged user, and for
 * all of them. */
#define LIMITS_SAVINGS   (100 * NSEC_PER_MSEC)
#define LIMITS_SHARE     0.05
#define LIMITS_ALL_SHARE 0.1

/* One that is all zero has saved up everything. */
struct account {
        double spent_sec; /* and not earned again, at that time; more than the savings: a debt */
        nsec_t at;
};

struct user;

struct limits {
        struct user *users; /* hash, by uid; those with connections, and those who have not saved up
                               everything again */
        unsigned n_users;
        unsigned n_connections;
        struct account all; /* of unprivileged users */
};

void limits_done(struct limits *limits);

enum admission {
        ADMISSION_GRANTED,
        ADMISSION_USER, /* the user has all that a user may have */
        ADMISSION_ALL,  /* all that there may be are there */
};

/*
 * A connection more for PEER; privileged callers have no limit of their own. Returns an enum
 * admission or -ENOMEM. RET_USER is to be given back with limits_release(), RET_LIMIT is the number
 * that was reached where it was not granted.
 */
int limits_admit(struct limits *limits, const struct peer *peer, unsigned per_user, nsec_t now,
                 struct user **ret_user, unsigned *ret_limit);
void limits_release(struct limits *limits, struct user *user);

/* COST of CPU time was spent for the user, who is not privileged. The debt grows no larger than the
 * savings may: who has flooded is not locked out for long. */
void user_charge(struct user *user, nsec_t now, nsec_t cost);
/* The same for whoever PEER is: one that was refused, or has gone. Privileged ones owe nothing. */
void limits_charge(struct limits *limits, const struct peer *peer, nsec_t now, nsec_t cost);

/* When the user, and all users together, are out of debt; only the latter. 0: there is no debt. */
nsec_t user_paid_at(const struct user *user, nsec_t now);
nsec_t limits_paid_at(const struct limits *limits, nsec_t now);
