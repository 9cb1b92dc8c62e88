/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>

#define BUFFER_FIRST ((size_t)4096)

void buffer_done(struct buffer *buffer)
{
        free(buffer->data);
        *buffer = (struct buffer){0};
}

static int grow(struct buffer *buffer)
{
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : BUFFER_FIRST;
        char *data;

        if (capacity > BUFFER_MAX)
                return -EFBIG;
        data = realloc(buffer->data, capacity);
        if (!data)
                return -ENOMEM;
        buffer->data = data;
        buffer->capacity = capacity;
        return 0;
}

int buffer_read_fd(struct buffer *buffer, int fd)
{
        buffer->length = 0;
        for (;;) {
                ssize_t n;
                int r;

                if (buffer->length == buffer->capacity) {
                        r = grow(buffer);
                        if (r < 0)
                                return r;
                }
                n = pread(fd, buffer->data + buffer->length, buffer->capacity - buffer->length,
                          (off_t)buffer->length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                buffer->length += (size_t)n;
        }
}

int open_at(int dir_fd, const char *path, int flags)
{
        int fd = openat(dir_fd, path, flags | O_RDONLY | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? -errno : fd;
}

int buffer_read_at(struct buffer *buffer, int dir_fd, const char *path)
{
        _cleanup_close_ int fd = open_at(dir_fd, path, 0);

        return fd < 0 ? fd : buffer_read_fd(buffer, fd);
}

ssize_t read_small_fd(int fd, char *data, size_t size)
{
        ssize_t n;

        if (fd < 0)
                return fd;
        do
                n = pread(fd, data, size, 0);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

ssize_t read_small_at(int dir_fd, const char *path, char *data, size_t size)
{
        _cleanup_close_ int fd = open_at(dir_fd, path, 0);

        return read_small_fd(fd, data, size);
}
