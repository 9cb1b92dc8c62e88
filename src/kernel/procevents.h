/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Births, execs, renames and deaths of threads, from the kernel's process event connector
 * (drivers/connector/cn_proc.c).
 */

#include "kernel/kernel.h"

struct procevents;

/*
 * Subscribes. Errors:
 *   -EPROTONOSUPPORT  the kernel has no connector
 *   -EPERM            this kernel wants CAP_NET_ADMIN for it (the subscription outlives the
 *                     capability)
 *   -EOPNOTSUPP       the kernel ignored the subscription: not the initial user and PID namespaces,
 *                     or no CONFIG_PROC_EVENTS
 *   -ENOMEM, and those of socket(2)
 */
int procevents_new(struct procevents **ret);
void procevents_free(struct procevents *p);

static inline void procevents_freep(struct procevents **p)
{
        procevents_free(*p);
}

/* A descriptor for epoll, owned by P. */
int procevents_fd(const struct procevents *p);

/*
 * Returns 1 and an event, 0 when there is none now, -ENOBUFS once when some were lost, or another
 * error of recvmmsg(2). After -ENOBUFS all that is told happened later than what was lost: a rescan
 * done then misses nothing.
 */
int procevents_next(struct procevents *p, struct kernel_event *ret);
