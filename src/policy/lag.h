/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much work fairness owes each thread; what rotation is driven by. */

#include "model/settings.h"
#include "model/snapshot.h"

/* Whether the thread would use a whole CPU: it ran or waited nearly all the time. */
static inline bool lag_is_hog(const struct snapshot_thread *thread)
{
        return thread->run_smoothed + thread->wait > 0.85F;
}

/*
 * Writes the lag of every thread of the snapshot, in seconds and within -5 ... 5, to RET_LAG_SEC
 * (snapshot->n_threads floats): its old lag plus the tick's difference between its fair share and
 * what it got, at the capacity of its CPU. Only threads that rotation may ever concern (hogs on
 * CPUs that the kernel does not balance) gain or lose lag; the others keep theirs. Returns 0 or
 * -ENOMEM.
 */
int lag_update(const struct snapshot *snapshot, const struct settings *settings,
               float *ret_lag_sec);
