/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading the configuration, at the start and again, and telling the log what came of it. */

#include "balancerd/configuration.h"

/* The first reading. Returns 0; -EBADMSG where it cannot be used, or -ENOMEM, both told to the log.
 */
int configure(struct config *ret, const struct config_source *source);

/*
 * Reads it again. What is good takes the place of *CONFIG, and the log tells what is different;
 * otherwise *CONFIG stays, the log tells why, and on -EBADMSG *ret_faults has what is wrong, which
 * is the caller's. Returns 0, -EBADMSG or -ENOMEM.
 */
int reconfigure(struct config *config, const struct config_source *source,
                struct faults *ret_faults);
