/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/words.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/macro.h"

/* Numbers of this size and more have too many digits to be read. */
#define UNREADABLE 1e9

static const struct unit {
        nsec_t nsec;
        const char *name;
        bool has_smaller; /* the next one is told beside it; otherwise a tenth is */
} units[] = {
        {86400 * NSEC_PER_SEC, "d", true},
        {3600 * NSEC_PER_SEC, "h", true},
        {60 * NSEC_PER_SEC, "min", true},
        {NSEC_PER_SEC, "s", false},
        {NSEC_PER_MSEC, "ms", false},
        {NSEC_PER_USEC, "us", false},
        {1, "ns", false},
};

char *format_span(nsec_t span, char ret[static WORDS_SIZE])
{
        const struct unit *unit = units;
        nsec_t whole, rest, tenths;
        int n;

        if (span == 0 || span == NSEC_INFINITY) {
                (void)snprintf(ret, WORDS_SIZE, "%s", span == 0 ? "0" : "infinity");
                return ret;
        }
        while (span < unit->nsec)
                unit++;
        whole = span / unit->nsec;
        rest = unit->has_smaller ? span % unit->nsec / unit[1].nsec : 0;
        tenths = span % unit->nsec * 10 / unit->nsec;
        n = snprintf(ret, WORDS_SIZE, "%" PRIu64, whole);
        if (!unit->has_smaller && whole < 10 && tenths > 0)
                n += snprintf(ret + n, (size_t)(WORDS_SIZE - n), ".%" PRIu64, tenths);
        n += snprintf(ret + n, (size_t)(WORDS_SIZE - n), "%s", unit->name);
        if (rest > 0)
                (void)snprintf(ret + n, (size_t)(WORDS_SIZE - n), " %" PRIu64 "%s", rest,
                               unit[1].name);
        return ret;
}

char *format_age(nsec_t age, char ret[static WORDS_SIZE])
{
        if (age >= NSEC_PER_SEC)
                return format_span(age / NSEC_PER_SEC * NSEC_PER_SEC, ret);
        (void)snprintf(ret, WORDS_SIZE, "less than a second");
        return ret;
}

/* Returns the fraction, or -1 where RET could not be filled in. */
static int64_t split(int64_t usec, struct tm *ret)
{
        time_t seconds = (time_t)(usec / 1000000);

        return usec >= 0 && localtime_r(&seconds, ret) ? usec % 1000000 : -1;
}

char *format_moment(int64_t usec, char ret[static WORDS_SIZE])
{
        static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        struct tm tm;
        int64_t fraction = split(usec, &tm);

        if (fraction < 0)
                (void)snprintf(ret, WORDS_SIZE, "?");
        else
                (void)snprintf(ret, WORDS_SIZE, "%s %02d %02d:%02d:%02d.%03d", months[tm.tm_mon],
                               tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                               (int)(fraction / 1000));
        return ret;
}

char *format_date(int64_t usec, char ret[static WORDS_SIZE])
{
        struct tm tm;

        if (split(usec, &tm) < 0 || strftime(ret, WORDS_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void)snprintf(ret, WORDS_SIZE, "?");
        return ret;
}

char *format_number(double number, char ret[static WORDS_SIZE])
{
        bool readable = number > -UNREADABLE && number < UNREADABLE;

        (void)snprintf(ret, WORDS_SIZE, readable ? "%.2f" : "%.2e", number);
        return ret;
}

char *format_share(double share, char ret[static WORDS_SIZE])
{
        bool readable = share > -UNREADABLE && share < UNREADABLE;

        (void)snprintf(ret, WORDS_SIZE, readable ? "%.0f%%" : "%.2e%%", share * 100);
        return ret;
}
