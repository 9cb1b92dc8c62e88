/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The socket that clients find by its name, where systemd has not made it. */

#include <sys/types.h>

#define SOCKET_NAME "io.balancerd"

/* Which file it was that was made: another one of that name is somebody else's. */
struct socket_name {
        dev_t device;
        ino_t inode;
};

/*
 * Makes the socket SOCKET_NAME below DIR_FD, for everyone, and listens. One on which nobody listens
 * any more is removed before. Returns the descriptor, which does not block; -EADDRINUSE where
 * somebody listens there, whether he answers or not; -EEXIST where the name is that of something
 * else than a socket; or another negative errno.
 */
int socket_listen(int dir_fd, struct socket_name *ret);

/* Removes the name again, unless it is another's by now. */
void socket_remove(int dir_fd, const struct socket_name *name);
