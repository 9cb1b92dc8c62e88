/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define HASH_NONFATAL_OOM         1
#define uthash_nonfatal_oom(user) ((user)->lost = true)
#include <stdbool.h>
#include <uthash.h>

#include "api/limits.h"

#include <errno.h>

#include "base/macro.h"

struct user {
        uid_t uid;
        unsigned n_connections;
        double credit_sec; /* CPU time that may be spent; negative: to be waited for */
        nsec_t credited_at;
        bool lost; /* used by uthash when memory is out */
        UT_hash_handle hh;
};

/* The credit as it is at NOW. */
static double credit_sec(const struct user *user, nsec_t now)
{
        double earned = nsec_to_sec(now - MIN(now, user->credited_at)) * LIMITS_SHARE;

        return MIN(user->credit_sec + earned, nsec_to_sec(LIMITS_SAVINGS));
}

static void remove_user(struct limits *limits, struct user *user)
{
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a member has a neighbour or none */
        HASH_DEL(limits->users, user);
        free(user);
}

void limits_done(struct limits *limits)
{
        struct user *user, *next;

        HASH_ITER (hh, limits->users, user, next)
                remove_user(limits, user);
}

/* Those without a connection are kept only as long as they have something to wait for: who comes
 * back at once must not find a new account. */
static void forget_idle(struct limits *limits, nsec_t now)
{
        struct user *user, *next;

        HASH_ITER (hh, limits->users, user, next)
                if (user->n_connections == 0 &&
                    credit_sec(user, now) >= nsec_to_sec(LIMITS_SAVINGS))
                        remove_user(limits, user);
}

static struct user *find_user(struct limits *limits, uid_t uid)
{
        struct user *user;

        HASH_FIND(hh, limits->users, &uid, sizeof(uid), user);
        return user;
}

static struct user *add_user(struct limits *limits, uid_t uid, nsec_t now)
{
        struct user *user;

        forget_idle(limits, now);
        user = calloc(1, sizeof(*user));
        if (!user)
                return NULL;
        user->uid = uid;
        user->credit_sec = nsec_to_sec(LIMITS_SAVINGS);
        user->credited_at = now;
        HASH_ADD(hh, limits->users, uid, sizeof(user->uid), user);
        if (user->lost) {
                free(user);
                return NULL;
        }
        return user;
}

int limits_admit(struct limits *limits, const struct peer *peer, unsigned per_user, nsec_t now,
                 struct user **ret_user, unsigned *ret_limit)
{
        unsigned most = LIMITS_CONNECTIONS - (peer->privileged ? 0 : LIMITS_KEPT);
        struct user *user = find_user(limits, peer->uid);

        if (!peer->privileged && user && user->n_connections >= per_user) {
                *ret_limit = per_user;
                return ADMISSION_USER;
        }
        if (limits->n_connections >= most) {
                *ret_limit = most;
                return ADMISSION_ALL;
        }
        if (!user)
                user = add_user(limits, peer->uid, now);
        if (!user)
                return -ENOMEM;
        user->n_connections++;
        limits->n_connections++;
        *ret_user = user;
        return ADMISSION_GRANTED;
}

void limits_release(struct limits *limits, struct user *user)
{
        user->n_connections--;
        limits->n_connections--;
}

unsigned limits_n_users(const struct limits *limits)
{
        return HASH_COUNT(limits->users);
}

void user_charge(struct user *user, nsec_t now, nsec_t cost)
{
        double credit = credit_sec(user, now) - nsec_to_sec(cost);

        user->credit_sec = MAX(credit, -nsec_to_sec(LIMITS_SAVINGS));
        user->credited_at = now;
}

nsec_t user_paid_at(const struct user *user, nsec_t now)
{
        double credit = credit_sec(user, now);

        return credit < 0 ? now + (nsec_t)(-credit / LIMITS_SHARE * (double)NSEC_PER_SEC) + 1 : 0;
}
