/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The simulated machine as it looks through struct kernel. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "sim/kernel.h"

#define SEC  NSEC_PER_SEC
#define MSEC NSEC_PER_MSEC

struct bench {
        struct topology *topology;
        struct workload workload;
        struct machine *machine;
        struct kernel *kernel;
};

static void bench_done(struct bench *b)
{
        kernel_free(b->kernel);
        machine_free(b->machine);
        workload_done(&b->workload);
        topology_free(b->topology);
}

#define _cleanup_bench_ _cleanup_(bench_done)

/* Two cores of two CPUs each, numbered as on most PCs: indexes 0 1 2 3 are CPUs 0 2 1 3. */
static void bench_init(struct bench *b)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 1},
                {.id = 1, .core = 1, .capacity = 1},
                {.id = 2, .core = 0, .capacity = 1},
                {.id = 3, .core = 1, .capacity = 1},
        };

        *b = (struct bench){0};
        workload_init(&b->workload, 1);
        assert_int_equal(topology_new(&b->topology, seeds, ARRAY_SIZE(seeds)), 0);
}

static void add(struct bench *b, enum task_kind kind, unsigned index, nsec_t work)
{
        struct task_spec spec = {.kind = kind,
                                 .cpu = index,
                                 .work = work,
                                 .pause = 100 * MSEC,
                                 .nice = 3,
                                 .home_node = TASK_NO_HOME,
                                 .parent = -1};

        assert_true(workload_add(&b->workload, &spec) >= 0);
}

static void bench_start(struct bench *b, const struct sim_kernel_options *options)
{
        assert_int_equal(machine_new(&b->machine, b->topology, &b->workload, NULL), 0);
        assert_int_equal(sim_kernel_new(&b->kernel, b->machine, options), 0);
}

static void run_for(struct bench *b, nsec_t span)
{
        nsec_t end = b->machine->now + span;

        while (b->machine->now < end)
                assert_int_equal(machine_step(b->machine), 0);
}

static void test_cpu_numbers(void **state)
{
        _cleanup_bench_ struct bench b;
        _cleanup_(topology_freep) struct topology *topology = NULL;
        _cleanup_cpuset_ struct cpuset set = {0}, target = {0};
        struct kernel_thread thread;

        (void)state;
        bench_init(&b);
        add(&b, TASK_HOG, 1, 0);
        bench_start(&b, NULL);
        machine_set_balanced(b.machine, 0, 1, true);
        assert_int_equal(b.kernel->ops->read_topology(b.kernel, &topology), 0);
        assert_int_equal(topology->n_cores, 2);
        assert_int_equal(topology->cpus[1].id, 2);
        assert_int_equal(b.kernel->ops->read_unbalanced(b.kernel, &set), 0);
        assert_int_equal(cpuset_count(&set), 2);
        assert_true(cpuset_contains(&set, 1) && cpuset_contains(&set, 3));

        assert_int_equal(
                b.kernel->ops->read_thread(b.kernel, sim_kernel_tid(0), sim_kernel_tid(0), &thread),
                0);
        assert_int_equal(thread.cpu, 2);
        assert_int_equal(thread.state, 'R');
        assert_int_equal(thread.nice, 3);
        assert_string_equal(thread.comm, "hog");
        assert_int_equal(cpuset_add(&target, 1), 0);
        assert_int_equal(b.kernel->ops->set_affinity(b.kernel, sim_kernel_tid(0), &target), 0);
        assert_int_equal(b.machine->threads[0].cpu, 2);
        cpuset_done(&set);
        assert_int_equal(b.kernel->ops->get_affinity(b.kernel, sim_kernel_tid(0), &set), 0);
        assert_true(cpuset_equal(&set, &target));
        /* No CPU of the machine; then all ones, as what gives the whole back. */
        cpuset_clear(&target);
        assert_int_equal(cpuset_add(&target, 7), 0);
        assert_int_equal(b.kernel->ops->set_affinity(b.kernel, sim_kernel_tid(0), &target),
                         -EINVAL);
        assert_int_equal(cpuset_add_range(&target, 0, 99), 0);
        assert_int_equal(b.kernel->ops->set_affinity(b.kernel, sim_kernel_tid(0), &target), 0);
        assert_int_equal(cpuset_count(&b.machine->threads[0].mask), 4);
}

