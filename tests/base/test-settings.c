/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "base/parse.h"
#include "model/settings.h"

/* The whole of DESIGN's default table, as text. */
static const struct {
        const char *key, *text;
} defaults[] = {
        {"balance.unbalanced", "true"},
        {"balance.stuckThreads", "true"},
        {"balance.rotate", "1s"},
        {"balance.acrossNodes", "stuck"},
        {"balance.realtime", "false"},
        {"balance.tick", "20ms"},
        {"balance.quietTick", "1s"},
        {"push.enabled", "true"},
        {"push.victims", "same-user"},
        {"push.realtime", "false"},
        {"windows.defaultLength", "1s"},
        {"windows.maxLength", "10s"},
        {"windows.libraryMaxLength", "1s"},
        {"windows.privilegedMaxLength", "infinity"},
        {"windows.perUser", "64"},
        {"windows.perCpu", "8"},
        {"windows.connectionsPerUser", "32"},
        {"windows.housekeepingCpus", "1"},
        {"observe", "own"},
        {"taskstats", "false"},
};

static void test_defaults(void **state)
{
        struct settings settings;

        (void)state;
        settings_init(&settings);
        for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
                char text[SETTING_TEXT_SIZE];

                assert_string_equal(settings_at(i)->key, defaults[i].key);
                assert_string_equal(settings_get(&settings, settings_at(i), text),
                                    defaults[i].text);
        }
        assert_null(settings_at(ARRAY_SIZE(defaults)));
        assert_null(settings_at(SIZE_MAX));
}

static void set(struct settings *settings, const char *key, const char *value)
{
        const char *expected = NULL;

        assert_int_equal(settings_set(settings, key, value, &expected), 0);
        assert_null(expected);
}

/* Each setting reaches a field of its own. */
static void test_set(void **state)
{
        struct settings s;

        (void)state;
        settings_init(&s);
        set(&s, "balance.unbalanced", "false");
        assert_false(s.balance.unbalanced);
        set(&s, "balance.stuckThreads", "no");
        assert_false(s.balance.stuck_threads);
        set(&s, "balance.rotate", "off");
        assert_int_equal(s.balance.rotate, NSEC_INFINITY);
        set(&s, "balance.acrossNodes", "never");
        assert_int_equal(s.balance.across_nodes, ACROSS_NODES_NEVER);
        set(&s, "balance.acrossNodes", "always");
        assert_int_equal(s.balance.across_nodes, ACROSS_NODES_ALWAYS);
        set(&s, "balance.realtime", "on");
        assert_true(s.balance.realtime);
        set(&s, "balance.tick", "1ms");
        assert_int_equal(s.balance.tick, NSEC_PER_MSEC);
        set(&s, "balance.quietTick", "1min");
        assert_int_equal(s.balance.quiet_tick, 60 * NSEC_PER_SEC);
        set(&s, "push.enabled", "0");
        assert_false(s.push.enabled);
        set(&s, "push.victims", "any");
        assert_int_equal(s.push.victims, PUSH_VICTIMS_ANY);
        set(&s, "push.realtime", "yes");
        assert_true(s.push.realtime);
        set(&s, "windows.defaultLength", "2ms");
        assert_int_equal(s.windows.default_length, 2 * NSEC_PER_MSEC);
        set(&s, "windows.maxLength", "3ms");
        assert_int_equal(s.windows.max_length, 3 * NSEC_PER_MSEC);
        set(&s, "windows.libraryMaxLength", "4ms");
        assert_int_equal(s.windows.library_max_length, 4 * NSEC_PER_MSEC);
        set(&s, "windows.privilegedMaxLength", "5ms");
        assert_int_equal(s.windows.privileged_max_length, 5 * NSEC_PER_MSEC);
        set(&s, "windows.privilegedMaxLength", "infinity");
        assert_int_equal(s.windows.privileged_max_length, NSEC_INFINITY);
        set(&s, "windows.perUser", "0");
        assert_int_equal(s.windows.per_user, 0);
        set(&s, "windows.perCpu", "65536");
        assert_int_equal(s.windows.per_cpu, 65536);
        set(&s, "windows.connectionsPerUser", "1");
        assert_int_equal(s.windows.connections_per_user, 1);
        set(&s, "windows.housekeepingCpus", "7");
        assert_int_equal(s.windows.housekeeping_cpus, 7);
        set(&s, "observe", "all");
        assert_int_equal(s.observe, OBSERVE_ALL);
        set(&s, "taskstats", "true");
        assert_true(s.taskstats);
}

