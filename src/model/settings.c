/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/settings.h"

#include <errno.h>
#include <stdio.h>

#include "base/macro.h"
#include "base/parse.h"

static const char *const across_nodes_words[] = {"never", "stuck", "always", NULL};
static const char *const push_victims_words[] = {"same-user", "any", NULL};
static const char *const observe_words[] = {"own", "all", NULL};

#define NSEC_PER_MIN  (60 * NSEC_PER_SEC)
#define NSEC_PER_HOUR (60 * NSEC_PER_MIN)
#define NSEC_PER_DAY  (24 * NSEC_PER_HOUR)

#define FIELD(field)          .offset = offsetof(struct settings, field)
#define BOOL                  .kind = SETTING_BOOL, .expected = "true or false"
#define RANGE(from, to, text) .min = (from), .max = (to), .expected = (text)
#define WORD(list, text)      .kind = SETTING_WORD, .words = (list), .expected = (text)
#define WITHOUT_EFFECT        .without_effect = true

static const struct setting table[] = {
        {"balance.unbalanced", BOOL, FIELD(balance.unbalanced)},
        {"balance.stuckThreads", BOOL, FIELD(balance.stuck_threads)},
        {"balance.rotate", SETTING_SPAN_OR_OFF, FIELD(balance.rotate),
         RANGE(100 * NSEC_PER_MSEC, NSEC_PER_HOUR,
               "off, or a time with its unit, such as 1s, from 100ms to 1h")},
        {"balance.acrossNodes", WORD(across_nodes_words, "never, stuck or always"),
         FIELD(balance.across_nodes)},
        {"balance.realtime", BOOL, FIELD(balance.realtime)},
        {"balance.tick", SETTING_SPAN, FIELD(balance.tick),
         RANGE(NSEC_PER_MSEC, NSEC_PER_SEC, "a time with its unit, such as 20ms, from 1ms to 1s")},
        {"balance.quietTick", SETTING_SPAN, FIELD(balance.quiet_tick),
         RANGE(100 * NSEC_PER_MSEC, NSEC_PER_MIN,
               "a time with its unit, such as 1s, from 100ms to 1min")},
        {"push.enabled", BOOL, FIELD(push.enabled), WITHOUT_EFFECT},
        {"push.victims", WORD(push_victims_words, "same-user or any"), FIELD(push.victims),
         WITHOUT_EFFECT},
        {"push.realtime", BOOL, FIELD(push.realtime), WITHOUT_EFFECT},
        {"windows.defaultLength", SETTING_SPAN, FIELD(windows.default_length),
         RANGE(NSEC_PER_MSEC, NSEC_PER_DAY, "a time with its unit, such as 1s, from 1ms to 1d"),
         WITHOUT_EFFECT},
        {"windows.maxLength", SETTING_SPAN, FIELD(windows.max_length),
         RANGE(NSEC_PER_MSEC, NSEC_PER_DAY, "a time with its unit, such as 1s, from 1ms to 1d"),
         WITHOUT_EFFECT},
        {"windows.libraryMaxLength", SETTING_SPAN, FIELD(windows.library_max_length),
         RANGE(NSEC_PER_MSEC, NSEC_PER_DAY, "a time with its unit, such as 1s, from 1ms to 1d"),
         WITHOUT_EFFECT},
        {"windows.privilegedMaxLength", SETTING_SPAN_OR_INFINITY,
         FIELD(windows.privileged_max_length),
         RANGE(NSEC_PER_MSEC, NSEC_PER_DAY,
               "infinity, or a time with its unit, such as 1s, from 1ms to 1d"),
         WITHOUT_EFFECT},
        {"windows.perUser", SETTING_NUMBER, FIELD(windows.per_user),
         RANGE(0, 65536, "a whole number from 0 to 65536"), WITHOUT_EFFECT},
        {"windows.perCpu", SETTING_NUMBER, FIELD(windows.per_cpu),
         RANGE(0, 65536, "a whole number from 0 to 65536"), WITHOUT_EFFECT},
        {"windows.connectionsPerUser", SETTING_NUMBER, FIELD(windows.connections_per_user),
         RANGE(1, 1024, "a whole number from 1 to 1024")},
        {"windows.housekeepingCpus", SETTING_NUMBER, FIELD(windows.housekeeping_cpus),
         RANGE(0, 8192, "a whole number from 0 to 8192"), WITHOUT_EFFECT},
        {"observe", WORD(observe_words, "own or all"), FIELD(observe)},
        {"taskstats", BOOL, FIELD(taskstats)},
};

_Static_assert(ARRAY_SIZE(table) == SETTINGS_COUNT, "SETTINGS_COUNT is not what the table has");

/* The first may not be greater than the second. All are spans. */
static const struct {
        const char *lesser, *greater;
} orders[] = {
        {"balance.tick", "balance.quietTick"},
        {"windows.defaultLength", "windows.maxLength"},
        {"windows.libraryMaxLength", "windows.maxLength"},
        {"windows.maxLength", "windows.privilegedMaxLength"},
};

