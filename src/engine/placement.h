/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Keeps one thread of balancerd's own on the CPUs where it wants to run, for as long as nobody else
 * has chosen others for it.
 *
 * Until Linux 6.1 any change of a cpuset above the thread has the kernel write all of the cpuset
 * over its mask. That is nobody's choice, and is narrowed again; any other mask that was not set
 * here is an administrator's, and stays. (One who sets all of the cpuset cannot be told from the
 * kernel.)
 */

#include "kernel/kernel.h"

struct placement {
        pid_t tid;
        struct cpuset wanted;
        struct cpuset set;   /* what was set last; empty: nothing yet */
        struct cpuset found; /* its mask after the last look */
        bool due;            /* `wanted` has changed since */
        bool foreign;        /* the mask is somebody else's choice */
};

/* Begins with a thread that runs anywhere: whatever its mask is, the first look takes it over. */
void placement_init(struct placement *placement, pid_t tid);
void placement_done(struct placement *placement);

/* Takes WANTED over. */
void placement_want(struct placement *placement, struct cpuset *wanted);

/* Looks at the thread's mask, by one system call if nothing has changed, and places it. Returns 1
 * if placement_cpus() may have changed, 0 if not, or -ENOMEM. What the kernel refuses is left as it
 * is: a cpuset may forbid all that is wanted. */
int placement_look(struct placement *placement, struct kernel *kernel);

/* Where the thread, and others beside it, are to run. */
const struct cpuset *placement_cpus(const struct placement *placement);
