/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Looking at threads: the hot ones at each pass, the cold ones in turn. Part of the sampler. */

#include "engine/sampler.h"

/* Makes THREAD hot and looks at it whole. NEWBORN: it was born since the last tick. Returns 0,
 * -ESRCH if it is gone (it is removed), -ENOMEM, or another error that leaves it cold. */
int watch_heat(struct sampler *sampler, struct thread *thread, bool newborn);

/* Reads the counters of every hot thread and updates what is known of them. *RET_TROUBLE is the
 * worst that any of them is in. Returns 0 or -ENOMEM. */
int watch_hot(struct sampler *sampler, enum pace_trouble *ret_trouble);

/* Looks at up to N cold threads in turn; those that ran or waited become hot. Returns how many it
 * looked at, or -ENOMEM. */
int watch_cold(struct sampler *sampler, unsigned n);

/* Reads the stat file of a hot thread. Returns 0, or -ESRCH if it is gone (nothing is removed). */
int watch_look(struct sampler *sampler, struct hot *hot);

/* STAT was read of the thread just now. */
void watch_note(struct sampler *sampler, struct hot *hot, const struct kernel_thread *stat);

/* Reads the affinity of a hot thread; one that balancerd moved a moment ago and whose mask changed
 * since is left alone for a while. Returns as above, or -ENOMEM. */
int watch_read_mask(struct sampler *sampler, struct hot *hot);

/* Flags that keep a hot thread from being moved, as snapshot.h has them. */
unsigned watch_flags(const struct sampler *sampler, const struct hot *hot);
