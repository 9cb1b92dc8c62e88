/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/standing.h"

#include "policy/balance.h"
#include "policy/demand.h"
#include "policy/stuck.h"

int standings_init(struct standings *s, const struct snapshot *snapshot,
                   const struct settings *settings)
{
        int r;

        s->snapshot = *snapshot;
        s->settings = *settings;
        plan_params_init(&s->params);
        r = planner_init(&s->planner, &s->snapshot, &s->settings, &s->params, &s->memory);
        if (r < 0)
                return r;
        s->may_be_stuck = settings->balance.stuck_threads && stuck_begin(&s->planner);
        return 0;
}

void standings_done(struct standings *s)
{
        plan_done(&s->memory);
        *s = (struct standings){0};
}

static bool is_fixed(const struct standings *s, const struct snapshot_thread *t)
{
        return (t->flags & THREAD_IMMOVABLE) ||
               ((t->flags & THREAD_REALTIME) && !s->settings.balance.realtime) ||
               s->snapshot.classes[t->mask_class].n_cpus < 2;
}

/* Whether one of the passes would move it by itself. */
static bool gains(struct standings *s, unsigned thread)
{
        if (s->settings.balance.unbalanced && balance_gains(&s->planner, thread))
                return true;
        return s->may_be_stuck && stuck_gains(&s->planner, thread);
}

enum standing standings_get(struct standings *s, unsigned thread)
{
        const struct snapshot_thread *t = &s->snapshot.threads[thread];
        bool waits = t->wait > DEMAND_WAIT_NOISE;

        if (is_fixed(s, t))
                return STANDING_FIXED;
        if (!(t->flags & THREAD_RUNNABLE))
                return STANDING_ASLEEP;
        if (!runnables_cooled(&s->snapshot, t, &s->params))
                return waits ? STANDING_SETTLING : STANDING_CONTENT;
        if (t->demand > 0 && gains(s, thread))
                return STANDING_CANDIDATE;
        if (!waits)
                return STANDING_CONTENT;
        if (s->snapshot.cpus[t->cpu].balanced &&
            (!stuck_is_candidate(&s->planner, thread) || stuck_is_unclear(&s->planner)))
                return STANDING_PATIENT;
        return STANDING_NOWHERE;
}
