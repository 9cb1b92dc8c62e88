/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Drives the balancer from the event loop: ticks when they are due, earlier where the kernel tells
 * that quiet has ended, and takes the mover's reports. It must not know signals, clients or files.
 */

#include <systemd/sd-event.h>

#include "balancerd/notify.h"
#include "engine/balancer.h"
#include "kernel/kernel.h"

struct ticker;

struct ticker_options {
        struct kernel *kernel;
        struct balancer *balancer;
        struct notify *notify; /* told of each tick */
        nsec_t tick;           /* no tick is brought forward so shortly after another */
};

/* What OPTIONS names must outlive the ticker. Nothing ticks before ticker_start(). Returns 0 or a
 * negative errno. */
int ticker_new(struct ticker **ret, sd_event *event, const struct ticker_options *options);
void ticker_free(struct ticker *ticker);

/* The first tick, at once. Returns 0 or a negative errno, told to the log. Later a tick that fails
 * ends the loop, and ticker_error() is why. */
int ticker_start(struct ticker *ticker);
/* 0: no tick has failed. */
int ticker_error(const struct ticker *ticker);

/* Other settings hold: the next tick comes as soon as may be, with SHORTEST between those that are
 * brought forward. Returns 0 or a negative errno. */
int ticker_set_tick(struct ticker *ticker, nsec_t shortest);
