/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the process may do at its start and not for good. */

#include <limits.h>

/* Gives up CAP_NET_ADMIN, as far as there is any of it, so that who gains control over the process
 * does not gain that. For the calling thread and those that it starts. Returns 0 or a negative
 * errno. */
int privileges_drop_net_admin(void);

/* From now on root is, with the groups that it has, the user whom the folder PATH belongs to.
 * Returns 1, with his name, or his number where he has none, in *ret; 0, and nothing is different,
 * where the caller is not root, where there is no such folder, and where it is root's; or a
 * negative errno. */
int privileges_become_owner(const char *path, char ret[static LOGIN_NAME_MAX]);
