/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the cgroup hierarchies that can hold cpusets are mounted, and which CPUs the cpuset of a
 * thread permits. What a cpuset means for load balancing is kernel/unbalanced.h.
 *
 * A container sees part of a hierarchy, or its own part as if it were the whole (a cgroup
 * namespace). Cgroups outside of what is seen have no answer here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cpuset.h"

struct cgroup_hierarchy {
        int fd;        /* the directory where it is mounted; -EBADF where it is not */
        char *top;     /* which of its cgroups is seen there: "/", or that of a container */
        bool noprefix; /* cpuset(7): the files are called "cpus", not "cpuset.cpus" */
};

/* Immutable once made, so any thread may read it. A hierarchy that is mounted later is not seen. */
struct cgroup_mounts {
        struct cgroup_hierarchy cpuset; /* the version 1 hierarchy that has the cpuset controller */
        struct cgroup_hierarchy unified; /* version 2 */
};

/*
 * Finds the hierarchies in PROC_FD/self/mountinfo. CGROUP_FD stands for /sys/fs/cgroup: mount
 * points below that name are opened there, others by their absolute path. Without a mountinfo they
 * are looked for below CGROUP_FD: the directory itself or "unified" for version 2, "cpuset" for
 * version 1. Returns 0 (also where there is no hierarchy at all), -ENOMEM, or the error of reading.
 */
int cgroup_mounts_new(struct cgroup_mounts **ret, int proc_fd, int cgroup_fd);
void cgroup_mounts_free(struct cgroup_mounts *mounts);

static inline void cgroup_mounts_freep(struct cgroup_mounts **mounts)
{
        cgroup_mounts_free(*mounts);
}

/*
 * Reads the effective CPUs of the thread's cpuset, in version 2 those of the nearest ancestor that
 * has any. Returns 0; -ENOENT where there are no cpusets; -EACCES where there may be, but this one
 * cannot be seen (its hierarchy is closed or not mounted here, or the cgroup that decides is
 * outside of what is mounted); -ESRCH when the thread is gone; -ENOMEM; or another error of
 * reading. [any] thread may call it.
 */
int cgroup_read_cpuset(const struct cgroup_mounts *mounts, int proc_fd, pid_t tgid, pid_t tid,
                       struct cpuset *ret);

/* The parsers behind these. TEXT and LINE need no final NUL. */

/* What a line of mountinfo tells of a hierarchy that can hold cpusets. */
struct cgroup_mount_line {
        bool unified;
        bool noprefix;
        char *mount_point; /* absolute, its escapes undone; freed by the caller */
        char *top;         /* likewise */
};

/* Returns 1 and the line's mount, 0 for a line of anything else, or -ENOMEM. */
int cgroup_parse_mount(const char *line, size_t length, struct cgroup_mount_line *ret);

/*
 * Finds in /proc/PID/task/TID/cgroup which cgroup the thread is in: of the version 1 hierarchy with
 * the cpuset controller if it has one (*ret_unified is false), otherwise of version 2. *ret_path
 * points into TEXT. Returns 0, or -ENOENT for neither.
 */
int cgroup_parse_membership(const char *text, size_t length, bool *ret_unified,
                            const char **ret_path, size_t *ret_path_length);