static void test_cpu_counters(void **state)
{
        _cleanup_bench_ struct bench b;
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};

        (void)state;
        bench_init(&b);
        add(&b, TASK_HOG, 0, 0);
        add(&b, TASK_HOG, 0, 0);
        bench_start(&b, NULL);
        run_for(&b, 129 * MSEC);
        assert_int_equal(b.kernel->ops->read_cpus(b.kernel, &cpus), 0);
        assert_int_equal(cpus.n_ids, 4);
        assert_true(cpus.has_run_delay);
        assert_int_equal(cpus.cpus[0].busy_nsec, 120 * MSEC);
        assert_int_equal(cpus.cpus[0].idle_nsec, 0);
        assert_int_equal(cpus.cpus[1].idle_nsec, 120 * MSEC);
        assert_true(cpus.cpus[0].run_delay_nsec > 100 * MSEC);
        assert_int_equal(cpus.n_runnable, 3);
        assert_int_equal(cpus.n_forks, 2);
}

static void test_missing_sources(void **state)
{
        static const struct sim_kernel_options nothing = {
                .no_pressure = true, .no_schedstat = true, .no_events = true};
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_bench_ struct bench b;
        struct kernel_event event;
        uint64_t total;

        (void)state;
        bench_init(&b);
        add(&b, TASK_HOG, 0, 0);
        add(&b, TASK_HOG, 0, 0);
        bench_start(&b, &nothing);
        run_for(&b, SEC);
        assert_int_equal(b.kernel->ops->read_pressure(b.kernel, &total), -ENOENT);
        assert_true(b.kernel->ops->pressure_fd(b.kernel) < 0);
        assert_true(b.kernel->ops->events_fd(b.kernel) < 0);
        assert_true(b.kernel->ops->next_event(b.kernel, &event) < 0);
        assert_int_equal(b.kernel->ops->read_cpus(b.kernel, &cpus), 0);
        assert_false(cpus.has_run_delay);
        assert_int_equal(cpus.cpus[0].run_delay_nsec, 0);
}

static void test_states(void **state)
{
        _cleanup_bench_ struct bench b;
        struct kernel_thread thread;
        pid_t tid = sim_kernel_tid(0);
        unsigned n_ready = 0;

        (void)state;
        bench_init(&b);
        add(&b, TASK_SLEEPER, 0, 100 * MSEC);
        bench_start(&b, NULL);
        for (unsigned i = 0; i < 1000; i++) {
                run_for(&b, MSEC);
                assert_int_equal(b.kernel->ops->read_thread(b.kernel, tid, tid, &thread), 0);
                assert_true(thread.state == 'R' || thread.state == 'S');
                n_ready += thread.state == 'R';
        }
        assert_true(n_ready > 300 && n_ready < 700);
}

/* A handle names its thread for good, and says so when that is gone. */
static void test_handles(void **state)
{
        static const struct sim_kernel_options few = {.max_handles = 2};
        _cleanup_bench_ struct bench b;
        struct kernel_counters counters;
        int first, second, third;

        (void)state;
        bench_init(&b);
        add(&b, TASK_ONCE, 0, 50 * MSEC);
        add(&b, TASK_HOG, 1, 0);
        bench_start(&b, &few);
        first = b.kernel->ops->open_thread(b.kernel, sim_kernel_tid(0), sim_kernel_tid(0));
        assert_true(first >= 0);
        second = b.kernel->ops->dup_thread(b.kernel, first);
        assert_true(second >= 0 && second != first);
        assert_int_equal(b.kernel->ops->open_thread(b.kernel, sim_kernel_tid(1), sim_kernel_tid(1)),
                         -EMFILE);
        b.kernel->ops->close_thread(b.kernel, second);
        third = b.kernel->ops->open_thread(b.kernel, sim_kernel_tid(1), sim_kernel_tid(1));
        assert_true(third >= 0);
        run_for(&b, 10 * MSEC);
        assert_int_equal(b.kernel->ops->read_counters(b.kernel, first, &counters), 0);
        assert_int_equal(counters.run_nsec, 10 * MSEC);
        assert_int_equal(counters.n_slices, 1);
        run_for(&b, SEC);
        assert_int_equal(b.kernel->ops->read_counters(b.kernel, first, &counters), -ESRCH);
        assert_int_equal(b.kernel->ops->read_counters(b.kernel, third, &counters), 0);
        b.kernel->ops->close_thread(b.kernel, first);
        b.kernel->ops->close_thread(b.kernel, third);
        assert_int_equal(b.kernel->ops->open_thread(b.kernel, sim_kernel_tid(0), sim_kernel_tid(0)),
                         -ESRCH);
        assert_int_equal(b.kernel->ops->open_thread(b.kernel, 1, 1), -ESRCH);
}

