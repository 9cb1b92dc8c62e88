/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/calendar.h"

#include <stdlib.h>

#include "base/macro.h"

/* Readings differ by less while nobody sets the clock. */
#define CLOCK_STEADY (10 * NSEC_PER_MSEC)

static nsec_t span_of(const struct calendar_reading *reading)
{
        return reading->after - reading->before;
}

/* Between two readings the thread may lose its CPU: of some tries the quickest counts. */
struct calendar_reading calendar_read(void)
{
        struct calendar_reading best = {.after = NSEC_INFINITY};

        for (unsigned i = 0; i < 3; i++) {
                struct calendar_reading reading;

                reading.before = clock_now_nsec(CLOCK_BOOTTIME);
                reading.realtime = clock_now_nsec(CLOCK_REALTIME);
                reading.after = clock_now_nsec(CLOCK_BOOTTIME);
                if (span_of(&reading) < span_of(&best))
                        best = reading;
        }
        return best;
}

static int64_t ahead_by(const struct calendar_reading *reading)
{
        return (int64_t)reading->realtime - (int64_t)reading->before;
}

void calendar_init(struct calendar *calendar, const struct calendar_reading *reading)
{
        calendar->ahead = ahead_by(reading);
}

void calendar_correct(struct calendar *calendar, const struct calendar_reading *reading)
{
        int64_t ahead = ahead_by(reading);

        if (span_of(reading) < CLOCK_STEADY &&
            llabs(ahead - calendar->ahead) >= (int64_t)CLOCK_STEADY)
                calendar->ahead = ahead;
}

nsec_t calendar_realtime(const struct calendar *calendar, nsec_t at)
{
        int64_t realtime = (int64_t)at + calendar->ahead;

        return (nsec_t)MAX(realtime, 0);
}
