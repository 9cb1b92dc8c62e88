/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Moving: carries out moves by rewriting affinity, and gives the masks back. The work is done by a
 * small pool of threads under SCHED_FIFO (where permitted), off the event loop: moving a running
 * thread waits for the kernel's stopper thread, which on PREEMPT_RT has no bound.
 *
 * A nudge sets the target, then restores the mask at once. A hold keeps the mask narrow until
 * mover_release(). Every step stands in the ledger first.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "engine/ledger.h"
#include "kernel/kernel.h"

enum mover_kind {
        MOVER_NUDGE,
        MOVER_HOLD,
        MOVER_RELEASE, /* ends a hold */
};

/* How a request ended. */
enum mover_result {
        MOVER_MOVED,    /* it runs, or is queued, on the target (a hold: its mask is set) */
        MOVER_ASLEEP,   /* a nudge of a thread that slept, or that did not come to the target: it
                           stays where it was; mask untouched or back */
        MOVER_GONE,     /* no such thread any more, or its TID belongs to another */
        MOVER_FOREIGN,  /* somebody else set the mask: theirs stays; `mask` is what was found */
        MOVER_DENIED,   /* EPERM. EACCES: its cpuset cannot be seen */
        MOVER_INVALID,  /* EINVAL: the target is not in the thread's mask or cpuset, or nothing may
                           touch it (a kernel thread, a single-CPU mask). EBUSY: it is under
                           SCHED_DEADLINE, or held already. ENOENT: a release of what is not held */
        MOVER_NO_ROOM,  /* the ledger is full: nothing was touched */
        MOVER_FAILED,   /* any other error, in `error` */
        MOVER_RELEASED, /* a hold was given back */
};

/* "moved", "asleep", ... */
const char *mover_result_to_string(enum mover_result result);

struct mover_request {
        enum mover_kind kind;
        pid_t tgid, tid;
        uint64_t start_ticks;
        unsigned from, to;      /* CPU numbers */
        struct cpuset expected; /* the mask that was last seen (get_affinity); the request owns it;
                                   not needed for a release */
        uint64_t cookie;        /* the caller's, handed back in the report */
};

struct mover_report {
        struct mover_request request; /* `expected` is empty here */
        enum mover_result result;
        int error;         /* negative errno of MOVER_DENIED, _INVALID, _FAILED; otherwise 0 */
        nsec_t started_at; /* the kernel's clock (CLOCK_MONOTONIC) */
        nsec_t took;
        struct cpuset mask; /* of MOVER_FOREIGN; the report owns it */
};

void mover_request_done(struct mover_request *request);
void mover_report_done(struct mover_report *report);

struct mover;

struct mover_options {
        unsigned n_workers; /* 0: requests are carried out inside mover_submit() (simulations);
                               1 is usual, up to three more start while one is stuck */
        struct cpuset cpus; /* where the workers may run, as far as that is not the target CPU
                               (not owned); empty: anywhere */
};

/*
 * RET's mover uses KERNEL and LEDGER, which must outlive it. Returns 0 or a negative errno;
 * *ret_realtime says whether the workers run under SCHED_FIFO. Sets RLIMIT_RTTIME of the process
 * where there are workers (pool.h).
 */
int mover_new(struct mover **ret, struct kernel *kernel, struct ledger *ledger,
              const struct mover_options *options, bool *ret_realtime);

/* Finishes what is under way (for a second at most), drops what is queued, ends the workers.
 * Returns 0: all reports that will ever come are there; or -EBUSY if a worker is stuck in the
 * kernel: those of the others are. Each call waits anew. */
int mover_stop(struct mover *mover);

/*
 * Releases every hold; stops the mover first if mover_stop() was not called. Reports that nobody
 * took are dropped. Records of nudges whose births have not been checked stay in the ledger, and so
 * does what could not be given back: a ledger_restore() afterwards sees to both. Returns what the
 * last mover_stop() did: after -EBUSY the record of the stuck worker's thread stays, and MOVER,
 * KERNEL and LEDGER must be left as they are until the process ends.
 */
int mover_free(struct mover *mover);

/* Where the workers may run from now on, as options.cpus. Returns 0 or -ENOMEM. */
int mover_set_cpus(struct mover *mover, const struct cpuset *cpus);

/* Queues a request; its `expected` is taken over. Returns 0, or -EBUSY when too much is queued
 * already, or -ENOMEM (nothing is taken over then). */
int mover_submit(struct mover *mover, struct mover_request *request);

/* How many requests mover_submit() takes before it says -EBUSY. */
unsigned mover_room(const struct mover *mover);

/* Readable while a report is there. */
int mover_fd(const struct mover *mover);
/* 1 and a report, which the caller owns, or 0 when there is none. To be called every tick while
 * requests are pending, readable or not: here a further worker is started when all are stuck. */
int mover_next_report(struct mover *mover, struct mover_report *ret);

/* Requests queued or under way; since when the oldest that is under way has been (0: none is). */
unsigned mover_pending(const struct mover *mover);
nsec_t mover_stuck_since(const struct mover *mover);

/*
 * Children. A thread that was forked out of a narrowed one is born narrow. The engine tells the
 * mover of every thread that it meets for the first time; if it was born while a nudge of its
 * process or parent was under way, or of a held thread, and still has that very mask, it gets the
 * original. Returns 1 if it was widened, 0 if there was nothing to do, or a negative errno.
 */
int mover_check_birth(struct mover *mover, pid_t tgid, pid_t tid, pid_t ppid, uint64_t start_ticks);

/* All threads born before AT (the kernel's clock) are known to the mover: records of nudges of
 * which no more can be born are done with. What could not be given back is tried again. To be
 * called every tick while ledger_count() is not 0. */
void mover_births_checked(struct mover *mover, nsec_t at);
