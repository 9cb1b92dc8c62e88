/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/sentence.h"

#include <stdio.h>
#include <stdlib.h>

static const char *explain(enum verdict verdict)
{
        switch (verdict) {
        case VERDICT_UNWATCHED:
                return "is not watched: balancerd has had no reason to look at it, for it has "
                       "neither run nor waited lately, or it runs where the kernel balances and "
                       "nothing is stuck";
        case VERDICT_KERNEL_THREAD:
                return "is a kernel thread: those are never moved";
        case VERDICT_DEADLINE:
                return "is under SCHED_DEADLINE: such threads are never moved";
        case VERDICT_PINNED:
                return "may run on no other CPU that is online";
        case VERDICT_REALTIME:
                return "is a real-time thread: those are moved only where balance.realtime is true";
        case VERDICT_SELF:
                return "is balancerd itself, which does not move its own threads";
        case VERDICT_DENIED:
                return "belongs to another user, and balancerd may not move it: it lacks "
                       "CAP_SYS_NICE";
        case VERDICT_LEFT_ALONE:
                return "is left alone for a while: somebody else has set its affinity, or the "
                       "kernel refused to move it";
        case VERDICT_MOVING:
                return "is being moved at this moment";
        case VERDICT_ASLEEP:
                return "sleeps, and does not want a CPU";
        case VERDICT_CONTENT:
                return "gets what it wants: it hardly waits";
        case VERDICT_SETTLING:
                return "waits, but was moved a moment ago, and is given time to settle";
        case VERDICT_PATIENT:
                return "waits on a CPU that the kernel balances, but not hard enough, or not for "
                       "long enough, to be called stuck";
        case VERDICT_NOWHERE_BETTER:
                return "waits, but where it may run there is no CPU that would give it noticeably "
                       "more";
        case VERDICT_CANDIDATE:
                return "waits where it is, and is a candidate for the next plan";
        case VERDICT_SWITCHED_OFF:
                return "is on a CPU that the settings exclude from balancing";
        }
        abort();
}

static int percent(float share)
{
        return (int)(share * 100 + 0.5F);
}

void sentence_explain(const struct thread_view *view, const struct kernel_counters *so_far,
                      char ret_text[static SENTENCE_SIZE])
{
        char counters[96] = "";

        if (!view->watched && so_far)
                snprintf(counters, sizeof(counters),
                         " Since its birth it ran %.1f s and waited %.1f s.",
                         nsec_to_sec(so_far->run_nsec), nsec_to_sec(so_far->wait_nsec));
        if (view->watched)
                snprintf(counters, sizeof(counters), " It ran %d%% and waited %d%% of the time.",
                         percent(view->run), percent(view->wait));
        snprintf(ret_text, SENTENCE_SIZE, "Thread %d on CPU %u %s.%s", view->tid, view->cpu,
                 explain(view->verdict), counters);
}
