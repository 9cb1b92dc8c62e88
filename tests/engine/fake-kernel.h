/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kernel of a few threads, for tests of what touches affinity: any operation can be made to fail,
 * and before any of them the world can change, as it does between two system calls. Its clock
 * stands still unless told otherwise.
 */

#include "kernel/kernel.h"

enum fake_op {
        FAKE_OPEN_THREAD,
        FAKE_READ_COUNTERS,
        FAKE_READ_COUNTERS_ONCE,
        FAKE_READ_THREAD,
        FAKE_GET_AFFINITY,
        FAKE_SET_AFFINITY,
        FAKE_READ_ALLOWED,
        FAKE_READ_CPUSET,
        _FAKE_OP_MAX,
};

struct fake_thread {
        pid_t tgid, tid;
        struct kernel_thread stat;
        struct cpuset allowed; /* its mask */
        nsec_t run_nsec;       /* its CPU time; grows by a second each time that it is read */
        bool starves;          /* it does not grow */
        unsigned n_sets;       /* how often its mask was set */
        bool whole_was_asked;  /* the last set was all ones */
        bool gone;
};

struct fake_kernel;
typedef void (*fake_hook)(struct fake_kernel *fake, void *userdata);

/* Returns NULL without memory. CPUs 0 to N_CPUS - 1 are online and in every thread's cpuset. */
struct fake_kernel *fake_kernel_new(unsigned n_cpus);
struct kernel *fake_kernel_door(struct fake_kernel *fake);

/* A thread in state R on CPU 0 whose mask is the list MASK, born at tick START_TICKS. */
struct fake_thread *fake_thread_add(struct fake_kernel *fake, pid_t tgid, pid_t tid,
                                    uint64_t start_ticks, const char *mask);
/* The thread that has the TID now, or NULL. */
struct fake_thread *fake_thread_find(struct fake_kernel *fake, pid_t tid);
void fake_thread_set_mask(struct fake_thread *thread, const char *list);

void fake_set_now(struct fake_kernel *fake, nsec_t now);
void fake_set_cpuset(struct fake_kernel *fake, const char *list);
/* From now on cpusets bound threads as before, but are not told. */
void fake_hide_cpusets(struct fake_kernel *fake);

/* The NTH call (1 the first) of OP from now on: fails with ERROR, or has HOOK called before it. */
void fake_fail(struct fake_kernel *fake, enum fake_op op, unsigned nth, int error);
void fake_before(struct fake_kernel *fake, enum fake_op op, unsigned nth, fake_hook hook,
                 void *userdata);

/* Calls that set this thread's mask do not come back until fake_unblock(). */
void fake_block(struct fake_kernel *fake, const struct fake_thread *thread);
bool fake_is_blocking(struct fake_kernel *fake); /* such a call is waiting */
void fake_unblock(struct fake_kernel *fake);

unsigned fake_n_handles(const struct fake_kernel *fake); /* open ones */
