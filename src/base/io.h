/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whole-file reading below a directory descriptor. */

#include <stddef.h>
#include <sys/types.h>

#include "base/macro.h"

/* Text of unknown length, kept between reads so that a tick allocates nothing. */
struct buffer {
        char *data; /* not NUL-terminated */
        size_t length;
        size_t capacity;
};

void buffer_done(struct buffer *buffer);
#define _cleanup_buffer_ _cleanup_(buffer_done)

/* The largest text that is read whole; longer ones fail with -EFBIG. 64 MiB. */
#define BUFFER_MAX ((size_t)64 << 20)

/* Reads FD from its start into BUFFER, whose old text is gone. Returns 0, -ENOMEM, -EFBIG, or the
 * error of pread(2). */
int buffer_read_fd(struct buffer *buffer, int fd);

/* The same for the file PATH below DIR_FD (openat(2) rules). */
int buffer_read_at(struct buffer *buffer, int dir_fd, const char *path);

/* openat(2) for reading, FLAGS apart (O_DIRECTORY). Returns the descriptor, or a negative errno. */
int open_at(int dir_fd, const char *path, int flags);

/* Reads the start of FD into DATA, in one pread(2). For FD a negative errno, which open_at() may
 * have returned, it returns that; otherwise the number of bytes or a negative errno. */
ssize_t read_small_fd(int fd, char *data, size_t size);

/* Reads a small file into DATA, at most SIZE bytes of it. Returns the number of bytes, or a
 * negative errno. */
ssize_t read_small_at(int dir_fd, const char *path, char *data, size_t size);
