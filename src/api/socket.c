/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/macro.h"

/* By way of the descriptor: a path of any length would not fit into the address. */
static struct sockaddr_un address_below(int dir_fd)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
                 dir_fd);
        return address;
}

/* Returns 0 where nobody listens any more, -EADDRINUSE where somebody does, or another negative
 * errno. */
static int ask_whether_stale(int dir_fd)
{
        const struct sockaddr_un address = address_below(dir_fd);
        _cleanup_close_ int fd = -1;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
                return -EADDRINUSE;
        switch (errno) {
        case ECONNREFUSED:
                return 0;
        case EAGAIN:     /* so many wait already */
        case EPROTOTYPE: /* for datagrams */
                return -EADDRINUSE;
        default:
                return -errno;
        }
}

/* Returns 0 if nothing has the name any more. */
static int remove_stale(int dir_fd)
{
        struct stat st;
        int r;

        if (fstatat(dir_fd, SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        r = ask_whether_stale(dir_fd);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, SOCKET_NAME, 0) < 0 ? -errno : 0;
}

/* Makes the name, and notes which it is. */
static int bind_below(int fd, int dir_fd, struct socket_name *ret)
{
        const struct sockaddr_un address = address_below(dir_fd);
        struct stat st;

        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        if (fstatat(dir_fd, SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        *ret = (struct socket_name){.device = st.st_dev, .inode = st.st_ino};
        return 0;
}

int socket_listen(int dir_fd, struct socket_name *ret)
{
        _cleanup_close_ int fd = -1;
        struct socket_name name = {0};
        int r;

        r = remove_stale(dir_fd);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        r = bind_below(fd, dir_fd, &name);
        if (r < 0)
                return r;
        /* Who connects before listen(2) is refused, whatever the mode. */
        if (fchmodat(dir_fd, SOCKET_NAME, 0666, 0) < 0 || listen(fd, SOMAXCONN) < 0) {
                r = -errno;
                socket_remove(dir_fd, &name);
                return r;
        }
        *ret = name;
        return TAKE_FD(fd);
}

void socket_remove(int dir_fd, const struct socket_name *name)
{
        struct stat st;

        if (fstatat(dir_fd, SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_dev == name->device && st.st_ino == name->inode)
                (void)unlinkat(dir_fd, SOCKET_NAME, 0);
}
