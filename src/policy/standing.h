/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Why a plan leaves a thread where it is, by the very tests that its passes make. Chains and turns
 * apart: those are of several threads, and no thread's own doing.
 */

#include "policy/plan.h"
#include "policy/planner.h"

enum standing {
        STANDING_FIXED,     /* not to be moved: THREAD_IMMOVABLE, or a single CPU */
        STANDING_ASLEEP,    /* not ready to run */
        STANDING_CONTENT,   /* it hardly waits */
        STANDING_SETTLING,  /* it waits, but was moved a moment ago */
        STANDING_PATIENT,   /* it waits on a balanced CPU, and is not stuck as yet */
        STANDING_NOWHERE,   /* it waits, but gains too little wherever it may go */
        STANDING_CANDIDATE, /* the plan moves it, unless others gain more or budgets end */
};

/* Of one snapshot; zero-initialised before the first use. */
struct standings {
        struct snapshot snapshot;
        struct settings settings;
        struct plan_params params;
        struct planner planner;
        struct plan memory;
        bool may_be_stuck; /* there is a place for stuck threads */
};

/* What SNAPSHOT and SETTINGS point to must live until the last use or the next standings_init(),
 * which uses the memory again. Returns 0 or -ENOMEM. */
int standings_init(struct standings *standings, const struct snapshot *snapshot,
                   const struct settings *settings);
void standings_done(struct standings *standings);

/* THREAD: index into the snapshot's threads. */
enum standing standings_get(struct standings *standings, unsigned thread);
