/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The last decisions, each with its reason, what it should gain and what became of it. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/time.h"
#include "engine/mover.h"
#include "kernel/kernel.h"
#include "model/move.h"

struct decision {
        nsec_t at; /* CLOCK_MONOTONIC, when it was carried out (observing: made) */
        /* The same by CLOCK_BOOTTIME, which goes on while the machine sleeps; later is later. */
        nsec_t boottime_at;
        pid_t tgid, tid;
        uint64_t start_ticks;        /* of the thread: a later one may have its number */
        uid_t uid;                   /* effective, when it was decided; UID_UNKNOWN: it was gone */
        char comm[KERNEL_COMM_SIZE]; /* foreign bytes: escape before showing */
        int prio;                    /* as the kernel counts: 120 + nice, 99 - rt_priority */
        unsigned from, to;           /* CPU numbers */
        enum move_reason reason;
        unsigned chain; /* one number for all its hops, not used again; 0: none */
        float gain;
        float load_from, load_to; /* demand on both CPUs before, in threads */
        bool has_switches;        /* `switches` could be read */
        struct kernel_switches
                switches;         /* of the thread so far: taken off its CPU often, it competes */
        bool carried_out;         /* false: only observed */
        enum mover_result result; /* if carried out */
        int error;
        nsec_t took;
};

#define UID_UNKNOWN ((uid_t)-1)

#define DECISIONS_MAX 4096U

struct decisions;

int decisions_new(struct decisions **ret);
void decisions_free(struct decisions *decisions);
void decisions_add(struct decisions *decisions, const struct decision *decision);

/* Decisions added so far; the last DECISIONS_MAX of them can be had. */
uint64_t decisions_count(const struct decisions *decisions);
/* The decision that was the NUMBERth added (0 the first), or NULL once it is overwritten. */
const struct decision *decisions_get(const struct decisions *decisions, uint64_t number);

#define DECISION_LINE_SIZE 448

/*
 * One line as the kernel's trace event sched_migrate_task prints it, with what balancerd adds:
 *   sched_migrate_task: comm=hog pid=4711 prio=120 orig_cpu=0 dest_cpu=1 rq=0 why=balance
 *   load=4.00:0.00 gain=3.00 nvcsw=3 nivcsw=214
 *   took_usec=12
 * (all on one line; gain=0.08s is lag in seconds, of why=rotate; nvcsw and nivcsw are
 * getrusage(2)'s). An observed one begins with "would: ", a failed one ends with its result.
 */
void decision_format(const struct decision *decision, char ret_line[static DECISION_LINE_SIZE]);
