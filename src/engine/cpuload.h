/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sampler's view of CPUs: what hangs together, who balances them, how busy they are. */

#include "engine/sampler.h"

/* Reads the topology (again): every class and index from before is void, hot threads are to be
 * looked at anew. */
int cpuload_read_topology(struct sampler *sampler);

/* Asks which CPUs the kernel balances. */
int cpuload_read_domains(struct sampler *sampler);

/* Reads the counters of all CPUs. Returns 0, -ENOMEM, or -EAGAIN when they are of other CPUs than
 * the topology: those that both have are up to date then. */
int cpuload_read(struct sampler *sampler);

/* Whether the counters leave room for a thread that waits on a CPU without balancing. */
bool cpuload_unbalanced_may_wait(const struct sampler *sampler);

/* Whether a CPU idles that could take a thread that is stuck elsewhere. */
bool cpuload_somewhere_idle(const struct sampler *sampler);

/* A pass over the threads is done: compares what CPUs worked with what known threads ran. Returns
 * how much work, in CPUs, no known thread accounts for: the most on any one CPU that the kernel
 * does not balance; on all that it balances together, if an idle CPU could take some of it. */
float cpuload_account_pass(struct sampler *sampler, nsec_t interval);