static int count_thread(pid_t tgid, pid_t tid, void *userdata)
{
        unsigned *n = userdata;

        assert_int_equal(tgid, tid);
        return ++*n == 1000;
}

/* Every birth and every death is told, in an order that makes sense; the list agrees. */
static void test_events(void **state)
{
        struct task_spec child = {
                .kind = TASK_ONCE, .work = 5 * MSEC, .home_node = TASK_NO_HOME, .parent = 0};
        _cleanup_bench_ struct bench b;
        struct kernel_event event;
        unsigned n_born = 0, n_gone = 0, n_listed = 0;
        int r;

        (void)state;
        bench_init(&b);
        add(&b, TASK_HOG, 0, 0);
        workload_add_births(&b.workload, &child, 20);
        bench_start(&b, NULL);
        assert_false(sim_kernel_has_births(b.kernel));
        assert_int_equal(b.kernel->ops->next_event(b.kernel, &event), 0);
        run_for(&b, 2 * SEC);
        assert_true(sim_kernel_has_births(b.kernel));
        while ((r = b.kernel->ops->next_event(b.kernel, &event)) > 0) {
                if (event.type == KERNEL_EVENT_FORK) {
                        n_born++;
                        assert_int_equal(event.tid, sim_kernel_tid(n_born));
                        assert_int_equal(event.parent_tid, sim_kernel_tid(0));
                } else {
                        n_gone++;
                        assert_int_equal(event.type, KERNEL_EVENT_EXIT);
                        assert_true(event.tid <= sim_kernel_tid(n_born));
                }
        }
        assert_int_equal(r, 0);
        assert_false(sim_kernel_has_births(b.kernel));
        assert_true(n_born > 20 && n_gone > 20);
        assert_int_equal(b.kernel->ops->list_threads(b.kernel, count_thread, &n_listed), 0);
        assert_int_equal(n_listed, 1 + n_born - n_gone);
}

/* The trigger goes off soon after waiting begins, not without it, and not over and over. */
static void test_pressure_trigger(void **state)
{
        _cleanup_bench_ struct bench b;
        _cleanup_cpuset_ struct cpuset mask = {0};
        unsigned n = 0;
        nsec_t first = 0;

        (void)state;
        bench_init(&b);
        add(&b, TASK_HOG, 0, 0);
        add(&b, TASK_HOG, 1, 0);
        bench_start(&b, NULL);
        for (unsigned i = 0; i < 1000; i++) {
                run_for(&b, MSEC);
                assert_false(sim_kernel_rouses(b.kernel));
        }
        assert_int_equal(cpuset_add(&mask, 0), 0);
        assert_int_equal(machine_set_mask(b.machine, 1, &mask), 0);
        for (unsigned i = 0; i < 1000; i++) {
                run_for(&b, MSEC);
                if (!sim_kernel_rouses(b.kernel))
                        continue;
                n++;
                if (first == 0)
                        first = b.machine->now;
        }
        assert_true(first > 1020 * MSEC && first <= 1100 * MSEC);
        assert_int_equal(n, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cpu_numbers),      cmocka_unit_test(test_cpu_counters),
                cmocka_unit_test(test_missing_sources),  cmocka_unit_test(test_states),
                cmocka_unit_test(test_handles),          cmocka_unit_test(test_events),
                cmocka_unit_test(test_pressure_trigger),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
