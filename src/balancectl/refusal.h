/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon says instead of doing it, in plain words. */

#include <stdbool.h>

#include "varlink/message.h"

/* Whether it is this one of io.balancerd's own errors, such as "NoSuchThread". */
bool refusal_is(const struct varlink_reply *reply, const char *error);

/* Tells why the daemon said no on standard error, and returns -EREMOTEIO. REPLY's texts are
 * printable. ID: what the user has asked for; SEES_ALL: there are no threads that he may not see.
 */
int refusal_tell(const struct varlink_reply *reply, int id, bool sees_all);
