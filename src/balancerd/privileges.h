/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon may do at its start and not for good. */

/* Gives up CAP_NET_ADMIN, as far as there is any of it, so that who gains control over the process
 * does not gain that. For the calling thread and those that it starts. Returns 0 or a negative
 * errno. */
int privileges_drop_net_admin(void);
