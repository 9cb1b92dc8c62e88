/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Those who called Monitor. Decisions are not copied for them: each keeps its place in the
 * balancer's ring, and who falls behind by the whole of it is told how many it lost. Notices have a
 * small ring of their own. Who does not read at all is dropped by its connection.
 */

#include <jansson.h>
#include <stdint.h>

#include "model/notice.h"

#define MONITOR_NOTICES 16U

struct subscription;

struct monitor {
        struct subscription *subscriptions; /* list */
        json_t *notices[MONITOR_NOTICES];   /* by their number modulo the size */
        uint64_t n_notices;
};

void monitor_done(struct monitor *monitor);

/* The balancer's ring has one decision more. */
void monitor_tell_decision(struct monitor *monitor);
/* For those who see all. */
void monitor_tell_notice(struct monitor *monitor, const struct notice *notice);
