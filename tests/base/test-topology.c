/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/topology.h"

/* Two nodes of two caches of two cores of two threads, numbered as x86 firmware likes to: siblings
 * eight apart, nodes alternating; in no order. */
static void fill_seeds(struct topology_seed seeds[16])
{
        for (unsigned i = 0; i < 16; i++) {
                unsigned id = i * 7 % 16, thread = id % 8;

                seeds[i] = (struct topology_seed){
                        .id = id,
                        .node = thread % 2 * 10,    /* sparse */
                        .llc = thread / 2 % 2,      /* counts within its node */
                        .core = thread / 4 * 5 + 1, /* counts within its cache */
                        .capacity = 1,
                };
        }
}

static void assert_partition(const struct topology_range *ranges, unsigned n, unsigned n_cpus)
{
        unsigned next = 0;

        for (unsigned i = 0; i < n; i++) {
                assert_int_equal(ranges[i].first, next);
                assert_true(ranges[i].count > 0);
                next += ranges[i].count;
        }
        assert_int_equal(next, n_cpus);
}

static bool in_range(const struct topology_range *range, unsigned index)
{
        return index >= range->first && index < range->first + range->count;
}

static void test_order(void **state)
{
        static const unsigned ids[] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
        _cleanup_(topology_freep) struct topology *t = NULL;
        struct topology_seed seeds[16];

        (void)state;
        fill_seeds(seeds);
        assert_int_equal(topology_new(&t, seeds, 16), 0);
        assert_int_equal(t->n_cpus, 16);
        assert_int_equal(t->n_cores, 8);
        assert_int_equal(t->n_llcs, 4);
        assert_int_equal(t->n_nodes, 2);
        assert_partition(t->cores, t->n_cores, 16);
        assert_partition(t->llcs, t->n_llcs, 16);
        assert_partition(t->nodes, t->n_nodes, 16);
        for (unsigned i = 0; i < 16; i++) {
                assert_int_equal(t->cpus[i].id, ids[i]);
                assert_int_equal(topology_index(t, ids[i]), i);
                assert_true(in_range(&t->cores[t->cpus[i].core], i));
                assert_true(in_range(&t->llcs[t->cpus[i].llc], i));
                assert_true(in_range(&t->nodes[t->cpus[i].node], i));
        }
        assert_int_equal(topology_index(t, 16), -1);
        assert_int_equal(topology_index(t, UINT32_MAX), -1);
}

/* Offline CPUs leave holes among the ids, none among the indexes. */
static void test_holes(void **state)
{
        static const struct topology_seed seeds[] = {{.id = 100, .capacity = 0.5F},
                                                     {.id = 3, .core = 1, .capacity = 1}};
        _cleanup_(topology_freep) struct topology *t = NULL;

        (void)state;
        assert_int_equal(topology_new(&t, seeds, 2), 0);
        assert_int_equal(t->n_ids, 101);
        assert_int_equal(topology_index(t, 100), 0);
        assert_int_equal(topology_index(t, 3), 1);
        assert_int_equal(topology_index(t, 0), -1);
        assert_int_equal(topology_index(t, 99), -1);
        assert_true(t->cpus[0].capacity < 0.6F);
}

static void test_sets(void **state)
{
        _cleanup_cpuset_ struct cpuset ids = {0}, indexes = {0}, back = {0}, some = {0};
        _cleanup_(topology_freep) struct topology *t = NULL;
        struct topology_seed seeds[16];

        (void)state;
        fill_seeds(seeds);
        assert_int_equal(topology_new(&t, seeds, 16), 0);

        /* 8 and 4 are the second and third; 200 there is not. */
        assert_int_equal(cpuset_add(&ids, 4), 0);
        assert_int_equal(cpuset_add(&ids, 8), 0);
        assert_int_equal(cpuset_add(&ids, 200), 0);
        assert_int_equal(topology_to_indexes(t, &ids, &indexes), 0);
        assert_int_equal(cpuset_add_range(&some, 1, 2), 0);
        assert_true(cpuset_equal(&indexes, &some));

        assert_int_equal(cpuset_add(&indexes, 16), 0);
        assert_int_equal(topology_to_ids(t, &indexes, &back), 0);
        cpuset_remove(&ids, 200);
        assert_true(cpuset_equal(&back, &ids));
}

static void test_refused(void **state)
{
        static const struct {
                struct topology_seed seeds[2];
                unsigned n;
        } all[] = {
                {{{.id = 0, .capacity = 1}}, 0},
                {{{.id = 0, .capacity = 0}}, 1},
                {{{.id = 0, .capacity = -1}}, 1},
                {{{.id = 0, .capacity = 1.5F}}, 1},
                {{{.id = 0, .capacity = NAN}}, 1},
                {{{.id = CPUSET_MAX, .capacity = 1}}, 1},
                {{{.id = UINT32_MAX, .capacity = 1}}, 1},
                {{{.id = 4, .capacity = 1}, {.id = 4, .core = 1, .capacity = 1}}, 2},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                struct topology *t = NULL;

                assert_int_equal(topology_new(&t, all[i].seeds, all[i].n), -EINVAL);
                assert_null(t);
        }
        topology_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_holes),
                cmocka_unit_test(test_sets),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
