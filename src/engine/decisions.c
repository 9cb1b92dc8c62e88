/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/decisions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/escape.h"
#include "base/macro.h"

struct decisions {
        uint64_t count;
        struct decision ring[DECISIONS_MAX];
};

int decisions_new(struct decisions **ret)
{
        struct decisions *d;

        /* calloc leaves the pages of a ring that is never filled untouched. */
        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        *ret = d;
        return 0;
}

void decisions_free(struct decisions *decisions)
{
        free(decisions);
}

void decisions_add(struct decisions *decisions, const struct decision *decision)
{
        decisions->ring[decisions->count++ % DECISIONS_MAX] = *decision;
}

uint64_t decisions_count(const struct decisions *decisions)
{
        return decisions->count;
}

const struct decision *decisions_get(const struct decisions *decisions, uint64_t number)
{
        if (number >= decisions->count || decisions->count - number > DECISIONS_MAX)
                return NULL;
        return &decisions->ring[number % DECISIONS_MAX];
}

/* What became of it, for a decision that did not end as it should. */
static void format_failure(const struct decision *decision, char *ret, size_t size)
{
        if (!decision->carried_out || decision->result == MOVER_MOVED)
                ret[0] = '\0';
        else if (decision->error < 0)
                snprintf(ret, size, " result=%s error=%s", mover_result_to_string(decision->result),
                         strerrorname_np(-decision->error));
        else
                snprintf(ret, size, " result=%s", mover_result_to_string(decision->result));
}

void decision_format(const struct decision *decision, char ret_line[static DECISION_LINE_SIZE])
{
        char comm[ESCAPED_SIZE(KERNEL_COMM_SIZE)], chain[32] = "", failure[64], took[40] = "";
        char switches[64] = "";

        if (decision->chain > 0)
                snprintf(chain, sizeof(chain), " chain=%u", decision->chain);
        if (decision->has_switches)
                snprintf(switches, sizeof(switches), " nvcsw=%llu nivcsw=%llu",
                         (unsigned long long)decision->switches.n_voluntary,
                         (unsigned long long)decision->switches.n_involuntary);
        if (decision->carried_out)
                snprintf(took, sizeof(took), " took_usec=%llu",
                         (unsigned long long)(decision->took / NSEC_PER_USEC));
        format_failure(decision, failure, sizeof(failure));
        snprintf(ret_line, DECISION_LINE_SIZE,
                 "%ssched_migrate_task: comm=%s pid=%d prio=%d orig_cpu=%u dest_cpu=%u rq=%u "
                 "why=%s%s load=%.2f:%.2f gain=%.2f%s%s%s%s",
                 decision->carried_out ? "" : "would: ",
                 escape_text(decision->comm, sizeof(decision->comm), comm), decision->tid,
                 decision->prio, decision->from, decision->to, decision->from,
                 move_reason_to_string(decision->reason), chain, (double)decision->load_from,
                 (double)decision->load_to, (double)decision->gain,
                 decision->reason == MOVE_ROTATE ? "s" : "", switches, took, failure);
}
