/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which online CPUs no load balancer of the kernel serves, and when that changes.
 *
 * /proc/schedstat shows the scheduling domains themselves: where there is one, it is the truth and
 * nothing else counts. Elsewhere they are worked out as the kernel makes them
 * (kernel/cgroup/cpuset.c, generate_sched_domains()): CPUs in /sys/devices/system/cpu/isolated are
 * in no domain; version 2 partitions of kind "isolated" neither, those of kind "root" are a domain
 * each and the rest is another; in version 1 either the top cpuset has sched_load_balance and all
 * is one domain, or each topmost cpuset that has it is one, overlapping ones together. A domain of
 * one CPU is none. So a machine of one CPU is unbalanced, in both ways of looking.
 *
 * In a container the topmost cpuset seen is taken for the top. Cgroups nested deeper than 16, and
 * those beyond the first 4,096, count as if they were not there.
 */

#include "base/cpuset.h"
#include "kernel/cgroup.h"

struct unbalanced;

/* MOUNTS and SYS_FD must outlive it. Returns 0, -ENOMEM, or the error of inotify_init1(2). */
int unbalanced_new(struct unbalanced **ret, const struct cgroup_mounts *mounts, int sys_fd);
void unbalanced_free(struct unbalanced *u);

/* A descriptor for epoll, readable when the next unbalanced_read() may differ; hotplug is not told
 * (the caller knows what is online). Owned by U. Nothing is watched before the first
 * unbalanced_read(), nor as long as /proc/schedstat tells: that tells no change, and is to be read
 * now and then. */
int unbalanced_fd(const struct unbalanced *u);

/* Takes what the descriptor tells, for the next unbalanced_read(). */
void unbalanced_drain(struct unbalanced *u);

/*
 * Reads the set, and drains the descriptor. SCHEDSTAT_WITHOUT_DOMAINS are the CPUs that
 * /proc/schedstat lists without a domain, NULL where there is no such file; where there is one, no
 * cpuset is looked at. As long as neither the descriptor told anything nor ONLINE changed, it costs
 * two small reads. Sources that are missing or unreadable say nothing about any CPU. Returns 0 or
 * -ENOMEM.
 */
int unbalanced_read(struct unbalanced *u, const struct cpuset *schedstat_without_domains,
                    const struct cpuset *online, struct cpuset *ret);
