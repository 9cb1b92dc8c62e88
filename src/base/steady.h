/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading a regular file whole, and noticing when it was changed meanwhile: what was read then may
 * be half of the old and half of the new. Three steps, each of which may find out.
 */

#include <stddef.h>
#include <sys/stat.h>

#include "base/macro.h"

struct steady {
        int fd; /* -EBADF: not open */
        struct stat before;
        char *text; /* not NUL-terminated */
        size_t length;
};

/*
 * Opens the file PATH below DIR_FD (openat(2) rules); neither waits for a writer nor takes a
 * terminal. Returns 0, -ENOTSUP for what is no regular file, -EFBIG for one of more than MAX_BYTES,
 * -ESTALE when it changed meanwhile, or another negative errno. RET is to be passed to
 * steady_done() only on success.
 */
int steady_open(struct steady *ret, int dir_fd, const char *path, size_t max_bytes);
/* Reads to the end. Returns 0, -ESTALE, -ENOMEM or the error of pread(2). */
int steady_read(struct steady *steady);
/* Returns 0 if the file is as it was when it was opened; -ESTALE, or the error of fstat(2). */
int steady_confirm(const struct steady *steady);

void steady_done(struct steady *steady);
#define _cleanup_steady_ _cleanup_(steady_done)
