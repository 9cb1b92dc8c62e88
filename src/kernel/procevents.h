/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Births, execs, renames and deaths of threads, from the kernel's process event connector
 * (drivers/connector/cn_proc.c).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
 * error of recvmmsg(2). All that is told after -ENOBUFS happened later than what was lost, so that
 * a rescan done then misses nothing.
 */
int procevents_next(struct procevents *p, struct kernel_event *ret);

/* One message of the connector. */
struct procevents_message {
        unsigned cpu;      /* where it was sent; no CPU at all in old acknowledgements */
        uint32_t seq;      /* counts the messages of that CPU, of every kind */
        bool acknowledges; /* it answers a subscription, anyone's: */
        uint32_t ack;      /* the number that the subscriber chose, plus 1 */
        int error;         /* 0 or a negative errno */
        bool has_event;    /* it is of a kind that is told here: */
        struct kernel_event event;
};

/* The parser behind it: LENGTH bytes of one netlink message. Returns 0, or -EBADMSG for anything
 * that is no process event of the kernel's making. */
int procevents_parse(const void *message, size_t length, struct procevents_message *ret);
