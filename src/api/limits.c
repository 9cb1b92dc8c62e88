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
        struct account own;
        struct limits *limits;
        bool lost; /* used by uthash when memory is out */
        UT_hash_handle hh;
};

/* What is spent as it is at NOW, after SHARE was earned since. */
static double spent_sec(const struct account *account, double share, nsec_t now)
{
        double earned = nsec_to_sec(now - MIN(now, account->at)) * share;

        return MAX(account->spent_sec - earned, 0.0);
}

static void spend(struct account *account, double share, nsec_t now, nsec_t cost)
{
        double spent = spent_sec(account, share, now) + nsec_to_sec(cost);

        *account = (struct account){MIN(spent, 2 * nsec_to_sec(LIMITS_SAVINGS)), now};
}

/* 0: there is no debt. */
static nsec_t paid_at(const struct account *account, double share, nsec_t now)
{
        double debt = spent_sec(account, share, now) - nsec_to_sec(LIMITS_SAVINGS);

        return debt > 0 ? now + (nsec_t)(debt / share * (double)NSEC_PER_SEC) + 1 : 0;
}

static void remove_user(struct limits *limits, struct user *user)
{
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a member has a neighbour or none */
        HASH_DEL(limits->users, user);
        limits->n_users--;
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
                if (user->n_connections == 0 && spent_sec(&user->own, LIMITS_SHARE, now) <= 0)
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
        user->limits = limits;
        HASH_ADD(hh, limits->users, uid, sizeof(user->uid), user);
        if (user->lost) {
                free(user);
                return NULL;
        }
        limits->n_users++;
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

void user_charge(struct user *user, nsec_t now, nsec_t cost)
{
        spend(&user->own, LIMITS_SHARE, now, cost);
        spend(&user->limits->all, LIMITS_ALL_SHARE, now, cost);
}

void limits_charge(struct limits *limits, const struct peer *peer, nsec_t now, nsec_t cost)
{
        struct user *user;

        if (peer->privileged)
                return;
        user = find_user(limits, peer->uid);
        if (user)
                user_charge(user, now, cost);
        else
                spend(&limits->all, LIMITS_ALL_SHARE, now, cost);
}

nsec_t user_paid_at(const struct user *user, nsec_t now)
{
        nsec_t all_paid_at = limits_paid_at(user->limits, now);

        return MAX(paid_at(&user->own, LIMITS_SHARE, now), all_paid_at);
}

nsec_t limits_paid_at(const struct limits *limits, nsec_t now)
{
        return paid_at(&limits->all, LIMITS_ALL_SHARE, now);
}
