/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How often a thread may be told of: QUOTA_BURST times at once, then once in QUOTA_INTERVAL. A
 * thread that is moved again and again would fill the journal. It keeps a bounded number of
 * threads, the one that was told of longest ago makes room; it must not know what is told.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/time.h"

#define QUOTA_BURST    32U
#define QUOTA_INTERVAL NSEC_PER_SEC
#define QUOTA_THREADS  1024U

struct quota_thread {
        pid_t tgid, tid;
        nsec_t used_at;
        nsec_t paid_until; /* what was told is paid for with an interval each */
        unsigned n_suppressed;
};

struct quota {
        unsigned n_threads;
        struct quota_thread threads[QUOTA_THREADS];
        /* Told of threads that are forgotten with something suppressed; may be NULL. */
        void (*on_forgotten)(const struct quota_thread *thread, void *userdata);
        void *userdata;
};

/* Whether the thread may be told of at NOW (any clock that does not go back). If so,
 * *ret_suppressed is how often it might not since it was told of last. */
bool quota_take(struct quota *quota, pid_t tgid, pid_t tid, nsec_t now, unsigned *ret_suppressed);

/* Forgets all threads. */
void quota_clear(struct quota *quota);
