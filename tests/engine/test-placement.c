/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a thread of balancerd's own is kept, and by whom. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/placement.h"
#include "fake-kernel.h"

#define TID 11

struct fixture {
        struct fake_kernel *fake;
        struct kernel *kernel;
        struct fake_thread *thread;
        struct placement placement;
};

static void want(struct fixture *f, const char *list)
{
        struct cpuset wanted;

        assert_int_equal(cpuset_parse_list(list, strlen(list), &wanted), 0);
        placement_want(&f->placement, &wanted);
        assert_true(cpuset_is_empty(&wanted));
}

static void assert_list(const struct cpuset *set, const char *list)
{
        _cleanup_free_ char *found = NULL;

        assert_int_equal(cpuset_format_list(set, &found), 0);
        assert_string_equal(found, list);
}

/* A look that finds something new leaves the thread, and the mover, with the mask LIST. */
static void assert_placed(struct fixture *f, const char *list)
{
        assert_int_equal(placement_look(&f->placement, f->kernel), 1);
        assert_list(&f->thread->allowed, list);
        assert_int_equal(placement_look(&f->placement, f->kernel), 0);
}

/* A thread of a kernel with CPUs 0 to 3 that was put on 0 to 2. */
static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        f->fake = fake_kernel_new(4);
        if (!f->fake)
                return -1;
        f->kernel = fake_kernel_door(f->fake);
        f->thread = fake_thread_add(f->fake, getpid(), TID, 5, "0-3");
        placement_init(&f->placement, TID);
        want(f, "0-2");
        assert_placed(f, "0-2");
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        placement_done(&f->placement);
        kernel_free(f->kernel);
        free(f);
        return 0;
}

static void test_nothing_changes(void **state)
{
        struct fixture *f = *state;

        fake_fail(f->fake, FAKE_READ_CPUSET, 1, -EIO); /* not even asked for */
        for (int i = 0; i < 3; i++)
                assert_int_equal(placement_look(&f->placement, f->kernel), 0);
        assert_int_equal(f->thread->n_sets, 1);
        assert_list(placement_cpus(&f->placement), "0-2");
}

static void test_other_cpus_are_wanted(void **state)
{
        struct fixture *f = *state;

        want(f, "1,3");
        assert_placed(f, "1,3");
        assert_list(placement_cpus(&f->placement), "1,3");
}

/* What Linux 6.1 does at any change of a cpuset above. */
static void test_the_kernel_writes_the_cpuset_over_it(void **state)
{
        struct fixture *f = *state;

        fake_thread_set_mask(f->thread, "0-3");
        assert_placed(f, "0-2");
        fake_set_cpuset(f->fake, "1-3");
        fake_thread_set_mask(f->thread, "1-3");
        assert_placed(f, "1-2");
        assert_list(placement_cpus(&f->placement), "0-2");
}

/* What Linux 6.2 does: it keeps of the mask what the cpuset has. */
static void test_the_cpuset_is_narrowed(void **state)
{
        struct fixture *f = *state;

        fake_set_cpuset(f->fake, "1-3");
        fake_thread_set_mask(f->thread, "1-2");
        assert_placed(f, "1-2");
        want(f, "0,2-3");
        assert_placed(f, "2-3");
}

static void test_the_cpuset_has_nothing_that_is_wanted(void **state)
{
        struct fixture *f = *state;

        fake_set_cpuset(f->fake, "3");
        fake_thread_set_mask(f->thread, "3");
        assert_placed(f, "3");
        fake_set_cpuset(f->fake, "0-3");
        fake_thread_set_mask(f->thread, "0-3");
        assert_placed(f, "0-2");
}

/* Whatever is wanted meanwhile; until the kernel itself writes over it. */
static void test_the_choice_of_another_stays(void **state)
{
        struct fixture *f = *state;

        fake_thread_set_mask(f->thread, "2-3");
        assert_placed(f, "2-3");
        assert_list(placement_cpus(&f->placement), "2-3");
        want(f, "0-1");
        assert_placed(f, "2-3");
        fake_thread_set_mask(f->thread, "3");
        assert_placed(f, "3");
        fake_thread_set_mask(f->thread, "0-3");
        assert_placed(f, "0-1");
        assert_list(placement_cpus(&f->placement), "0-1");
}

/* Where the cpuset cannot be told, what was not set here is another's. */
static void test_the_cpuset_cannot_be_read(void **state)
{
        struct fixture *f = *state;

        fake_thread_set_mask(f->thread, "0-3");
        fake_fail(f->fake, FAKE_READ_CPUSET, 1, -EACCES);
        assert_placed(f, "0-3");
        fake_thread_set_mask(f->thread, "0-2");
        assert_placed(f, "0-2");
}

static void test_without_memory(void **state)
{
        struct fixture *f = *state;

        fake_fail(f->fake, FAKE_GET_AFFINITY, 1, -ENOMEM);
        assert_int_equal(placement_look(&f->placement, f->kernel), -ENOMEM);
        fake_thread_set_mask(f->thread, "0-3");
        fake_fail(f->fake, FAKE_READ_CPUSET, 1, -ENOMEM);
        assert_int_equal(placement_look(&f->placement, f->kernel), -ENOMEM);
        assert_placed(f, "0-2");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_nothing_changes),
                TEST(test_other_cpus_are_wanted),
                TEST(test_the_kernel_writes_the_cpuset_over_it),
                TEST(test_the_cpuset_is_narrowed),
                TEST(test_the_cpuset_has_nothing_that_is_wanted),
                TEST(test_the_choice_of_another_stays),
                TEST(test_the_cpuset_cannot_be_read),
                TEST(test_without_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
