/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Times and spans are counts of nanoseconds in a nsec_t; a name says its clock where it matters. */

#include <stdint.h>
#include <time.h>

typedef uint64_t nsec_t;

#define NSEC_PER_USEC ((nsec_t)1000)
#define NSEC_PER_MSEC ((nsec_t)1000000)
#define NSEC_PER_SEC  ((nsec_t)1000000000)
#define NSEC_INFINITY UINT64_MAX

/* Reads a clock of clock_gettime(2). Cannot fail for the clocks that Linux 5.10 has. */
static inline nsec_t clock_now_nsec(clockid_t clock)
{
        struct timespec ts = {0};

        (void)clock_gettime(clock, &ts);
        return (nsec_t)ts.tv_sec * NSEC_PER_SEC + (nsec_t)ts.tv_nsec;
}

static inline double nsec_to_sec(nsec_t nsec)
{
        return (double)nsec / (double)NSEC_PER_SEC;
}
