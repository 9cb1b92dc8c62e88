/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What `balancerd --check` says. */

#include "balancerd/configuration.h"

/* Prints to standard output each file that is good; then what is wrong with the others, or, where
 * nothing is, the settings that are not the defaults and those that have no effect. Root
 * reads as the owner of RUNTIME_DIR, whom the service runs as, if that is not NULL, and says so.
 * Returns 0, -EINVAL for a configuration that is of no use, or another negative errno, which has
 * been told. */
int check_config(const struct config_source *source, const char *runtime_dir);
