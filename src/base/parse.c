/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "base/macro.h"

/* From small to large; each divides the next. */
static const struct {
        const char *name;
        nsec_t nsec;
} units[] = {
        {"ns", 1},
        {"us", NSEC_PER_USEC},
        {"ms", NSEC_PER_MSEC},
        {"s", NSEC_PER_SEC},
        {"min", 60 * NSEC_PER_SEC},
        {"h", 3600 * NSEC_PER_SEC},
        {"d", 86400 * NSEC_PER_SEC},
};

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

bool scan_end(const struct scanner *s)
{
        return s->at >= s->end;
}

bool scan_char(struct scanner *s, char c)
{
        if (scan_end(s) || *s->at != c)
                return false;
        s->at++;
        return true;
}

bool scan_prefix(struct scanner *s, const char *p)
{
        size_t length = strlen(p);

        if ((size_t)(s->end - s->at) < length || memcmp(s->at, p, length) != 0)
                return false;
        s->at += length;
        return true;
}

bool scan_u64(struct scanner *s, uint64_t *ret)
{
        const char *p = s->at;
        uint64_t value = 0;

        if (p >= s->end || !is_digit(*p))
                return false;
        for (; p < s->end && is_digit(*p); p++)
                if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
                        return false;
        s->at = p;
        *ret = value;
        return true;
}

bool scan_i64(struct scanner *s, int64_t *ret)
{
        struct scanner copy = *s;
        bool negative = scan_char(&copy, '-');
        uint64_t value;

        if (!scan_u64(&copy, &value) || value > (uint64_t)INT64_MAX + negative)
                return false;
        *s = copy;
        *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
        return true;
}

void scan_space(struct scanner *s)
{
        while (!scan_end(s) && (is_blank(*s->at) || *s->at == '\n'))
                s->at++;
}

void scan_blank(struct scanner *s)
{
        while (!scan_end(s) && is_blank(*s->at))
                s->at++;
}

bool scan_word(struct scanner *s, struct scanner *ret_word)
{
        const char *p = s->at;

        while (p < s->end && !is_blank(*p) && *p != '\n')
                p++;
        if (p == s->at)
                return false;
        *ret_word = (struct scanner){s->at, p};
        s->at = p;
        return true;
}

bool scan_line(struct scanner *s, struct scanner *ret_line)
{
        const char *newline;

        if (scan_end(s))
                return false;
        newline = memchr(s->at, '\n', (size_t)(s->end - s->at));
        *ret_line = (struct scanner){s->at, newline ? newline : s->end};
        s->at = newline ? newline + 1 : s->end;
        return true;
}

bool scanner_equals(const struct scanner *word, const char *text)
{
        size_t length = strlen(text);

        return (size_t)(word->end - word->at) == length && memcmp(word->at, text, length) == 0;
}

int parse_u64(const char *text, uint64_t *ret)
{
        struct scanner s = {text, text + strlen(text)};
        uint64_t value;

        if (scan_end(&s) || !is_digit(*s.at))
                return -EINVAL;
        if (!scan_u64(&s, &value))
                return -ERANGE;
        if (!scan_end(&s))
                return -EINVAL;
        *ret = value;
        return 0;
}

int parse_pid(const char *text, int *ret)
{
        uint64_t value;
        int r;

        r = parse_u64(text, &value);
        if (r < 0)
                return r;
        if (value == 0 || value > INT_MAX)
                return -ERANGE;
        *ret = (int)value;
        return 0;
}

int parse_bool(const char *text, bool *ret)
{
        static const char *const yes[] = {"true", "yes", "on", "1"};
        static const char *const no[] = {"false", "no", "off", "0"};

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
                if (streq(text, yes[i]) || streq(text, no[i])) {
                        *ret = streq(text, yes[i]);
                        return 0;
                }
        return -EINVAL;
}

/* Takes digits, with a fraction if there is one, as billionths of UNIT-less numbers: whole part and
 * nanounits. Digits of the fraction past the ninth are dropped. */
static bool scan_decimal(struct scanner *s, uint64_t *ret_whole, uint64_t *ret_nano)
{
        uint64_t nano = 0, scale = 100000000;

        if (!scan_u64(s, ret_whole))
                return false;
        if (scan_char(s, '.')) {
                if (scan_end(s) || !is_digit(*s->at))
                        return false;
                for (; !scan_end(s) && is_digit(*s->at); s->at++) {
                        nano += (uint64_t)(*s->at - '0') * scale;
                        scale /= 10;
                }
        }
        *ret_nano = nano;
        return true;
}

static bool scan_unit(struct scanner *s, nsec_t *ret_unit)
{
        const char *start = s->at;

        while (!scan_end(s) && *s->at >= 'a' && *s->at <= 'z')
                s->at++;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (scanner_equals(&(struct scanner){start, s->at}, units[i].name)) {
                        *ret_unit = units[i].nsec;
                        return true;
                }
        return false;
}

int parse_nsec(const char *text, nsec_t *ret)
{
        struct scanner s = {text, text + strlen(text)};
        nsec_t sum = 0;

        if (streq(text, "infinity")) {
                *ret = NSEC_INFINITY;
                return 0;
        }
        if (streq(text, "0")) {
                *ret = 0;
                return 0;
        }
        do {
                uint64_t whole, nano;
                nsec_t unit, part;

                if (!scan_decimal(&s, &whole, &nano))
                        return -EINVAL;
                scan_blank(&s);
                if (!scan_unit(&s, &unit))
                        return -EINVAL;
                part = (nsec_t)((unsigned __int128)nano * unit / NSEC_PER_SEC);
                if (__builtin_mul_overflow(whole, unit, &whole) ||
                    __builtin_add_overflow(whole, part, &part) ||
                    __builtin_add_overflow(sum, part, &sum) || sum == NSEC_INFINITY)
                        return -ERANGE;
                scan_blank(&s);
        } while (!scan_end(&s));
        *ret = sum;
        return 0;
}

char *format_nsec(nsec_t nsec, char ret[static NSEC_TEXT_SIZE])
{
        size_t unit = ARRAY_SIZE(units) - 1;

        if (nsec == 0 || nsec == NSEC_INFINITY) {
                (void)snprintf(ret, NSEC_TEXT_SIZE, nsec == 0 ? "0" : "infinity");
                return ret;
        }
        while (nsec % units[unit].nsec != 0)
                unit--;
        (void)snprintf(ret, NSEC_TEXT_SIZE, "%" PRIu64 "%s", nsec / units[unit].nsec,
                       units[unit].name);
        return ret;
}
