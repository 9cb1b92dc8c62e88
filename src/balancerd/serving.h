/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The program's side of the Varlink server: where its socket comes from and goes to, who is
 * privileged, and what the server is told. */

#include <systemd/sd-event.h>

#include "api/server.h"
#include "balancerd/notify.h"

struct serving;

struct serving_options {
        int runtime_fd; /* where the socket is made unless systemd has passed one; not owned */
        struct notify *notify; /* the same */
        const struct settings *settings;
};

/* Serves HOST's balancer from EVENT, which must outlive it. The host's userdata and functions are
 * the caller's. Returns 0, or a negative errno that has been told to the log. */
int serving_new(struct serving **ret, sd_event *event, const struct api_host *host,
                const struct serving_options *options);
void serving_free(struct serving *serving);

/* Holds at once. Who is privileged was decided when it started. */
void serving_configure(struct serving *serving, const struct settings *settings);

/* The loop ends: what was told last goes out, as far as the clients read. */
void serving_finish(struct serving *serving);

/* SERVING may be NULL: then there is nobody to tell. */
void serving_tell_decision(struct serving *serving);
void serving_tell_notice(struct serving *serving, const struct notice *notice);
