/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What others may ask the balancer: how it is, what it knows of CPUs and threads, and why a thread
 * is where it is. Moves nothing; CPUs are the kernel's numbers. What is told is as of the last
 * sample, so that asking costs none; but where a thread is, its state and its affinity are read,
 * and of a watched one taken note of, so that the verdict fits what is told beside it.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "engine/balancer.h"
#include "engine/pace.h"

/* What keeps a thread where it is; the interface's type Verdict says what each means. */
enum verdict {
        VERDICT_UNWATCHED,
        VERDICT_KERNEL_THREAD,
        VERDICT_DEADLINE,
        VERDICT_PINNED,
        VERDICT_REALTIME,
        VERDICT_SELF,
        VERDICT_DENIED,
        VERDICT_LEFT_ALONE,
        VERDICT_MOVING,
        VERDICT_ASLEEP,
        VERDICT_CONTENT,
        VERDICT_SETTLING,
        VERDICT_PATIENT,
        VERDICT_NOWHERE_BETTER,
        VERDICT_CANDIDATE,
        VERDICT_SWITCHED_OFF,
};

/* As the interface names it: "nowhereBetter". */
const char *verdict_to_string(enum verdict verdict);

struct balancer_state {
        struct balancer_counts counts;
        bool observing;
        enum pace_trouble trouble; /* that the last sample found */
        nsec_t interval;           /* between the last two samples; 0: there was one only */
        unsigned n_narrow;         /* masks that are narrow */
        unsigned n_kept; /* masks that are back, of whose threads children may be born narrow */
        struct cpuset online, unbalanced; /* owned by the state */
        bool missing[_KERNEL_SOURCE_MAX];
};

void balancer_state_done(struct balancer_state *state);
/* Returns 0 or -ENOMEM. */
int balancer_inspect(const struct balancer *balancer, struct balancer_state *ret);

struct cpu_view {
        unsigned cpu;
        unsigned core, llc, node; /* dense, from 0 */
        float capacity;
        bool balanced;
        float idle;
        /* Run delay a second: threads that wait for it. Where the kernel does not tell that of
         * CPUs, the watched threads are asked, which on a CPU that it balances are not all that
         * wait. */
        bool has_waiting;
        float waiting;
        unsigned n_threads; /* watched, and on it */
        float demand;       /* of those, in CPUs */
};

/* The CPU at place I of the topology's order; returns false past the last. */
bool balancer_inspect_cpu(const struct balancer *balancer, unsigned i, struct cpu_view *ret);

struct thread_view {
        pid_t tgid, tid;
        uint64_t start_ticks;        /* tells it from a later one of the same number */
        char comm[KERNEL_COMM_SIZE]; /* foreign bytes */
        uid_t uid;                   /* effective; read after all the rest */
        unsigned cpu;
        struct cpuset affinity; /* what its owner permits; owned by the view */
        char state;
        int prio; /* as the kernel counts */
        bool watched;
        float run, wait, demand; /* if watched */
        nsec_t moved_at;         /* by balancerd, turns included; 0: not since it is watched */
        enum verdict verdict;
};

void thread_view_done(struct thread_view *view);

/* The known TIDs greater than AFTER, in ascending order, at most N of them; the watched only unless
 * ALL, of the process TGID only unless that is 0. Returns how many: fewer than N, and there are no
 * more. One pass over all that are known. */
unsigned balancer_inspect_tids(const struct balancer *balancer, pid_t after, pid_t tgid, bool all,
                               pid_t *ret_tids, unsigned n);

/* All threads of one process, known or not, some at a time, as kernel.h has it: the balancer spares
 * itself those that do nothing. */
int balancer_walk_begin(struct balancer *balancer, pid_t tgid, struct kernel_walk *ret);
int balancer_walk_next(struct balancer *balancer, struct kernel_walk *walk, pid_t *ret_tids,
                       unsigned n);
void balancer_walk_end(struct balancer *balancer, struct kernel_walk *walk);

/* Returns 0; -ESRCH when there is no such thread (any more); -ENOMEM. Threads that the balancer has
 * not met yet are looked up in /proc. */
int balancer_inspect_thread(struct balancer *balancer, pid_t tid, struct thread_view *ret);

/* How long the thread of VIEW ran and waited since its birth. Returns 0 or a negative errno. */
int balancer_inspect_counters(struct balancer *balancer, const struct thread_view *view,
                              struct kernel_counters *ret);

/* The thread's process and owner alone (*ret_uid: effective user): what decides who may see it.
 * Returns 0 or -ESRCH. */
int balancer_inspect_owner(struct balancer *balancer, pid_t tid, pid_t *ret_tgid, uid_t *ret_uid);
