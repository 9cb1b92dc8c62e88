/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The estimator. Must not know where its samples come from, nor what a demand is used for. */

#include "policy/demand.h"

#include <math.h>

/* Below this share of time in which a thread does not wait, what it would use cannot be told from
 * what it ran: it is a hog if it never slept. */
#define LEAST_FREE_SHARE 0.1F
#define NEVER_SLEPT      0.9F

/* Of a thread that ran or waited this much of its time, and waited that much, it is taken that it
 * waits now if it does not run. */
#define CROWDED_HOG  0.85F
#define CROWDED_WAIT 0.05F

void demand_init(struct demand *demand, bool runnable)
{
        /* All waiting, no running: a hog until its first sample; one that was only about to run
         * for a moment is found out by that sample, at whatever speed the smoothing has. */
        *demand = (struct demand){.wait = runnable ? 1.0F : 0.0F};
}

/* Whether the thread has been running or waiting, and now and then waiting, nearly all the time. */
static bool is_crowded_hog(const struct demand *demand)
{
        return demand->run + demand->wait > CROWDED_HOG && demand->wait > CROWDED_WAIT;
}

/* What a thread that is ready to run has waited since the last time the kernel told, in seconds.
 * Its counters tell nothing of it: all of the interval if they stood still; if they moved, only of
 * one that never sleeps it is known. */
static double untold_sec(const struct demand *demand, const struct demand_sample *sample,
                         double fresh_sec)
{
        if (!sample->runnable)
                return 0;
        if (sample->run_sec <= 0 && sample->wait_sec <= 0)
                return sample->interval_sec;
        if (!is_crowded_hog(demand))
                return 0;
        return fmax(0.0, sample->interval_sec - sample->run_sec - fresh_sec);
}

/* The share of the sample that the thread waited, without what was counted in earlier samples. */
static double waited(struct demand *demand, const struct demand_sample *sample)
{
        bool frozen = sample->runnable && sample->run_sec <= 0 && sample->wait_sec <= 0;
        double fresh_sec = fmax(0.0, sample->wait_sec - (double)demand->owed_sec);
        double untold = untold_sec(demand, sample, fresh_sec);

        /* The jump to come tells again what is counted now. */
        demand->owed_sec = (frozen ? demand->owed_sec : 0) + (float)untold;
        return (fresh_sec + untold) / sample->interval_sec;
}

void demand_update(struct demand *demand, const struct demand_sample *sample, double half_life_sec)
{
        double fresh = 1 - exp2(-sample->interval_sec / half_life_sec);
        double run = sample->run_sec / sample->interval_sec;
        double wait = waited(demand, sample);

        /* Clamped only when read: a wait that is told late, in one jump of more than the interval,
         * must count in full or hogs no longer look like hogs. */
        demand->run += (float)(fresh * (run - (double)demand->run));
        demand->wait += (float)(fresh * (wait - (double)demand->wait));
}

float demand_wait(const struct demand *demand)
{
        float rest = 1.0F - demand->run;

        return fmaxf(0.0F, fminf(demand->wait, rest));
}

float demand_value(const struct demand *demand)
{
        float wait = demand_wait(demand);
        float value;

        if (1.0F - wait >= LEAST_FREE_SHARE)
                value = demand->run / (1.0F - wait);
        else if (demand->run + wait > NEVER_SLEPT)
                value = 1.0F;
        else
                value = demand->run / LEAST_FREE_SHARE;
        return fmaxf(0.0F, fminf(value, 1.0F));
}
