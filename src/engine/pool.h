/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The mover's workers: threads of execution that carry out jobs which may get stuck in the kernel
 * and cannot be interrupted there. It must not know what a job does.
 *
 * Workers run under SCHED_FIFO priority 1 where that is permitted. So that a worker that never
 * blocks cannot take a CPU from the machine for good, the process gets RLIMIT_RTTIME: after one
 * second of it the kernel kills the process. The soft limit is set equal to the hard one, because
 * SIGXCPU, which a lower one would send, goes to the whole process and would end it all the same
 * but with a core dump. Waiting in a system call does not count: a stuck worker is not killed.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "kernel/kernel.h"

/* Jobs that are queued, under way, or done and not taken yet. */
#define POOL_JOBS_MAX 1024U
/* Workers beyond the usual ones, while one is stuck; and how long a job may take before it is. */
#define POOL_EXTRA_WORKERS 3U
#define POOL_STUCK_NSEC    (20 * NSEC_PER_MSEC)

/* The first member of what is to be done; owned by the pool from pool_add() to pool_take(). */
struct pool_job {
        struct pool_job *next;
        pid_t tid;      /* jobs of one thread are never under way at once, and keep their order */
        int avoid_cpu;  /* the worker keeps off this CPU; -1: none */
        nsec_t took_up; /* when a worker began, on the kernel's clock */
};

struct pool_options {
        unsigned n_workers;        /* 0: jobs are done inside pool_add() */
        const struct cpuset *cpus; /* where workers run by choice (copied); empty: anywhere */
        void (*run)(struct pool_job *job, void *userdata); /* [any thread] */
        void (*free_job)(struct pool_job *job);            /* one that nobody takes */
        void *userdata;
};

struct pool;

/* Returns 0 or a negative errno. */
int pool_new(struct pool **ret, struct kernel *kernel, const struct pool_options *options,
             bool *ret_realtime);

/* pool_stop() must have returned 0. */
void pool_free(struct pool *pool);

static inline void pool_freep(struct pool **pool)
{
        pool_free(*pool);
}

/* Where workers run by choice from now on, or after the job that is under way (copied); empty:
 * anywhere. Returns 0 or -ENOMEM. */
int pool_set_cpus(struct pool *pool, const struct cpuset *cpus);

/* Takes no more work, drops what is queued, waits for what is under way, a second at
 * most. Returns 0, or -EBUSY if a worker is still stuck: then the pool, the kernel and what the
 * jobs use must be left alone until the process ends. */
int pool_stop(struct pool *pool);

/* How many jobs pool_add() takes before it says -EBUSY. Other threads of execution only ever move
 * jobs on: it does not shrink but by pool_add(). */
unsigned pool_room(struct pool *pool);
/* Returns 0, or -EBUSY when there are POOL_JOBS_MAX jobs. */
int pool_add(struct pool *pool, struct pool_job *job);
/* The oldest job that is done, or NULL. To be called every tick or so: a further worker is started
 * here and in pool_add(). */
struct pool_job *pool_take(struct pool *pool);
int pool_fd(const struct pool *pool); /* readable while a job is done and not taken */

unsigned pool_pending(struct pool *pool); /* queued or under way */
nsec_t pool_stuck_since(struct pool *pool);
