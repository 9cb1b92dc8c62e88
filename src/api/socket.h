/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The socket that clients find by its name, where systemd has not made it. */

#define SOCKET_NAME "io.balancerd"

/*
 * Makes the socket SOCKET_NAME below DIR_FD, for everyone, and listens. What an earlier daemon left
 * there is removed: the caller holds the claim to the machine, so that nobody else lives there.
 * Returns the descriptor, which does not block; -EEXIST where the name is that of something else
 * than a socket; or another negative errno.
 */
int socket_listen(int dir_fd);

/* Removes the name again. */
void socket_remove(int dir_fd);
