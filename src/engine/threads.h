/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Every thread of the machine that balancerd knows of. Most sleep: those are cold, a small record
 * each, looked at in slices. Those that ran or waited lately are hot: a descriptor is kept on their
 * counters, they are sampled at every tick that asks for threads, and they are what a snapshot
 * holds.
 */

#include <stdbool.h>
#include <uthash.h>

#include "kernel/kernel.h"
#include "policy/demand.h"

struct hot;

struct thread {
        pid_t tgid, tid;
        uint64_t start_ticks;       /* 0: never looked at */
        nsec_t run_nsec, wait_nsec; /* its counters when they were read last */
        nsec_t read_at;             /* 0: never */
        struct hot *hot;            /* NULL while cold */
        struct thread *prev, *next; /* ring of cold threads */
        uint64_t listed;            /* number of the rescan that met it last */
        bool lost;                  /* used by uthash when memory is out */
        UT_hash_handle hh;          /* by TID */
};

/* What is known of a hot thread besides. CPUs are indexes. */
struct hot {
        struct thread *thread;
        struct hot *prev, *next;   /* by last activity, the latest first */
        int handle;                /* of kernel->ops->open_thread */
        struct kernel_thread stat; /* as last read; `cpu` is stale, the index below counts */
        nsec_t stat_at;
        nsec_t hot_at;    /* when it became hot: what it did just before is not known */
        nsec_t active_at; /* last seen to run or wait */
        struct demand demand;
        float run_now; /* shares of the last interval */
        float wait_now;
        float lag_sec;
        float weight;
        unsigned cpu;
        unsigned home_node;
        unsigned mask_class;
        bool denied;     /* it may not be moved: it is another user's, who is asked for only where
                            that matters */
        nsec_t owner_at; /* when that was asked; 0: never */
        nsec_t mask_at;  /* when the mask was read; 0: the class is not known */
        nsec_t cpu_since, llc_since, node_since;
        nsec_t moved_at, left_at, left_alone_until;
        nsec_t told_at; /* observing: when its move was told, and which it was */
        unsigned left_cpu, told_cpu;
        bool runnable; /* state R, or so busy in the last interval that it is taken for it */
        bool newborn;  /* not yet part of a snapshot */
        bool in_flight;
        bool moved_across_nodes;
};

struct thread_table {
        struct thread *by_tid; /* hash */
        struct thread *cold;   /* ring; the next to be looked at */
        struct hot *hot;       /* list */
        unsigned n_threads, n_hot;
        unsigned
                max_hot; /* hot ones at most: less than the limit after a shortage of descriptors */
        unsigned hot_limit; /* by choice */
};

void threads_init(struct thread_table *table, unsigned max_hot);
void threads_done(struct thread_table *table, struct kernel *kernel);

struct thread *threads_find(struct thread_table *table, pid_t tid);

/* Adds a cold thread; one of the same TID must not be there. Returns 0 or -ENOMEM. */
int threads_add(struct thread_table *table, pid_t tgid, pid_t tid, struct thread **ret);

void threads_remove(struct thread_table *table, struct kernel *kernel, struct thread *thread);

/*
 * Makes a cold thread hot: opens its counters. When the table is full, or the process is out of
 * descriptors, the thread that has been quiet longest becomes cold in its place. Returns 0, -ESRCH
 * (it is gone; the record stays), -ENOMEM, or another error of open_thread.
 */
int threads_heat(struct thread_table *table, struct kernel *kernel, struct thread *thread);
void threads_cool(struct thread_table *table, struct kernel *kernel, struct thread *thread);

/* The thread ran or waited: it goes to the front of the hot ones. */
void threads_touch(struct thread_table *table, struct hot *hot, nsec_t now);

/* A shortage of descriptors may be over: more hot threads are tried again, little by little. */
void threads_ease(struct thread_table *table);

/* The next cold thread in turn, or NULL if there is none. */
struct thread *threads_next_cold(struct thread_table *table);