static void test_refused(void **state)
{
        static const struct {
                const char *key, *value;
                int r;
        } all[] = {
                {"balance.unbalanced", "maybe", -EINVAL},
                {"balance.unbalanced", "", -EINVAL},
                {"balance.rotate", "99ms", -ERANGE},
                {"balance.rotate", "61min", -ERANGE},
                {"balance.rotate", "infinity", -ERANGE},
                {"balance.rotate", "0", -ERANGE},
                {"balance.rotate", "5", -EINVAL},
                {"balance.acrossNodes", "often", -EINVAL},
                {"balance.acrossNodes", "", -EINVAL},
                {"balance.tick", "999us", -ERANGE},
                {"balance.tick", "1001ms", -ERANGE},
                {"balance.tick", "infinity", -ERANGE},
                {"balance.tick", "off", -EINVAL},
                {"balance.quietTick", "99ms", -ERANGE},
                {"windows.maxLength", "infinity", -ERANGE},
                {"windows.privilegedMaxLength", "off", -EINVAL},
                {"windows.perUser", "-1", -EINVAL},
                {"windows.perUser", "65537", -ERANGE},
                {"windows.perUser", "18446744073709551616", -ERANGE},
                {"windows.perUser", "4294967297", -ERANGE},
                {"windows.connectionsPerUser", "0", -ERANGE},
                {"windows.connectionsPerUser", "1.0", -EINVAL},
        };
        struct settings settings, before;

        (void)state;
        memset(&settings, 0, sizeof(settings));
        settings_init(&settings);
        memcpy(&before, &settings, sizeof(before));
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                const char *expected = NULL;

                if (settings_set(&settings, all[i].key, all[i].value, &expected) != all[i].r)
                        fail_msg("not %d: %s=%s", all[i].r, all[i].key, all[i].value);
                assert_non_null(expected);
        }
        assert_memory_equal(&settings, &before, sizeof(before));
}

static void test_unknown(void **state)
{
        static const char *const keys[] = {"",     "balance",      "balance.", "balance.Tick",
                                           "tick", "balance.tick "};
        const char *expected = NULL;
        struct settings settings;

        (void)state;
        settings_init(&settings);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                assert_int_equal(settings_set(&settings, keys[i], "20ms", &expected), -ENOENT);
                assert_null(settings_find(keys[i]));
        }
        assert_null(expected);
}

static void append(char *text, size_t size, const char *more)
{
        size_t length = strlen(text);

        assert_true(length + strlen(more) < size);
        memcpy(text + length, more, strlen(more) + 1);
}

static void append_words(char *text, size_t size, const char *const *words)
{
        for (size_t i = 0; words[i]; i++) {
                if (i > 0)
                        append(text, size, words[i + 1] ? ", " : " or ");
                append(text, size, words[i]);
        }
}

/* The time that a refusal names, which would be taken. */
static char *example_of(const struct setting *setting, char ret[static 16])
{
        const char *at = strstr(setting->expected, "such as ");
        struct settings settings;
        const char *expected;

        assert_non_null(at);
        assert_int_equal(sscanf(at, "such as %15[^,],", ret), 1);
        settings_init(&settings);
        assert_int_equal(settings_set(&settings, setting->key, ret, &expected), 0);
        return ret;
}

static void append_range(char *text, size_t size, const struct setting *setting)
{
        char from[NSEC_TEXT_SIZE], to[NSEC_TEXT_SIZE], example[16], range[128];

        if (setting->kind == SETTING_NUMBER)
                (void)snprintf(range, sizeof(range), "a whole number from %u to %u",
                               (unsigned)setting->min, (unsigned)setting->max);
        else
                (void)snprintf(range, sizeof(range),
                               "a time with its unit, such as %s, from %s to %s",
                               example_of(setting, example), format_nsec(setting->min, from),
                               format_nsec(setting->max, to));
        append(text, size, range);
}

