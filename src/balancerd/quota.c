/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/quota.h"

#include "base/macro.h"

static void forget(struct quota *quota, struct quota_thread *thread)
{
        if (thread->n_suppressed > 0 && quota->on_forgotten)
                quota->on_forgotten(thread, quota->userdata);
        *thread = (struct quota_thread){0};
}

/* The thread's place, or one for it: a new one, or that which was used longest ago. A search from
 * one end to the other takes a microsecond, which a line of the log costs many times. */
static struct quota_thread *place_of(struct quota *quota, pid_t tgid, pid_t tid)
{
        struct quota_thread *place = &quota->threads[0];

        for (unsigned i = 0; i < quota->n_threads; i++) {
                struct quota_thread *thread = &quota->threads[i];

                if (thread->tid == tid && thread->tgid == tgid)
                        return thread;
                if (thread->used_at < place->used_at)
                        place = thread;
        }
        if (quota->n_threads < ARRAY_SIZE(quota->threads))
                place = &quota->threads[quota->n_threads++];
        forget(quota, place);
        place->tgid = tgid;
        place->tid = tid;
        return place;
}

bool quota_take(struct quota *quota, pid_t tgid, pid_t tid, nsec_t now, unsigned *ret_suppressed)
{
        struct quota_thread *thread = place_of(quota, tgid, tid);
        nsec_t paid_until = MAX(thread->paid_until, now);

        thread->used_at = now;
        if (paid_until - now > (QUOTA_BURST - 1) * QUOTA_INTERVAL) {
                thread->n_suppressed++;
                return false;
        }
        thread->paid_until = paid_until + QUOTA_INTERVAL;
        *ret_suppressed = thread->n_suppressed;
        thread->n_suppressed = 0;
        return true;
}

void quota_clear(struct quota *quota)
{
        for (unsigned i = 0; i < quota->n_threads; i++)
                forget(quota, &quota->threads[i]);
        quota->n_threads = 0;
}
