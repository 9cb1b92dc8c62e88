/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/pace.h"

#include <stdlib.h>

#include "base/macro.h"

static nsec_t wanted_interval(const struct settings *settings, enum pace_trouble trouble)
{
        switch (trouble) {
        case PACE_UNBALANCED:
                return settings->balance.tick;
        case PACE_BALANCED:
                return MAX(settings->balance.tick, PACE_BALANCED_TICK);
        case PACE_QUIET:
                return settings->balance.quiet_tick;
        }
        abort();
}

/* Worse trouble counts at once, better only once it has lasted. */
static void settle(struct pace *pace, enum pace_trouble trouble)
{
        if (trouble >= pace->trouble) {
                pace->trouble = trouble;
                pace->calm_ticks = 0;
        } else if (++pace->calm_ticks >= PACE_CALM_TICKS) {
                pace->trouble = trouble;
                pace->calm_ticks = 0;
        }
}

nsec_t pace_next(struct pace *pace, const struct settings *settings, nsec_t now, nsec_t cost,
                 nsec_t savings_max, enum pace_trouble trouble)
{
        nsec_t interval;

        if (pace->paid_at != 0)
                pace->credit_sec += nsec_to_sec(now - pace->paid_at) * PACE_SHARE;
        pace->paid_at = now;
        pace->credit_sec = MIN(pace->credit_sec, nsec_to_sec(savings_max)) - nsec_to_sec(cost);
        settle(pace, trouble);
        interval = wanted_interval(settings, pace->trouble);
        if (pace->credit_sec < 0) {
                nsec_t repaid = (nsec_t)(-pace->credit_sec / PACE_SHARE * (double)NSEC_PER_SEC);

                interval = MAX(interval, repaid);
        }
        return now + interval;
}