/* What refusals call for is what is accepted. */
static void test_expected(void **state)
{
        (void)state;
        for (size_t i = 0; settings_at(i); i++) {
                const struct setting *setting = settings_at(i);
                char text[256] = "";

                if (setting->kind == SETTING_BOOL)
                        append(text, sizeof(text), "true or false");
                if (setting->kind == SETTING_SPAN_OR_OFF)
                        append(text, sizeof(text), "off, or ");
                if (setting->kind == SETTING_SPAN_OR_INFINITY)
                        append(text, sizeof(text), "infinity, or ");
                if (setting->kind == SETTING_WORD)
                        append_words(text, sizeof(text), setting->words);
                else if (setting->kind != SETTING_BOOL)
                        append_range(text, sizeof(text), setting);
                assert_string_equal(setting->expected, text);
        }
}

/* The ends of every range are accepted, and come back as they were. */
static void test_ends(void **state)
{
        struct settings settings;

        (void)state;
        settings_init(&settings);
        for (size_t i = 0; settings_at(i); i++) {
                const struct setting *setting = settings_at(i);
                uint64_t ends[] = {setting->min, setting->max};

                if (setting->kind == SETTING_BOOL || setting->kind == SETTING_WORD)
                        continue;
                for (size_t j = 0; j < ARRAY_SIZE(ends); j++) {
                        char text[NSEC_TEXT_SIZE], again[SETTING_TEXT_SIZE];

                        if (setting->kind == SETTING_NUMBER)
                                (void)snprintf(text, sizeof(text), "%u", (unsigned)ends[j]);
                        else
                                (void)format_nsec(ends[j], text);
                        set(&settings, setting->key, text);
                        assert_string_equal(settings_get(&settings, setting, again), text);
                }
        }
}

static void test_words(void **state)
{
        struct settings settings;

        (void)state;
        settings_init(&settings);
        for (size_t i = 0; settings_at(i); i++) {
                const struct setting *setting = settings_at(i);

                for (size_t j = 0; setting->words && setting->words[j]; j++) {
                        char again[SETTING_TEXT_SIZE];

                        set(&settings, setting->key, setting->words[j]);
                        assert_string_equal(settings_get(&settings, setting, again),
                                            setting->words[j]);
                }
        }
}

static void test_conflicts(void **state)
{
        static const struct {
                const char *lesser, *too_much, *equal, *greater, *value;
        } all[] = {
                {"balance.tick", "201ms", "200ms", "balance.quietTick", "200ms"},
                {"windows.defaultLength", "2001ms", "2s", "windows.maxLength", "2s"},
                {"windows.libraryMaxLength", "2001ms", "2s", "windows.maxLength", "2s"},
                {"windows.maxLength", "11s", "10s", "windows.privilegedMaxLength", "10s"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                struct settings_conflict conflict;
                struct settings settings;
                size_t cursor = 0;

                settings_init(&settings);
                set(&settings, all[i].greater, all[i].value);
                set(&settings, all[i].lesser, all[i].equal);
                assert_false(settings_next_conflict(&settings, &cursor, &conflict));
                set(&settings, all[i].lesser, all[i].too_much);
                cursor = 0;
                assert_true(settings_next_conflict(&settings, &cursor, &conflict));
                assert_string_equal(conflict.lesser->key, all[i].lesser);
                assert_string_equal(conflict.greater->key, all[i].greater);
                assert_false(settings_next_conflict(&settings, &cursor, &conflict));
        }
}

static void test_all_conflicts_are_found(void **state)
{
        struct settings_conflict conflict;
        struct settings settings;
        size_t cursor = 0, n = 0;

        (void)state;
        settings_init(&settings);
        set(&settings, "balance.tick", "1s");
        set(&settings, "balance.quietTick", "100ms");
        set(&settings, "windows.defaultLength", "1d");
        set(&settings, "windows.libraryMaxLength", "1d");
        set(&settings, "windows.privilegedMaxLength", "1ms");
        while (settings_next_conflict(&settings, &cursor, &conflict))
                n++;
        assert_int_equal(n, 4);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_expected),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_conflicts),
                cmocka_unit_test(test_all_conflicts_are_found),
        };

        return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
