/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/pace.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/macro.h"

void pace_init(struct pace *pace)
{
        *pace = (struct pace){.trouble = PACE_UNBALANCED};
}

static nsec_t balanced_interval(const struct settings *settings)
{
        return MAX(settings->balance.tick, PACE_BALANCED_TICK);
}

static nsec_t quiet_interval(const struct pace *pace, const struct settings *settings, nsec_t now)
{
        bool watchful = pace->trouble_at != 0 && now - pace->trouble_at < PACE_WATCHFUL;
        nsec_t watchful_tick = balanced_interval(settings);

        return watchful ? MIN(settings->balance.quiet_tick, watchful_tick)
                        : settings->balance.quiet_tick;
}

static nsec_t wanted_interval(const struct pace *pace, const struct settings *settings, nsec_t now)
{
        switch (pace->trouble) {
        case PACE_UNBALANCED:
                return settings->balance.tick;
        case PACE_BALANCED:
                return balanced_interval(settings);
        case PACE_QUIET:
                return quiet_interval(pace, settings, now);
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
        if (trouble != PACE_QUIET)
                pace->trouble_at = now;
        interval = wanted_interval(pace, settings, now);
        if (pace->credit_sec < 0) {
                nsec_t repaid = (nsec_t)(-pace->credit_sec / PACE_SHARE * (double)NSEC_PER_SEC);

                interval = MAX(interval, repaid);
        }
        return now + interval;
}
