/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "model/settings.h"

static void test_defaults(void **state)
{
        struct settings settings;

        (void)state;
        settings_init(&settings);
        assert_true(settings.balance.unbalanced);
        assert_true(settings.balance.stuck_threads);
        assert_int_equal(settings.balance.rotate, NSEC_PER_SEC);
        assert_int_equal(settings.balance.across_nodes, ACROSS_NODES_STUCK);
        assert_false(settings.balance.realtime);
        assert_int_equal(settings.balance.tick, 20 * NSEC_PER_MSEC);
        assert_int_equal(settings.balance.quiet_tick, NSEC_PER_SEC);
        assert_false(settings.taskstats);
}

static void test_set(void **state)
{
        static const struct {
                const char *key, *value;
        } all[] = {
                {"balance.unbalanced", "false"}, {"balance.stuckThreads", "no"},
                {"balance.rotate", "off"},       {"balance.acrossNodes", "never"},
                {"balance.realtime", "on"},      {"balance.tick", "1ms"},
                {"balance.quietTick", "1min"},   {"taskstats", "true"},
        };
        const char *expected = NULL;
        struct settings settings;

        (void)state;
        settings_init(&settings);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                assert_int_equal(settings_set(&settings, all[i].key, all[i].value, &expected), 0);
        assert_null(expected);
        assert_false(settings.balance.unbalanced);
        assert_false(settings.balance.stuck_threads);
        assert_int_equal(settings.balance.rotate, NSEC_INFINITY);
        assert_int_equal(settings.balance.across_nodes, ACROSS_NODES_NEVER);
        assert_true(settings.balance.realtime);
        assert_int_equal(settings.balance.tick, NSEC_PER_MSEC);
        assert_int_equal(settings.balance.quiet_tick, 60 * NSEC_PER_SEC);
        assert_true(settings.taskstats);
}

static void test_refused(void **state)
{
        static const struct {
                const char *key, *value;
                int r;
        } all[] = {
                {"balance.unbalanced", "maybe", -EINVAL}, {"balance.unbalanced", "", -EINVAL},
                {"balance.rotate", "99ms", -ERANGE},      {"balance.rotate", "61min", -ERANGE},
                {"balance.rotate", "infinity", -ERANGE},  {"balance.rotate", "0", -ERANGE},
                {"balance.rotate", "5", -EINVAL},         {"balance.acrossNodes", "often", -EINVAL},
                {"balance.tick", "999us", -ERANGE},       {"balance.tick", "1001ms", -ERANGE},
                {"balance.tick", "off", -EINVAL},         {"balance.quietTick", "99ms", -ERANGE},
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
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                assert_int_equal(settings_set(&settings, keys[i], "20ms", &expected), -ENOENT);
        assert_null(expected);
}

/* Every key that is listed can be set; the list ends, and says nothing twice. */
static void test_keys(void **state)
{
        struct settings settings;
        size_t n = 0;

        (void)state;
        settings_init(&settings);
        for (const char *key; (key = settings_key(n)); n++) {
                const char *expected = NULL;

                assert_int_equal(settings_set(&settings, key, "?", &expected), -EINVAL);
                assert_non_null(expected);
                for (size_t i = 0; i < n; i++)
                        assert_string_not_equal(key, settings_key(i));
        }
        assert_int_equal(n, 8);
        assert_null(settings_key(SIZE_MAX));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults), cmocka_unit_test(test_set),
                cmocka_unit_test(test_refused),  cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_keys),
        };

        return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
