/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The many small files of /sys and cgroups that hold one list of CPUs. */

#include "base/cpuset.h"

/* Reads the file PATH below DIR_FD. Returns 0, -ENOMEM, -EINVAL or -ERANGE for text that is no
 * list, or the error of openat(2) or read(2). */
int cpulist_read_at(int dir_fd, const char *path, struct cpuset *ret);
