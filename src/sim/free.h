/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Yardsticks: what the same work would get from a queue that all CPUs share and where moving costs
 * nothing, and from the best placement that is never changed.
 */

#include "model/topology.h"
#include "sim/workload.h"

/*
 * Serves WORKLOAD from its start for SPAN. In every step the tasks that have had least for their
 * weight come first, as many as masks permit at once (a matching), on the fastest CPUs, on whole
 * cores and beside their memory as far as there are any. Returns 0, or -ENOMEM.
 */
int free_serve(struct workload *workload, const struct topology *topology, nsec_t span);

/*
 * Finds a CPU for each task (RET_CPUS: workload->n_tasks) such that the sum of the squared demands
 * by CPU is least, as far as moving one task or swapping two can tell. It heeds masks and true
 * demand, and knows nothing of cores, nodes, speeds and weights. Returns 0, or -ENOMEM.
 */
int free_place(const struct workload *workload, unsigned n_cpus, unsigned *ret_cpus);
