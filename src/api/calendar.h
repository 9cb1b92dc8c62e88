/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Times of CLOCK_BOOTTIME as the calendar has them (CLOCK_REALTIME). Both go on while the machine
 * sleeps, and both are slowed down or hurried alike: what one is ahead of the other changes only
 * when the clock is set.
 */

#include "base/time.h"

struct calendar {
        int64_t ahead; /* CLOCK_REALTIME of CLOCK_BOOTTIME, in nanoseconds */
};

/* CLOCK_REALTIME, read between two readings of CLOCK_BOOTTIME. */
struct calendar_reading {
        nsec_t before, realtime, after;
};

/* The best of some readings. */
struct calendar_reading calendar_read(void);
void calendar_init(struct calendar *calendar, const struct calendar_reading *reading);
/* Goes by READING if the clock was set since, by 10 milliseconds at least. One that took longer
 * than that cannot tell. */
void calendar_correct(struct calendar *calendar, const struct calendar_reading *reading);
/* AT, CLOCK_BOOTTIME, as the calendar has it by the last correction: later is later; 0 for what it
 * puts before 1970. */
nsec_t calendar_realtime(const struct calendar *calendar, nsec_t at);
