/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The real kernel behind struct kernel. It opens its roots once and finds all else below them, so
 * that captured trees, containers and tests need no other door. Asks and sets; knows nothing of
 * what the answers are for.
 */

#include "kernel/kernel.h"

/* Where to find things; NULL: "/proc", "/sys", "/sys/fs/cgroup". The last two may be missing or
 * closed to us: what needs them then says so. */
struct linux_roots {
        const char *proc, *sys, *cgroup;
};

/*
 * ROOTS may be NULL. Free with kernel_free(). Returns 0, or the error of opening the proc root, or
 * -ENOMEM, -EMFILE, -ENFILE. A source that is missing is no error here, but at each of its reads:
 * then with the error of its open(2) or read(2), and -EPROTO where its text is not understood.
 *
 * Where /sys does not tell which CPUs are online /proc/stat does, and these are taken to be equal
 * and to share a cache (machine_flat()).
 *
 * read_cpus does without /proc/schedstat where it is missing or not understood: has_run_delay is
 * false then. The open files of the machine's counters are kept and read again.
 */
int linux_kernel_new(struct kernel **ret, const struct linux_roots *roots);
