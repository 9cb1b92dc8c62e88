/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Births and deaths of threads: from process events where there are any, otherwise by looking
 * through /proc when the kernel's count of forks has moved. Part of the sampler. */

#include "engine/sampler.h"

/* Takes the process events that are there. Returns 0 or -ENOMEM. */
int births_drain(struct sampler *sampler);

/* Looks through /proc for threads that are not known, if events were lost or there are none.
 * Returns whether it did (1 or 0), or a negative errno. */
int births_rescan(struct sampler *sampler);

/* Looks at threads met since the last tick: masks born narrow are given back, and on CPUs that the
 * kernel does not balance they are watched from now on. *RET_UNBALANCED is whether one of them is
 * on such a CPU. Returns 0 or -ENOMEM. */
int births_examine(struct sampler *sampler, bool *ret_unbalanced);

/* Meets the threads that there are, at start; of processes with many threads only the first where
 * there are more threads than it pays to look at. */
int births_read_all(struct sampler *sampler);

/* Meets those that were left out. Returns 0 or a negative errno. */
int births_list_rest(struct sampler *sampler);
