/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The threads that balancerd narrows now, or narrowed a moment ago, and the question that their
 * children raise: was this thread born narrow, and what should it have had? Bookkeeping only: no
 * lock, and no system call but those of give_back().
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "engine/ledger.h"
#include "kernel/kernel.h"

/*
 * A thread may still be born narrow after its parent has its mask back: fork(2) copies the mask
 * first, and reads the clock that becomes the child's start time when it has copied all else
 * (kernel/fork.c:copy_process); in between the parent may wait for a CPU as long as any thread. So
 * births are waited for until the parent is known to have left any fork(2) that it can have been
 * in: it sleeps, or is gone, or has had the CPU time that this takes: next to nothing for a thread
 * of its own process, enough to copy a gigabyte's page tables for a new process. Past the limit it
 * is given up. Waiting longer than need be would widen threads that narrowed themselves.
 */
#define NARROWING_THREAD_RUN_NSEC  (2 * NSEC_PER_MSEC)
#define NARROWING_PROCESS_RUN_NSEC (10 * NSEC_PER_MSEC)
#define NARROWING_BIRTH_LIMIT_NSEC (10 * NSEC_PER_SEC)

/* Until when (CLOCK_BOOTTIME) children can be born narrow of a thread that has its mask back; 0:
 * not known yet. Threads of its process are the first to end. */
struct births {
        nsec_t threads_end, processes_end;
};

struct narrowing {
        struct narrowing *next;    /* of the same bucket */
        struct narrowing *also;    /* for lists that its user makes */
        struct ledger_entry entry; /* owns its masks */
        int record;                /* in the ledger; -1: none */
        int handle;                /* kernel->ops->open_thread; -1: none */
        nsec_t settled_at;         /* CLOCK_BOOTTIME; NSEC_INFINITY while narrow */
        nsec_t run_nsec;           /* the thread's CPU time by then; NSEC_INFINITY: not known */
        nsec_t looked_at;          /* for births, the last time; 0: never */
        struct births births;
        bool busy; /* somebody works on it: nobody else may */
        bool owed; /* giving back failed: to be tried again */
};

#define NARROWINGS_N_BUCKETS 256U

/* All zeros is the empty table. Owns its narrowings, but not their handles and records. */
struct narrowings {
        struct narrowing *buckets[NARROWINGS_N_BUCKETS]; /* by TGID */
};

/* Returns NULL without memory. */
struct narrowing *narrowing_new(void);
void narrowing_free(struct narrowing *narrowing);

static inline void narrowing_freep(struct narrowing **narrowing)
{
        narrowing_free(*narrowing);
}

void narrowings_done(struct narrowings *table);
void narrowings_add(struct narrowings *table, struct narrowing *narrowing);    /* takes it over */
void narrowings_remove(struct narrowings *table, struct narrowing *narrowing); /* gives it back */

/* The thread's narrowing that has not been given back, or NULL. */
struct narrowing *narrowings_find(const struct narrowings *table, pid_t tgid, pid_t tid);

/* A narrowing that was settled and could become narrow again in place of FRESH, which is for the
 * same thread and the same masks; NULL if there is none. */
struct narrowing *narrowings_find_twin(const struct narrowings *table,
                                       const struct ledger_entry *fresh);

/* Whether any narrowing is of the process or its parent: a cheap look before the next question. */
bool narrowings_concern(const struct narrowings *table, pid_t tgid, pid_t ppid);

/*
 * The narrowing of which the thread, whose mask is MASK, was born: one of its process or of its
 * parent process PPID, to that very mask, under way at its birth. Of several the one with the
 * smallest original mask. NULL if there is none.
 *
 * It cannot be told from a thread that was born in that time and chose that very mask for itself.
 * The time begins with the tick (10 ms) in which the mask was narrowed, and ends with the tick in
 * which narrowing_look() sees its births end: at once for a parent that sleeps, after 2 ms (10 ms
 * for a new process) of the CPU time of one that runs, and at the limit for one that gets no CPU.
 * A child whose cpuset loses that CPU before the child is looked at is not found: it has all of the
 * cpuset then, as most threads do, born narrow or not.
 */
struct narrowing *narrowings_find_origin(const struct narrowings *table, pid_t tgid, pid_t tid,
                                         pid_t ppid, uint64_t start_ticks,
                                         const struct cpuset *mask);

/* The thread has its mask back since AT (CLOCK_BOOTTIME), and had RUN_NSEC of CPU time by then
 * (narrowing_read_run). No system call. */
void narrowing_settle(struct narrowing *narrowing, nsec_t at, nsec_t run_nsec);

/* The thread's CPU time, or NSEC_INFINITY where it cannot be read. */
nsec_t narrowing_read_run(const struct narrowing *narrowing, struct kernel *kernel);

/* Asks the kernel until when children of this (settled) one can be born narrow. */
struct births narrowing_look(const struct narrowing *narrowing, struct kernel *kernel);

/* Copies masks and time of narrowing, all that a child has of its parent's entry. Returns 0 or
 * -ENOMEM. */
int copy_origin(struct ledger_entry *entry, const struct ledger_entry *origin);

/* How give_back() ended, where it did not fail. */
enum giveback {
        GIVEBACK_DONE,
        GIVEBACK_GONE,    /* no such thread any more */
        GIVEBACK_FOREIGN, /* its mask is somebody else's, and stays */
};

/*
 * Gives the thread of ENTRY its original mask if it is the same thread (by HANDLE, or by its start
 * time where HANDLE is negative) and has the mask that was set, or all of its cpuset where that has
 * none of the CPUs set: the kernel does so, but so may an owner, who cannot be told from it. A mask
 * written by somebody else between that look and the system call, a microsecond, is lost: Linux has
 * no compare-and-set of affinity. ALL is every CPU that there can be (every_cpu). Returns an enum
 * giveback, or a negative errno, after which the mask is owed still; RET_FOUND, which the caller
 * owns, is the mask of GIVEBACK_FOREIGN.
 */
int give_back(struct kernel *kernel, const struct ledger_entry *entry, const struct cpuset *all,
              int handle, struct cpuset *ret_found);

/* All ones, wider than any kernel's mask. Returns 0 or -ENOMEM. */
int every_cpu(struct cpuset *ret);

/* AT, a time of kernel->ops->now, on CLOCK_BOOTTIME, on which thread start times are measured.
 * Never later than it was. */
nsec_t boottime_of(nsec_t at);
