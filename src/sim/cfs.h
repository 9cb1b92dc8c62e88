/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the kernel does on CPUs that it balances: a rough copy of CFS. A thread wakes on an idle CPU
 * of its cache, is born on the idlest CPU, is pulled by a CPU that falls idle, and by the periodic
 * balancer, level by level. Not copied: SMT placement, wake affinity, tracked load.
 */

#include "sim/machine.h"

/* Where THREAD, which is not queued, should wake up or be born. Only for threads whose mask has a
 * balanced CPU; others stay where they are. */
unsigned cfs_wake_cpu(const struct machine *machine, unsigned thread);
unsigned cfs_fork_cpu(const struct machine *machine, unsigned thread);

/* CPU has fallen idle at AT: pulls a waiting thread to it, if there is one to be had. */
void cfs_balance_newly_idle(struct machine *machine, unsigned cpu, nsec_t at);

/* The periodic balancer, for all CPUs where it is due. */
void cfs_balance_periodic(struct machine *machine);
