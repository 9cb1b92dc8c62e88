/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon tells of, one line each, for monitor, history and explain. */

#include <jansson.h>

#include "balancectl/terminal.h"

/* "Nov 23 15:04:05.123 hog[4711] moved from CPU 0 to 1 in 12us: balance, 3.00 competitors fewer
 * (load 4.00, there 0.00)" */
void print_decision(const struct terminal *terminal, const json_t *decision);

/* "Nov 23 15:04:05.123 notice: what it says" */
void print_notice(const struct terminal *terminal, const json_t *notice);

/* REPLY says in "lost" how many events came faster than they were read. */
void print_lost(const struct terminal *terminal, const json_t *reply);
