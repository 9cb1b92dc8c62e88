/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kernel that does all that another one does, counts what it is asked for, and ends the process
 * by SIGKILL before or after a call of the caller's choice. It can hide where threads are, so that
 * the calls do not depend on what a real one happens to do.
 */

#include "kernel/kernel.h"

struct dying_kernel {
        struct kernel kernel;
        struct kernel *real;
        _Atomic unsigned n_calls;
        unsigned die_before, die_after; /* 1: the first call; 0: never */
        bool sets_only;                 /* only calls that set a mask count */
        bool restless;                  /* every thread seems to run, and on no CPU of any mask */
};

/* REAL must outlive it, and stays the caller's to free. */
void dying_kernel_init(struct dying_kernel *dying, struct kernel *real);
