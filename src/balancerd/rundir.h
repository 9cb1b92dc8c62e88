/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The runtime directory, which everyone may enter for the socket's sake, and the folder in it that
 * nobody else may. It must not know what is kept there.
 */

#define RUNDIR_PRIVATE "private"

/* Opens the directory PATH; makes it if it is missing. Returns its descriptor, or a negative errno
 * that has been told to the log. */
int rundir_open(const char *path);
/* The same for the private folder in it. */
int rundir_open_private(const char *path);

/* Root may run balancerd by hand where a service runs it as another user: gives FD, of a file in
 * DIR_FD, to that folder's owner, who has to open it again. Does nothing for others than root.
 * Returns 0 or a negative errno. */
int rundir_give_to_owner(int dir_fd, int fd);
