/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The door to a simulated machine: what kernel/kernel.h asks for, answered out of memory. Each
 * source can be left out, as on kernels and in containers that have not got it.
 *
 * Every thread is a process of its own. Its number lies beyond all that a real kernel gives
 * (PID_MAX_LIMIT), so that none is ever taken for the simulator itself.
 */

#include "kernel/kernel.h"
#include "sim/machine.h"

struct sim_kernel_options {
        bool no_pressure;  /* nor a trigger on it */
        bool no_schedstat; /* neither run delays by CPU; those of threads are there */
        bool no_events;
        unsigned max_handles; /* open_thread() says -EMFILE beyond; 0: no end */
};

/* MACHINE must outlive the kernel. OPTIONS may be NULL. Returns 0 or a negative errno. */
int sim_kernel_new(struct kernel **ret, struct machine *machine,
                   const struct sim_kernel_options *options);

/* Whether the birth of a thread waits to be read. */
bool sim_kernel_has_births(struct kernel *kernel);

/* Whether a poll(2) of pressure_fd and events_fd would return now: a birth waits to be read, or the
 * pressure trigger went off. To be called once a step. */
bool sim_kernel_rouses(struct kernel *kernel);

pid_t sim_kernel_tid(unsigned thread);
