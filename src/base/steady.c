/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/steady.h"

#include <errno.h>
#include <fcntl.h>

int steady_open(struct steady *ret, int dir_fd, const char *path, size_t max_bytes)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat before;

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return errno == ENXIO ? -ENOTSUP : -errno; /* a socket */
        if (fstat(fd, &before) < 0)
                return -errno;
        if (!S_ISREG(before.st_mode))
                return -ENOTSUP;
        if (before.st_size < 0 || (size_t)before.st_size > max_bytes)
                return -EFBIG;
        *ret = (struct steady){.fd = TAKE_FD(fd), .before = before};
        return 0;
}

/* Reads what there is, at most SIZE bytes. Returns how many, or a negative errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
        size_t length = 0;

        while (length < size) {
                ssize_t n = pread(fd, text + length, size - length, (off_t)length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t)n;
        }
        return (ssize_t)length;
}

int steady_read(struct steady *steady)
{
        /* One byte more than there should be shows that it has grown. */
        size_t size = (size_t)steady->before.st_size + 1;
        _cleanup_free_ char *text = malloc(size);
        ssize_t length;

        if (!text)
                return -ENOMEM;
        length = read_all(steady->fd, text, size);
        if (length < 0)
                return (int)length;
        if (length != steady->before.st_size)
                return -ESTALE;
        free(steady->text);
        steady->text = TAKE_PTR(text);
        steady->length = (size_t)length;
        return 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
        return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

int steady_confirm(const struct steady *steady)
{
        const struct stat *before = &steady->before;
        struct stat now;

        if (fstat(steady->fd, &now) < 0)
                return -errno;
        if (now.st_size != before->st_size || !same_time(now.st_mtim, before->st_mtim) ||
            !same_time(now.st_ctim, before->st_ctim))
                return -ESTALE;
        return 0;
}

void steady_done(struct steady *steady)
{
        closep(&steady->fd);
        free(steady->text);
        *steady = (struct steady){.fd = -EBADF};
}
