/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The text of /proc/schedstat (kernel/sched/stats.c, Documentation/scheduler/sched-stats.rst), in
 * versions 14 to 17 and with the further columns that some vendors append. Does no reading.
 *
 * Offline CPUs have no line. A CPU that the kernel does not balance has one, but no domain lines
 * behind it. The text has no mark at its end: one that was cut off between two lines looks like a
 * machine with fewer CPUs, and takes the domains from its last one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "base/time.h"

struct schedstat_cpu {
        unsigned cpu;          /* below CPUSET_MAX */
        nsec_t run_delay_nsec; /* since boot; some documents of the kernel say jiffies: wrong */
        bool has_domain;
};

/* Reads on through the text, which must outlive it. */
struct schedstat_reader {
        struct scanner rest;
        uint64_t version;
        int last_cpu; /* -1 before the first */
};

/*
 * Starts at the head of the text. Returns 0, or -EPROTO where it is no head or of a version before
 * 14. A version after 17 is taken, but then no line of a CPU may have more or fewer numbers than
 * version 17 has.
 */
int schedstat_begin(struct schedstat_reader *reader, const char *text, size_t length);

/* The next CPU, in ascending order of their numbers. Returns 1, 0 behind the last one, or -EPROTO
 * where the text is not understood: then nothing that it said before is to be trusted either. */
int schedstat_next(struct schedstat_reader *reader, struct schedstat_cpu *ret);
