/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "base/macro.h"
#include "engine/threads.h"

/* A kernel that only opens threads, and runs out of descriptors. */
struct stub {
        struct kernel kernel;
        int n_open, max_open;
        int next;
        pid_t gone;
};

static int stub_open_thread(struct kernel *kernel, pid_t tgid, pid_t tid)
{
        struct stub *stub = CONTAINER_OF(kernel, struct stub, kernel);

        (void)tgid;
        if (tid == stub->gone)
                return -ESRCH;
        if (stub->n_open >= stub->max_open)
                return -EMFILE;
        stub->n_open++;
        return stub->next++;
}

static void stub_close_thread(struct kernel *kernel, int handle)
{
        assert_true(handle >= 0);
        CONTAINER_OF(kernel, struct stub, kernel)->n_open--;
}

static const struct kernel_ops stub_ops = {
        .open_thread = stub_open_thread,
        .close_thread = stub_close_thread,
};

struct fixture {
        struct stub stub;
        struct thread_table table;
};

static void setup(struct fixture *f, unsigned max_hot, int max_open)
{
        f->stub = (struct stub){.kernel = {&stub_ops}, .max_open = max_open};
        threads_init(&f->table, max_hot);
        for (pid_t tid = 1; tid <= 10; tid++) {
                struct thread *thread;

                assert_int_equal(threads_add(&f->table, 1, tid, &thread), 0);
        }
}

static void teardown(struct fixture *f)
{
        threads_done(&f->table, &f->stub.kernel);
        assert_int_equal(f->stub.n_open, 0);
        assert_int_equal(f->table.n_threads, 0);
}

static int heat(struct fixture *f, pid_t tid)
{
        return threads_heat(&f->table, &f->stub.kernel, threads_find(&f->table, tid));
}

static bool is_hot(struct fixture *f, pid_t tid)
{
        return threads_find(&f->table, tid)->hot;
}

/* The full table gives up the thread that has been quiet longest. */
static void test_least_recently_active_goes(void **state)
{
        struct fixture f;

        (void)state;
        setup(&f, 3, 100);
        for (pid_t tid = 1; tid <= 3; tid++)
                assert_int_equal(heat(&f, tid), 0);
        threads_touch(&f.table, threads_find(&f.table, 1)->hot, 5);
        assert_int_equal(heat(&f, 4), 0);
        assert_int_equal(f.table.n_hot, 3);
        assert_true(is_hot(&f, 1) && is_hot(&f, 3) && is_hot(&f, 4));
        assert_false(is_hot(&f, 2));
        teardown(&f);
}

/* Out of descriptors: the table shrinks to what there is, and goes on. */
static void test_out_of_descriptors(void **state)
{
        struct fixture f;

        (void)state;
        setup(&f, 100, 4);
        for (pid_t tid = 1; tid <= 10; tid++)
                assert_int_equal(heat(&f, tid), 0);
        assert_in_range(f.table.n_hot, 1, 4);
        assert_true(is_hot(&f, 10));
        assert_int_equal(f.table.n_threads, 10);
        teardown(&f);
}

static void test_no_descriptor_at_all(void **state)
{
        struct fixture f;

        (void)state;
        setup(&f, 100, 0);
        assert_int_equal(heat(&f, 1), -EMFILE);
        assert_false(is_hot(&f, 1));
        f.stub.max_open = 1;
        assert_int_equal(heat(&f, 1), 0);
        teardown(&f);
}

static void test_gone(void **state)
{
        struct fixture f;

        (void)state;
        setup(&f, 100, 100);
        f.stub.gone = 5;
        assert_int_equal(heat(&f, 5), -ESRCH);
        threads_remove(&f.table, &f.stub.kernel, threads_find(&f.table, 5));
        assert_null(threads_find(&f.table, 5));
        assert_int_equal(f.table.n_threads, 9);
        teardown(&f);
}

/* Cold threads come in turn, each once in a round, whatever becomes hot and cold meanwhile. */
static void test_turns(void **state)
{
        struct fixture f;
        unsigned seen = 0;

        (void)state;
        setup(&f, 100, 100);
        assert_int_equal(heat(&f, 3), 0);
        for (int i = 0; i < 9; i++)
                seen |= 1U << threads_next_cold(&f.table)->tid;
        assert_int_equal(seen, 0x7fe & ~(1U << 3));
        threads_cool(&f.table, &f.stub.kernel, threads_find(&f.table, 3));
        seen = 0;
        for (int i = 0; i < 10; i++)
                seen |= 1U << threads_next_cold(&f.table)->tid;
        assert_int_equal(seen, 0x7fe);
        teardown(&f);
        assert_null(threads_next_cold(&f.table));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_least_recently_active_goes),
                cmocka_unit_test(test_out_of_descriptors),
                cmocka_unit_test(test_no_descriptor_at_all),
                cmocka_unit_test(test_gone),
                cmocka_unit_test(test_turns),
        };

        return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
