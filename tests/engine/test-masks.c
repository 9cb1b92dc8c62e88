/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "engine/masks.h"

/* Four CPUs whose numbers are not in topology order: cores {0, 2} and {1, 3}. */
static struct topology *two_cores(void)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 1},
                {.id = 1, .core = 1, .capacity = 1},
                {.id = 2, .core = 0, .capacity = 1},
                {.id = 3, .core = 1, .capacity = 1},
        };
        struct topology *topology = NULL;

        assert_int_equal(topology_new(&topology, seeds, ARRAY_SIZE(seeds)), 0);
        return topology;
}

static int intern(struct mask_table *table, const struct topology *topology, const char *list)
{
        _cleanup_cpuset_ struct cpuset set = {0};

        assert_int_equal(cpuset_parse_list(list, strlen(list), &set), 0);
        return masks_intern(table, topology, &set);
}

static void test_interning(void **state)
{
        _cleanup_(topology_freep) struct topology *topology = two_cores();
        _cleanup_(masks_done) struct mask_table table = {0};
        _cleanup_cpuset_ struct cpuset wide = {0};
        int class;

        (void)state;
        class = intern(&table, topology, "0,2");
        assert_true(class >= 0);
        assert_int_equal(intern(&table, topology, "0,2"), class);
        assert_int_not_equal(intern(&table, topology, "0,1"), class);
        assert_int_equal(table.n_classes, 2);
        /* Indexes: CPU 2 is the sibling of CPU 0. */
        assert_true(cpuset_contains(&table.classes[class].cpus, 0));
        assert_true(cpuset_contains(&table.classes[class].cpus, 1));
        assert_int_equal(table.classes[class].n_cpus, 2);

        /* The width of a set is no part of it. */
        assert_int_equal(cpuset_add(&wide, 500), 0);
        cpuset_remove(&wide, 500);
        assert_int_equal(cpuset_add(&wide, 0), 0);
        assert_int_equal(cpuset_add(&wide, 2), 0);
        assert_int_equal(masks_intern(&table, topology, &wide), class);
}

static void test_offline(void **state)
{
        _cleanup_(topology_freep) struct topology *topology = two_cores();
        _cleanup_(masks_done) struct mask_table table = {0};
        int class;

        (void)state;
        assert_int_equal(intern(&table, topology, "7-9"), -ENODATA);
        assert_int_equal(intern(&table, topology, ""), -ENODATA);
        class = intern(&table, topology, "3,7");
        assert_true(class >= 0);
        assert_int_equal(table.classes[class].n_cpus, 1);
}

static void test_many(void **state)
{
        _cleanup_(topology_freep) struct topology *topology = two_cores();
        _cleanup_(masks_done) struct mask_table table = {0};

        (void)state;
        for (unsigned round = 0; round < 2; round++) {
                for (unsigned cpu = 4; cpu < 1000; cpu++) {
                        _cleanup_cpuset_ struct cpuset set = {0};

                        assert_int_equal(cpuset_add(&set, 1), 0);
                        assert_int_equal(cpuset_add(&set, cpu), 0);
                        assert_int_equal(masks_intern(&table, topology, &set), cpu - 4);
                }
                assert_int_equal(table.n_classes, 996);
        }
        masks_clear(&table);
        assert_int_equal(intern(&table, topology, "0-3"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_interning),
                cmocka_unit_test(test_offline),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests_name("masks", tests, NULL, NULL);
}
