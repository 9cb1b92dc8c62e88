/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The machine's topology: SMT cores, last-level caches, NUMA nodes and how fast each CPU is. hwloc
 * finds them below /sys; what the kernel says itself (the online list, cpu_capacity) comes first.
 */

#include "base/cpuset.h"
#include "model/topology.h"

struct hwloc_topology;

/*
 * Reads the topology of the CPUs in SYS_FD/devices/system/cpu/online; SYS_FD is a descriptor of the
 * directory SYS_ROOT, usually "/sys". Returns 0; 1 where hwloc cannot help: each CPU is a core of
 * its own then, and all share one cache and node; -ENOMEM; -EMFILE or -ENFILE when there are too
 * few descriptors to find out; -EINVAL for an online list that makes no sense; or the error of
 * reading it.
 *
 * hwloc takes its settings from the environment alone, so this calls setenv(3): HWLOC_PLUGINS_PATH
 * (its plugins take 3 MB and find nothing that is used here) at the first call, and HWLOC_FSROOT
 * during a call where SYS_ROOT is not "/sys". No other thread may use the environment meanwhile;
 * the first call belongs before the first thread. hwloc reads below another root only where
 * SYS_ROOT ends in "/sys".
 */
int machine_read(int sys_fd, const char *sys_root, struct topology **ret);

/*
 * What is left without hwloc: the CPUs of ONLINE, which differ in nothing but, where
 * SYS_FD/devices/system/cpu/cpuN/cpu_capacity says so (SYS_FD may be negative), speed. Returns 0,
 * -ENOMEM or -EINVAL (no CPU).
 */
int machine_flat(int sys_fd, const struct cpuset *online, struct topology **ret);

/* Whether hwloc can help with that machine_read(): 0, or a negative errno. */
int machine_probe(const char *sys_root);

/*
 * Converts a loaded hwloc topology, of which only CPUs in ONLINE count (NULL: all of its PUs). CPUs
 * of ONLINE that hwloc does not know get a core, cache and node of their own. Speeds come from
 * SYS_FD/devices/system/cpu/cpuN/cpu_capacity where all CPUs have it (SYS_FD may be -1), otherwise
 * from hwloc's CPU kinds, otherwise they are equal. Errors: -ENOMEM, -EINVAL (no CPU).
 */
int machine_from_hwloc(struct hwloc_topology *hwloc, int sys_fd, const struct cpuset *online,
                       struct topology **ret);
