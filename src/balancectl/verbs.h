/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The commands, one a file; main.c has their table. */

#include "balancectl/request.h"

int verb_status(const struct request *request);
int verb_cpus(const struct request *request);
int verb_threads(const struct request *request);
int verb_monitor(const struct request *request);
int verb_history(const struct request *request);
int verb_explain(const struct request *request);
int verb_reload(const struct request *request);
int verb_check(const struct request *request);