void settings_init(struct settings *settings)
{
        *settings = (struct settings){
                .balance =
                        {
                                .unbalanced = true,
                                .stuck_threads = true,
                                .rotate = NSEC_PER_SEC,
                                .across_nodes = ACROSS_NODES_STUCK,
                                .realtime = false,
                                .tick = 20 * NSEC_PER_MSEC,
                                .quiet_tick = NSEC_PER_SEC,
                        },
                .push =
                        {
                                .enabled = true,
                                .victims = PUSH_VICTIMS_SAME_USER,
                                .realtime = false,
                        },
                .windows =
                        {
                                .default_length = NSEC_PER_SEC,
                                .max_length = 10 * NSEC_PER_SEC,
                                .library_max_length = NSEC_PER_SEC,
                                .privileged_max_length = NSEC_INFINITY,
                                .per_user = 64,
                                .per_cpu = 8,
                                .connections_per_user = 32,
                                .housekeeping_cpus = 1,
                        },
                .observe = OBSERVE_OWN,
                .taskstats = false,
        };
}

static bool in_range(const struct setting *setting, uint64_t value)
{
        return value >= setting->min && value <= setting->max;
}

static int set_span(const struct setting *setting, nsec_t *span, const char *value)
{
        nsec_t parsed;
        int r;

        r = parse_nsec(value, &parsed);
        if (r < 0)
                return r;
        if (!in_range(setting, parsed))
                return -ERANGE;
        *span = parsed;
        return 0;
}

/* UNLIMITED is the word for a span without end. */
static int set_long_span(const struct setting *setting, nsec_t *span, const char *value,
                         const char *unlimited)
{
        if (!streq(value, unlimited))
                return set_span(setting, span, value);
        *span = NSEC_INFINITY;
        return 0;
}

static int set_number(const struct setting *setting, unsigned *number, const char *value)
{
        uint64_t parsed;
        int r;

        r = parse_u64(value, &parsed);
        if (r < 0)
                return r;
        if (!in_range(setting, parsed))
                return -ERANGE;
        *number = (unsigned)parsed;
        return 0;
}

/* An enumeration without negative values is an unsigned number (gcc's manual, "Structures, Unions,
 * Enumerations, and Bit-Fields"). */
static int set_word(const struct setting *setting, unsigned *field, const char *value)
{
        for (unsigned i = 0; setting->words[i]; i++)
                if (streq(value, setting->words[i])) {
                        *field = i;
                        return 0;
                }
        return -EINVAL;
}

static int set_one(const struct setting *setting, void *field, const char *value)
{
        switch (setting->kind) {
        case SETTING_BOOL:
                return parse_bool(value, field);
        case SETTING_SPAN:
                return set_span(setting, field, value);
        case SETTING_SPAN_OR_OFF:
                return set_long_span(setting, field, value, "off");
        case SETTING_SPAN_OR_INFINITY:
                return set_long_span(setting, field, value, "infinity");
        case SETTING_NUMBER:
                return set_number(setting, field, value);
        case SETTING_WORD:
                return set_word(setting, field, value);
        }
        abort();
}

const struct setting *settings_at(size_t i)
{
        return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}

size_t settings_index(const struct setting *setting)
{
        return (size_t)(setting - table);
}

const struct setting *settings_find(const char *key)
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (streq(key, table[i].key))
                        return &table[i];
        return NULL;
}

int settings_set(struct settings *settings, const char *key, const char *value,
                 const char **ret_expected)
{
        const struct setting *setting = settings_find(key);
        int r;

        if (!setting)
                return -ENOENT;
        r = set_one(setting, (char *)settings + setting->offset, value);
        if (r < 0)
                *ret_expected = setting->expected;
        return r;
}

static const void *field_of(const struct settings *settings, const struct setting *setting)
{
        return (const char *)settings + setting->offset;
}

static void get_long_span(nsec_t span, const char *unlimited, char *ret)
{
        if (span == NSEC_INFINITY)
                (void)snprintf(ret, SETTING_TEXT_SIZE, "%s", unlimited);
        else
                (void)format_nsec(span, ret);
}

char *settings_get(const struct settings *settings, const struct setting *setting,
                   char ret[static SETTING_TEXT_SIZE])
{
        const void *field = field_of(settings, setting);

        switch (setting->kind) {
        case SETTING_BOOL:
                (void)snprintf(ret, SETTING_TEXT_SIZE, *(const bool *)field ? "true" : "false");
                return ret;
        case SETTING_SPAN:
        case SETTING_SPAN_OR_INFINITY:
                return format_nsec(*(const nsec_t *)field, ret);
        case SETTING_SPAN_OR_OFF:
                get_long_span(*(const nsec_t *)field, "off", ret);
                return ret;
        case SETTING_NUMBER:
                (void)snprintf(ret, SETTING_TEXT_SIZE, "%u", *(const unsigned *)field);
                return ret;
        case SETTING_WORD:
                (void)snprintf(ret, SETTING_TEXT_SIZE, "%s",
                               setting->words[*(const unsigned *)field]);
                return ret;
        }
        abort();
}

bool settings_next_conflict(const struct settings *settings, size_t *cursor,
                            struct settings_conflict *ret)
{
        while (*cursor < ARRAY_SIZE(orders)) {
                const struct setting *lesser = settings_find(orders[*cursor].lesser);
                const struct setting *greater = settings_find(orders[*cursor].greater);

                (*cursor)++;
                if (!lesser || !greater)
                        abort(); /* the list names settings that there are */
                if (*(const nsec_t *)field_of(settings, lesser) <=
                    *(const nsec_t *)field_of(settings, greater))
                        continue;
                *ret = (struct settings_conflict){lesser, greater};
                return true;
        }
        return false;
}
