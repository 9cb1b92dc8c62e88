/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a user may have of the server: so many connections, and a share of one CPU's time. Who has
 * used up the latter is not refused, but waits. Knows no sockets.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "api/peer.h"
#include "base/time.h"

/* Connections of all users together, and how many of them are kept for privileged callers. */
#define LIMITS_CONNECTIONS 1024U
#define LIMITS_KEPT        64U

/* Unprivileged users: CPU time that may be saved up, and what is added in a second. */
#define LIMITS_SAVINGS (100 * NSEC_PER_MSEC)
#define LIMITS_SHARE   0.05

struct user;

struct limits {
        struct user *users; /* hash, by uid; those with connections, and those who have not saved up
                               everything again */
        unsigned n_connections;
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

/* Those that are kept account of. */
unsigned limits_n_users(const struct limits *limits);

/* COST of CPU time was spent for the user. The debt grows no larger than the savings may: who has
 * flooded is not locked out for long. */
void user_charge(struct user *user, nsec_t now, nsec_t cost);
/* When the user is out of debt: 0 where there is none. */
nsec_t user_paid_at(const struct user *user, nsec_t now);
