/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libnl's error numbers are its own; this floor speaks errno. */

/* The negative errno for a negative error number of libnl (NLE_...), as near as libnl kept it. */
int netlink_errno(int error);
