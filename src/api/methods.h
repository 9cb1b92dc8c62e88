/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods: one file a subject, one function a method. They answer the call that they are given,
 * as call.h says. */

#include <stdbool.h>

#include "api/call.h"

struct method {
        const char *name; /* "io.balancerd.GetStatus" */
        int (*call)(const struct call *call);
        bool many;       /* has many replies: `more` is needed */
        bool privileged; /* for privileged callers alone */
};

/* By name; behind the last one without a name. */
extern const struct method methods[];

const struct method *method_find(const char *name);

/* service.c */
int method_get_info(const struct call *call);
int method_get_interface_description(const struct call *call);
/* status.c */
int method_get_status(const struct call *call);
/* cpus.c */
int method_list_cpus(const struct call *call);
/* threads.c */
int method_list_threads(const struct call *call);
int method_explain(const struct call *call);
/* history.c */
int method_list_decisions(const struct call *call);
/* monitor.c */
int method_monitor(const struct call *call);
/* reload.c */
int method_reload(const struct call *call);
