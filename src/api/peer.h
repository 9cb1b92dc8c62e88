/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who is at the other end of a socket, by what the kernel says. Capabilities are not looked at:
 * every user can have them all, in a user namespace of his own.
 */

#include <stdbool.h>
#include <sys/types.h>

/* No such group. */
#define GID_NONE ((gid_t)-1)

struct peer {
        uid_t uid; /* effective, when it connected */
        pid_t pid;
        bool privileged;
};

/* Members of GROUP are privileged, as root is. Returns 0, -ENOMEM, or the error of getsockopt(2).
 */
int peer_read(int fd, gid_t group, struct peer *ret);
