/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * When to sample next. Cost follows trouble: the tick is short while threads wait where the kernel
 * does not balance, longer while they wait only where it does, long when nothing waits. Sampling
 * takes at most PACE_SHARE of one CPU: every tick is paid for before the next. What a quiet time
 * saved may be spent at once, up to a cap, so that the first sight of trouble is not waited for.
 */

#include "model/settings.h"

#define PACE_SHARE 0.005
/* The tick while threads wait on CPUs that the kernel balances. */
#define PACE_BALANCED_TICK (100 * NSEC_PER_MSEC)
/* So many ticks without trouble until it is quiet again. */
#define PACE_CALM_TICKS 5U
/* For so long after the last trouble the tick is PACE_BALANCED_TICK at most: what came once comes
 * again. */
#define PACE_WATCHFUL (4 * NSEC_PER_SEC)

enum pace_trouble {
        PACE_QUIET,
        PACE_BALANCED,   /* threads wait, but only where the kernel balances */
        PACE_UNBALANCED, /* threads wait where it does not, or were just born there */
};

struct pace {
        double credit_sec; /* CPU time that may be spent; negative: to be waited for */
        nsec_t paid_at;
        enum pace_trouble trouble; /* the worst of the last PACE_CALM_TICKS ticks */
        unsigned calm_ticks;
        nsec_t trouble_at; /* the last that was found; 0: none yet */
};

/* Nothing is known yet: begins with short ticks. */
void pace_init(struct pace *pace);

/* A tick at NOW cost COST of CPU time and found TROUBLE; SAVINGS_MAX is what may be saved up at
 * most. Returns when the next is due. */
nsec_t pace_next(struct pace *pace, const struct settings *settings, nsec_t now, nsec_t cost,
                 nsec_t savings_max, enum pace_trouble trouble);
