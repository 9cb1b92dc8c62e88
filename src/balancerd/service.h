/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's event loop: timers, signals, notification; it drives the balancer. */

#include "balancerd/configuration.h"
#include "balancerd/notify.h"
#include "engine/ledger.h"
#include "kernel/kernel.h"

struct service_options {
        const struct config_source *source; /* to be read again from */
        struct config *config;              /* in effect; what is read again takes its place */
        bool observe;
        struct notify *notify;
        int runtime_fd; /* where the socket is made unless systemd has passed one */
};

/* Runs until SIGTERM, SIGINT or SIGQUIT, then gives back every mask; on SIGHUP it reads the
 * configuration again. Returns 0 or a negative errno, told to the log already. Afterwards SIGTERM
 * and SIGINT end the process again; the other signals stay blocked. */
int service_run(struct kernel *kernel, struct ledger *ledger,
                const struct service_options *options);
