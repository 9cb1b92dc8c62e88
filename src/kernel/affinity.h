/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* sched_getaffinity(2) and sched_setaffinity(2) for masks of any width: the C library's cpu_set_t
 * ends at CPU 1023. Thread-safe. */

#include <sys/types.h>

#include "base/cpuset.h"

/* The active CPUs of TID's mask. Returns 0, -ESRCH (also for 0, which is no thread here), or the
 * call's error. */
int affinity_get(pid_t tid, struct cpuset *ret);

/* Likewise. Members that this kernel cannot have are ignored. */
int affinity_set(pid_t tid, const struct cpuset *set);

/* Whether this process has the power to set the affinity of other users' threads, as it stands now.
 * Returns 0, -EPERM without CAP_SYS_NICE, or the error of capget(2). */
int affinity_probe(void);
