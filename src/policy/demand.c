/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The estimator. Must not know where its samples come from, nor what a demand is used for. */

#include "policy/demand.h"

#include <math.h>

#include "base/macro.h"

/* Below this share of time in which a thread does not wait, what it would use cannot be told from
 * what it ran: it is a hog if it never slept. */
#define LEAST_FREE_SHARE 0.1F
#define NEVER_SLEPT      0.9F

void demand_init(struct demand *demand, bool runnable)
{
        /* All waiting, no running: a hog until its first sample; one that was only about to run
         * for a moment is found out by that sample, at whatever speed the smoothing has. */
        *demand = (struct demand){.wait = runnable ? 1.0F : 0.0F};
}

/* The share of the sample that the thread waited, without what was counted in earlier samples. */
static double waited(struct demand *demand, const struct demand_sample *sample)
{
        double fresh_sec;

        if (sample->runnable && sample->run_sec <= 0 && sample->wait_sec <= 0) {
                demand->owed_sec += (float)sample->interval_sec;
                return 1;
        }
        fresh_sec = MAX(0.0, sample->wait_sec - (double)demand->owed_sec);
        demand->owed_sec = 0;
        return fresh_sec / sample->interval_sec;
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
