/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/settings.h"

#include <errno.h>

#include "base/macro.h"
#include "base/parse.h"

enum setting_kind {
        SETTING_BOOL,
        SETTING_SPAN,
        SETTING_SPAN_OR_OFF,
        SETTING_ACROSS_NODES,
};

struct setting {
        const char *key;
        enum setting_kind kind;
        size_t offset;
        nsec_t min, max; /* of spans */
        const char *expected;
};

#define EXPECTED_BOOL "true or false"

static const struct setting table[] = {
        {"balance.unbalanced", SETTING_BOOL, offsetof(struct settings, balance.unbalanced), 0, 0,
         EXPECTED_BOOL},
        {"balance.stuckThreads", SETTING_BOOL, offsetof(struct settings, balance.stuck_threads), 0,
         0, EXPECTED_BOOL},
        {"balance.rotate", SETTING_SPAN_OR_OFF, offsetof(struct settings, balance.rotate),
         100 * NSEC_PER_MSEC, 3600 * NSEC_PER_SEC, "off, or a time from 100ms to 1h"},
        {"balance.acrossNodes", SETTING_ACROSS_NODES,
         offsetof(struct settings, balance.across_nodes), 0, 0, "never, stuck or always"},
        {"balance.realtime", SETTING_BOOL, offsetof(struct settings, balance.realtime), 0, 0,
         EXPECTED_BOOL},
        {"balance.tick", SETTING_SPAN, offsetof(struct settings, balance.tick), NSEC_PER_MSEC,
         NSEC_PER_SEC, "a time from 1ms to 1s"},
        {"balance.quietTick", SETTING_SPAN, offsetof(struct settings, balance.quiet_tick),
         100 * NSEC_PER_MSEC, 60 * NSEC_PER_SEC, "a time from 100ms to 1min"},
        {"taskstats", SETTING_BOOL, offsetof(struct settings, taskstats), 0, 0, EXPECTED_BOOL},
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
                .taskstats = false,
        };
}

static int set_span(const struct setting *setting, nsec_t *span, const char *value)
{
        nsec_t parsed;
        int r;

        r = parse_nsec(value, &parsed);
        if (r < 0)
                return r;
        if (parsed < setting->min || parsed > setting->max)
                return -ERANGE;
        *span = parsed;
        return 0;
}

static int set_across_nodes(enum across_nodes *across, const char *value)
{
        if (streq(value, "never"))
                *across = ACROSS_NODES_NEVER;
        else if (streq(value, "stuck"))
                *across = ACROSS_NODES_STUCK;
        else if (streq(value, "always"))
                *across = ACROSS_NODES_ALWAYS;
        else
                return -EINVAL;
        return 0;
}

static int set_one(const struct setting *setting, void *field, const char *value)
{
        switch (setting->kind) {
        case SETTING_BOOL:
                return parse_bool(value, field);
        case SETTING_SPAN_OR_OFF:
                if (streq(value, "off")) {
                        *(nsec_t *)field = NSEC_INFINITY;
                        return 0;
                }
                return set_span(setting, field, value);
        case SETTING_SPAN:
                return set_span(setting, field, value);
        case SETTING_ACROSS_NODES:
                return set_across_nodes(field, value);
        }
        abort();
}

int settings_set(struct settings *settings, const char *key, const char *value,
                 const char **ret_expected)
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                int r;

                if (!streq(key, table[i].key))
                        continue;
                r = set_one(&table[i], (char *)settings + table[i].offset, value);
                if (r < 0)
                        *ret_expected = table[i].expected;
                return r;
        }
        return -ENOENT;
}

const char *settings_key(size_t i)
{
        return i < ARRAY_SIZE(table) ? table[i].key : NULL;
}
