/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A thread's switch counts from the taskstats interface (kernel/taskstats.c) over generic netlink.
 * (`struct taskstats` is the kernel's own name for its answer, hence the longer one here.)
 */

#include <stddef.h>
#include <sys/types.h>

#include "kernel/kernel.h"

struct taskstats_client;

/*
 * Connects, and asks once about the calling thread, so that whatever stands in the way is known
 * now. Errors:
 *   -EPROTONOSUPPORT  the kernel has no taskstats, or answers in a version that cannot be read
 *   -EPERM            CAP_NET_ADMIN in the initial user namespace is missing
 *   -ENOMEM, those of socket(2), -EBADMSG
 */
int taskstats_new(struct taskstats_client **ret);
void taskstats_free(struct taskstats_client *client);

static inline void taskstats_freep(struct taskstats_client **client)
{
        taskstats_free(*client);
}

/* Asks about one thread. Returns 0; -ESRCH when it is gone; or an error as above. */
int taskstats_read(struct taskstats_client *client, pid_t tid, struct kernel_switches *ret);

/*
 * The reader of the kernel's answer: LENGTH bytes of one netlink message's payload, that is, the
 * generic netlink header and attributes. Errors: -EPROTONOSUPPORT for a version whose fields lie
 * elsewhere, -EBADMSG for an answer that is malformed, too short, or about another thread than TID.
 */
int taskstats_parse(const void *payload, size_t length, pid_t tid, struct kernel_switches *ret);
