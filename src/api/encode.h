/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the interface's types are made of, as JSON. All return a new reference, or NULL for lack of
 * memory. */

#include <jansson.h>

#include "api/server.h"
#include "engine/decisions.h"
#include "engine/inspect.h"

/* A list as cpuset(7) has it. */
json_t *encode_cpus(const struct cpuset *cpus);
/* The files of the configuration in effect. */
json_t *encode_configuration(const struct server *server);

json_t *encode_cpu(const struct cpu_view *view);
/* NOW: CLOCK_MONOTONIC. */
json_t *encode_thread(const struct thread_view *view, nsec_t now);
/* No longer than this, as text. */
#define ENCODED_DECISION_MAX 512U
json_t *encode_decision(const struct decision *decision, const struct calendar *calendar);
/* AT: CLOCK_BOOTTIME. */
json_t *encode_notice(const struct notice *notice, nsec_t at, const struct calendar *calendar);
/* AT, CLOCK_BOOTTIME, as the interface has times: microseconds since 1970. */
json_int_t encode_time(nsec_t at, const struct calendar *calendar);
