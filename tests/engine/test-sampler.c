/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sampler over a simulated machine: what it sees, when it looks, and what it does without a
 * source. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macro.h"
#include "engine/sampler.h"
#include "sim/kernel.h"
#include "sim/machine.h"

#define MSEC NSEC_PER_MSEC
#define SEC  NSEC_PER_SEC

struct bench {
        struct topology *topology;
        struct workload workload;
        struct machine *machine;
        struct kernel *kernel;
        struct kernel_ops ops; /* the simulated kernel's, with what a test puts in their place */
        pid_t self;
        struct sampler sampler;
        struct pace pace;
        struct sampler_outcome outcome;
        nsec_t next_at;
        unsigned n_notices;
        char notices[512];
};

static void on_notice(const struct notice *notice, void *userdata)
{
        struct bench *b = userdata;

        assert_int_equal(notice->kind, NOTICE_MISSING);
        assert_non_null(notice->detail);
        b->n_notices++;
        strncat(b->notices, notice->text, sizeof(b->notices) - strlen(b->notices) - 1);
}

static void bench_init(struct bench *b)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 1},
                {.id = 1, .core = 1, .capacity = 1},
        };

        *b = (struct bench){0};
        workload_init(&b->workload, 1);
        assert_int_equal(topology_new(&b->topology, seeds, ARRAY_SIZE(seeds)), 0);
}

static int add(struct bench *b, struct task_spec spec)
{
        int task;

        spec.parent = -1;
        spec.home_node = TASK_NO_HOME;
        task = workload_add(&b->workload, &spec);
        assert_true(task >= 0);
        return task;
}

static void add_hogs(struct bench *b, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                add(b, (struct task_spec){.kind = TASK_HOG, .work = SEC, .cpu = 0});
}

/* Sleepers that work for a millisecond now and then: nobody cares. */
static void add_sleepers(struct bench *b, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                add(b,
                    (struct task_spec){
                            .kind = TASK_SLEEPER, .work = MSEC, .pause = 10 * SEC, .cpu = i % 2});
}

static void bench_boot(struct bench *b, const struct sim_kernel_options *options)
{
        assert_int_equal(machine_new(&b->machine, b->topology, &b->workload, NULL), 0);
        assert_int_equal(sim_kernel_new(&b->kernel, b->machine, options), 0);
        b->ops = *b->kernel->ops;
        b->kernel->ops = &b->ops;
}

static void bench_start(struct bench *b, unsigned max_handles)
{
        b->sampler = (struct sampler){
                .kernel = b->kernel,
                .self = b->self,
                .sources = {.on_notice = on_notice, .userdata = b},
        };
        settings_init(&b->sampler.settings);
        assert_int_equal(sampler_init(&b->sampler, max_handles), 0);
        b->next_at = b->kernel->ops->now(b->kernel);
}

static void bench_done(struct bench *b)
{
        sampler_done(&b->sampler);
        kernel_free(b->kernel);
        machine_free(b->machine);
        workload_done(&b->workload);
        topology_free(b->topology);
}

#define _cleanup_bench_ _cleanup_(bench_done)

static void run(struct bench *b, nsec_t span)
{
        for (nsec_t end = b->machine->now + span; b->machine->now < end;)
                assert_int_equal(machine_step(b->machine), 0);
}

static void tick(struct bench *b)
{
        assert_int_equal(sampler_tick(&b->sampler, &b->outcome), 0);
        b->next_at =
                pace_next(&b->pace, &b->sampler.settings, b->sampler.now, 0, 0, b->outcome.trouble);
}

/* Runs on, with a tick whenever one is due. */
static void run_ticking(struct bench *b, nsec_t span)
{
        for (nsec_t end = b->machine->now + span; b->machine->now < end;) {
                if (b->kernel->ops->now(b->kernel) >= b->next_at)
                        tick(b);
                assert_int_equal(machine_step(b->machine), 0);
        }
}

static const struct snapshot_thread *find(const struct bench *b, int task)
{
        const struct snapshot *snapshot = &b->outcome.snapshot;

        if (!b->outcome.has_snapshot)
                return NULL;
        for (unsigned i = 0; i < snapshot->n_threads; i++)
                if (snapshot->threads[i].tid == sim_kernel_tid((unsigned)task))
                        return &snapshot->threads[i];
        return NULL;
}

/* Quiet: one tick a second, and few threads looked at, however many there are. */
static void test_quiet_is_cheap(void **state)
{
        _cleanup_bench_ struct bench b;
        uint64_t ticks;

        (void)state;
        bench_init(&b);
        add_sleepers(&b, 500);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        run_ticking(&b, 4 * SEC);
        ticks = b.sampler.counts.n_ticks;
        run_ticking(&b, 5 * SEC);
        assert_in_range(b.sampler.counts.n_ticks - ticks, 4, 6);
        assert_int_equal(b.sampler.threads.n_hot, 0);
        assert_int_equal(b.n_notices, 0);
}

static void test_stacked_hogs_are_seen(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init(&b);
        add_hogs(&b, 4);
        bench_boot(&b, NULL);
        run(&b, 50 * MSEC);
        bench_start(&b, 1000);
        run(&b, 20 * MSEC);
        tick(&b);
        assert_int_equal(b.outcome.trouble, PACE_UNBALANCED);
        assert_int_equal(b.outcome.snapshot.n_threads, 4);
        for (int i = 0; i < 4; i++) {
                const struct snapshot_thread *thread = find(&b, i);

                assert_non_null(thread);
                assert_true(thread->demand > 0.9F);
                assert_int_equal(thread->cpu, 0);
                assert_true(thread->flags & THREAD_RUNNABLE);
                assert_int_equal(thread->flags & THREAD_IMMOVABLE, 0);
        }
}

/* Ticks go on at 20 ms while hogs wait where nobody balances, at 1 s while they only run for long.
 */
static void test_cost_follows_trouble(void **state)
{
        _cleanup_bench_ struct bench b;
        uint64_t ticks;

        (void)state;
        bench_init(&b);
        add_hogs(&b, 2);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        run_ticking(&b, SEC);
        ticks = b.sampler.counts.n_ticks;
        run_ticking(&b, SEC);
        assert_in_range(b.sampler.counts.n_ticks - ticks, 48, 52);
        {
                _cleanup_cpuset_ struct cpuset other = {0};

                assert_int_equal(cpuset_add(&other, 1), 0);
                assert_int_equal(machine_set_mask(b.machine, 1, &other), 0);
        }
        /* Watchful for a while, then quiet. */
        run_ticking(&b, SEC);
        ticks = b.sampler.counts.n_ticks;
        run_ticking(&b, SEC);
        assert_in_range(b.sampler.counts.n_ticks - ticks, 9, 11);
        run_ticking(&b, PACE_WATCHFUL);
        ticks = b.sampler.counts.n_ticks;
        run_ticking(&b, 3 * SEC);
        assert_in_range(b.sampler.counts.n_ticks - ticks, 2, 4);
}

static void test_a_birth_is_seen_at_once(void **state)
{
        _cleanup_bench_ struct bench b;
        struct task_spec birth = {.kind = TASK_ONCE, .work = 10 * SEC, .parent = -1};

        (void)state;
        bench_init(&b);
        add_hogs(&b, 1);
        birth.home_node = TASK_NO_HOME;
        workload_add_births(&b.workload, &birth, 1);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        while (!sim_kernel_has_births(b.kernel))
                run(&b, MSEC);
        tick(&b);
        assert_int_equal(b.outcome.trouble, PACE_UNBALANCED);
        assert_non_null(find(&b, 1));
        assert_true(find(&b, 1)->flags & THREAD_NEWBORN);
        assert_true(find(&b, 1)->demand > 0.9F);
}

static bool gap_told;

static int lose_events(struct kernel *kernel, struct kernel_event *ret)
{
        (void)kernel;
        (void)ret;
        return 0;
}

/* Tells of a gap once. */
static int tell_gap(struct kernel *kernel, struct kernel_event *ret)
{
        (void)kernel;
        (void)ret;
        if (gap_told)
                return 0;
        gap_told = true;
        return -ENOBUFS;
}

/* A gap in the events: the threads born in it are found all the same. */
static void test_a_gap_means_a_rescan(void **state)
{
        _cleanup_bench_ struct bench b;
        struct task_spec birth = {.kind = TASK_ONCE, .work = 100 * SEC, .parent = -1};

        (void)state;
        bench_init(&b);
        birth.home_node = TASK_NO_HOME;
        workload_add_births(&b.workload, &birth, 20);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        b.ops.next_event = lose_events;
        gap_told = false;
        run(&b, SEC);
        tick(&b);
        assert_int_equal(b.sampler.counts.n_rescans, 0);
        assert_int_equal(b.sampler.threads.n_threads, 0);
        b.ops.next_event = tell_gap;
        tick(&b);
        assert_int_equal(b.sampler.counts.n_rescans, 1);
        assert_true(b.machine->n_threads > 5);
        assert_int_equal(b.sampler.threads.n_threads, b.machine->n_threads);
        tick(&b);
        assert_int_equal(b.sampler.counts.n_rescans, 1);
}

/* Without pressure, schedstat and events: hogs stacked are seen at the next full pass, newborn ones
 * too, and each missing source is told once. */
static void test_without_any_source(void **state)
{
        static const struct sim_kernel_options nothing = {
                .no_pressure = true, .no_schedstat = true, .no_events = true};
        _cleanup_bench_ struct bench b;
        struct task_spec birth = {.kind = TASK_ONCE, .work = 100 * SEC, .parent = -1};

        (void)state;
        bench_init(&b);
        birth.home_node = TASK_NO_HOME;
        workload_add_births(&b.workload, &birth, 4);
        bench_boot(&b, &nothing);
        bench_start(&b, 1000);
        run_ticking(&b, 3 * SEC);
        assert_true(b.machine->n_threads > 3);
        assert_int_equal(b.outcome.trouble, PACE_UNBALANCED);
        assert_in_range(b.outcome.snapshot.n_threads, b.machine->n_threads - 1,
                        b.machine->n_threads);
        assert_int_equal(b.n_notices, 3);
        assert_non_null(strstr(b.notices, "/proc/pressure/cpu"));
        assert_non_null(strstr(b.notices, "/proc/schedstat"));
        assert_non_null(strstr(b.notices, "process events"));
}

/* One of many threads that have slept for long begins to work beside a hog: it is found before
 * long, though nobody watched it. */
static void test_unknown_work_is_searched_for(void **state)
{
        _cleanup_bench_ struct bench b;
        int sleeper;

        (void)state;
        bench_init(&b);
        add_sleepers(&b, 600);
        sleeper = add(&b, (struct task_spec){
                                  .kind = TASK_SLEEPER, .work = MSEC, .pause = 5 * SEC, .cpu = 0});
        add_sleepers(&b, 600);
        add_hogs(&b, 1);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        run_ticking(&b, 4 * SEC);
        assert_null(find(&b, sleeper));
        b.workload.tasks[sleeper].spec.work = 100 * SEC;
        while (b.workload.tasks[sleeper].state != TASK_READY)
                run_ticking(&b, MSEC);
        run_ticking(&b, 1500 * MSEC);
        assert_non_null(find(&b, sleeper));
        assert_true(find(&b, sleeper)->demand > 0.8F);
}

static int list_first_only(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        (void)kernel;
        return fn(sim_kernel_tid(0), sim_kernel_tid(0), userdata);
}

static int (*the_read_thread)(struct kernel *, pid_t, pid_t, struct kernel_thread *);

static int read_thread_of_many(struct kernel *kernel, pid_t tgid, pid_t tid,
                               struct kernel_thread *ret)
{
        int r;

        r = the_read_thread(kernel, tgid, tid, ret);
        if (r == 0)
                ret->n_threads = 5000;
        return r;
}

/* The threads of a large process are left alone until there is work that none of the known ones
 * does. */
static void test_large_processes_are_listed_late(void **state)
{
        _cleanup_bench_ struct bench b;
        int hog;

        (void)state;
        bench_init(&b);
        add_sleepers(&b, 300);
        hog = add(&b, (struct task_spec){
                              .kind = TASK_SLEEPER, .work = MSEC, .pause = 3 * SEC, .cpu = 0});
        add(&b, (struct task_spec){.kind = TASK_SLEEPER, .work = MSEC, .pause = 3 * SEC, .cpu = 0});
        bench_boot(&b, NULL);
        the_read_thread = b.ops.read_thread;
        b.ops.read_thread = read_thread_of_many;
        b.ops.list_processes = list_first_only;
        bench_start(&b, 1000);
        run_ticking(&b, 2 * SEC);
        assert_int_equal(b.sampler.threads.n_threads, 1);
        b.workload.tasks[hog].spec.work = b.workload.tasks[hog + 1].spec.work = 100 * SEC;
        while (b.workload.tasks[hog].state != TASK_READY)
                run_ticking(&b, MSEC);
        run_ticking(&b, 1500 * MSEC);
        assert_int_equal(b.sampler.threads.n_threads, 302);
        assert_true(find(&b, hog) && find(&b, hog)->demand > 0.8F);
        assert_true(find(&b, hog + 1) && find(&b, hog + 1)->demand > 0.8F);
}

/* More threads wait than can be looked at in one pass: none is forgotten. */
static void test_hundreds_of_waiting_threads(void **state)
{
        _cleanup_bench_ struct bench b;
        unsigned n_runnable = 0;
        float demand = 0;

        (void)state;
        bench_init(&b);
        add_hogs(&b, 400);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        run_ticking(&b, 4 * SEC);
        assert_int_equal(b.outcome.snapshot.n_threads, 400);
        for (unsigned i = 0; i < 400; i++) {
                n_runnable += (b.outcome.snapshot.threads[i].flags & THREAD_RUNNABLE) != 0;
                demand += b.outcome.snapshot.threads[i].demand;
        }
        assert_in_range(n_runnable, 390, 400);
        assert_true(demand > 390);
}

/* Without events the dead are found by the rescans. */
static void test_the_dead_are_forgotten(void **state)
{
        static const struct sim_kernel_options no_events = {.no_events = true};
        _cleanup_bench_ struct bench b;
        struct task_spec birth = {.kind = TASK_ONCE, .work = 5 * MSEC, .parent = -1};

        (void)state;
        bench_init(&b);
        add_sleepers(&b, 5);
        birth.home_node = TASK_NO_HOME;
        workload_add_births(&b.workload, &birth, 20);
        bench_boot(&b, &no_events);
        bench_start(&b, 1000);
        run_ticking(&b, 30 * SEC);
        assert_true(b.machine->n_threads > 400);
        assert_in_range(b.sampler.threads.n_threads, 5, 60);
}

/* balance.unbalanced=false: these CPUs are nobody's business, not even the stuck threads on them.
 */
static void test_unbalanced_cpus_by_choice(void **state)
{
        _cleanup_bench_ struct bench b;
        struct settings settings;

        (void)state;
        bench_init(&b);
        add_hogs(&b, 4);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        settings = b.sampler.settings;
        settings.balance.unbalanced = false;
        sampler_set_settings(&b.sampler, &settings);
        run_ticking(&b, 3 * SEC);
        assert_int_equal(b.outcome.trouble, PACE_QUIET);
        assert_true(b.outcome.has_snapshot);
        for (unsigned i = 0; i < b.outcome.snapshot.n_threads; i++)
                assert_true(b.outcome.snapshot.threads[i].flags & THREAD_FIXED);
        assert_true(b.outcome.snapshot.cpus[1].draining);
        /* Now with the next tick, and not with the next look at everything. */
        tick(&b);
        settings.balance.unbalanced = true;
        sampler_set_settings(&b.sampler, &settings);
        assert_true(b.kernel->ops->now(b.kernel) < b.sampler.full_at);
        tick(&b);
        assert_true(b.sampler.has_unbalanced);
        run_ticking(&b, 2 * SEC);
        assert_int_equal(b.outcome.trouble, PACE_UNBALANCED);
        assert_false(b.outcome.snapshot.cpus[1].draining);
}

static unsigned n_reads_in_doubt;

static int read_unbalanced_in_doubt(struct kernel *kernel, struct cpuset *ret)
{
        (void)kernel;
        (void)ret;
        return ++n_reads_in_doubt < 3;
}

/* Which CPUs the kernel balances is asked for again at each tick until the kernel is sure. */
static void test_domains_in_doubt(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init(&b);
        bench_boot(&b, NULL);
        n_reads_in_doubt = 0;
        b.ops.read_unbalanced = read_unbalanced_in_doubt;
        bench_start(&b, 1000);
        assert_int_equal(n_reads_in_doubt, 1);
        tick(&b); /* a full one */
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(n_reads_in_doubt, MIN(2 + i, 3U));
                tick(&b);
        }
        assert_int_equal(n_reads_in_doubt, 3);
}

static struct {
        unsigned n_cpus;
        int result; /* 1: flat */
        unsigned n_reads;
} seen_topology;

static int read_seen_topology(struct kernel *kernel, struct topology **ret)
{
        static const struct topology_seed seeds[] = {{.id = 0, .core = 0, .capacity = 1},
                                                     {.id = 1, .core = 1, .capacity = 1}};
        int r;

        (void)kernel;
        seen_topology.n_reads++;
        if (seen_topology.result < 0)
                return seen_topology.result;
        r = topology_new(ret, seeds, seen_topology.n_cpus);
        return r < 0 ? r : seen_topology.result;
}

static int probe_seen_topology(struct kernel *kernel, enum kernel_source source)
{
        (void)kernel;
        assert_int_equal(source, KERNEL_HWLOC);
        return seen_topology.result > 0 ? -EACCES : seen_topology.result;
}

/* Starts on N_CPUS CPUs whose topology is read with RESULT. */
static void start_seeing(struct bench *b, unsigned n_cpus, int result)
{
        bench_init(b);
        bench_boot(b, NULL);
        b->ops.read_topology = read_seen_topology;
        b->ops.probe = probe_seen_topology;
        seen_topology.n_cpus = n_cpus;
        seen_topology.result = result;
        bench_start(b, 1000);
}

/* As long as it takes until the topology may be read again. */
static void tick_later(struct bench *b, unsigned n_reads)
{
        seen_topology.n_reads = 0;
        run(b, 11 * SEC);
        tick(b);
        assert_int_equal(seen_topology.n_reads, n_reads);
}

/* A CPU comes while there is no descriptor to spare, then while /sys is closed: what is known stays
 * meanwhile, and what could not be seen is told of and read again. */
static void test_topology_lost(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        start_seeing(&b, 1, 0);
        seen_topology.n_cpus = 2;
        seen_topology.result = -EMFILE;
        tick_later(&b, 1);
        tick_later(&b, 1);
        assert_int_equal(b.sampler.topology->n_cpus, 1);
        assert_int_equal(b.n_notices, 0);
        seen_topology.result = 1;
        tick_later(&b, 1);
        assert_int_equal(b.sampler.topology->n_cpus, 2);
        assert_non_null(strstr(b.notices, "no topology"));
        tick_later(&b, 0); /* it would show no more */
        assert_int_equal(b.n_notices, 1);
        assert_true(b.sampler.sources.missing[KERNEL_HWLOC]);
        seen_topology.result = 0;
        tick_later(&b, 1);
        tick_later(&b, 0);
        assert_false(b.sampler.sources.missing[KERNEL_HWLOC]);
}

/* Where it was never seen, it is not looked for again and again. */
static void test_topology_never_seen(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        start_seeing(&b, 2, 1);
        tick_later(&b, 0);
        assert_int_equal(b.n_notices, 0);
}

/* The next look at everything need not be waited for as long as the old settings said. */
static void test_shorter_quiet_tick(void **state)
{
        _cleanup_bench_ struct bench b;
        struct settings settings;

        (void)state;
        bench_init(&b);
        add_sleepers(&b, 2);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        settings = b.sampler.settings;
        settings.balance.quiet_tick = 60 * SEC;
        sampler_set_settings(&b.sampler, &settings);
        tick(&b);
        assert_int_equal(b.sampler.full_at, b.sampler.now + 60 * SEC);
        settings.balance.quiet_tick = SEC;
        sampler_set_settings(&b.sampler, &settings);
        assert_int_equal(b.sampler.full_at, b.sampler.now + SEC);
        settings.balance.quiet_tick = 2 * SEC;
        sampler_set_settings(&b.sampler, &settings);
        assert_int_equal(b.sampler.full_at, b.sampler.now + SEC);
}

/* A source that failed is asked again, and told of again, once it is asked for anew. */
static void test_source_that_is_asked_for_again(void **state)
{
        _cleanup_bench_ struct bench b;
        struct settings settings;

        (void)state;
        bench_init(&b);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        settings = b.sampler.settings;
        sources_note(&b.sampler.sources, KERNEL_TASKSTATS, -EPERM);
        sources_note(&b.sampler.sources, KERNEL_PRESSURE, -ENOENT);
        sampler_set_settings(&b.sampler, &settings);
        assert_true(b.sampler.sources.missing[KERNEL_TASKSTATS]);
        settings.taskstats = true;
        sampler_set_settings(&b.sampler, &settings);
        assert_false(b.sampler.sources.missing[KERNEL_TASKSTATS]);
        assert_true(b.sampler.sources.missing[KERNEL_PRESSURE]);
        sources_note(&b.sampler.sources, KERNEL_TASKSTATS, -EPERM);
        assert_int_equal(b.n_notices, 3);
}

static int fail_to_list(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        (void)kernel;
        (void)fn;
        (void)userdata;
        return -EMFILE;
}

/* A list that cannot be read now is read later; nothing ends for it. */
static void test_out_of_descriptors_in_a_rescan(void **state)
{
        _cleanup_bench_ struct bench b;
        int (*list)(struct kernel *, kernel_thread_fn, void *);

        (void)state;
        bench_init(&b);
        add_sleepers(&b, 5);
        bench_boot(&b, NULL);
        bench_start(&b, 1000);
        gap_told = false;
        b.ops.next_event = tell_gap;
        list = b.ops.list_threads;
        b.ops.list_threads = fail_to_list;
        run(&b, MSEC);
        tick(&b);
        assert_true(b.sampler.rescan_due);
        b.ops.list_threads = list;
        run(&b, MSEC);
        tick(&b);
        assert_false(b.sampler.rescan_due);
        assert_int_equal(b.sampler.threads.n_threads, 5);
}

static int read_running_thread(struct kernel *kernel, pid_t tgid, pid_t tid,
                               struct kernel_thread *ret)
{
        int r;

        r = the_read_thread(kernel, tgid, tid, ret);
        if (r == 0)
                ret->state = 'R';
        return r;
}

/* The daemon finds itself running whenever it looks at itself: that makes no hog of it. */
static void test_the_daemon_is_no_hog(void **state)
{
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init(&b);
        add(&b,
            (struct task_spec){.kind = TASK_SLEEPER, .work = MSEC, .pause = 40 * MSEC, .cpu = 0});
        add_hogs(&b, 1);
        bench_boot(&b, NULL);
        the_read_thread = b.ops.read_thread;
        b.ops.read_thread = read_running_thread;
        b.self = sim_kernel_tid(0);
        bench_start(&b, 1000);
        run_ticking(&b, SEC);
        assert_non_null(find(&b, 0));
        assert_true(find(&b, 0)->demand < 0.3F);
        assert_true(find(&b, 0)->flags & THREAD_FIXED);
}

/* Fewer handles than hogs: the table never holds more, and goes on. */
static void test_few_handles(void **state)
{
        static const struct sim_kernel_options few = {.max_handles = 8};
        _cleanup_bench_ struct bench b;

        (void)state;
        bench_init(&b);
        add_hogs(&b, 50);
        bench_boot(&b, &few);
        bench_start(&b, 1000);
        run_ticking(&b, 2 * SEC);
        assert_in_range(b.sampler.threads.n_hot, 1, 8);
        assert_true(b.outcome.has_snapshot);
        assert_int_equal(b.sampler.threads.n_threads, 50);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_quiet_is_cheap),
                cmocka_unit_test(test_stacked_hogs_are_seen),
                cmocka_unit_test(test_cost_follows_trouble),
                cmocka_unit_test(test_a_birth_is_seen_at_once),
                cmocka_unit_test(test_a_gap_means_a_rescan),
                cmocka_unit_test(test_without_any_source),
                cmocka_unit_test(test_unknown_work_is_searched_for),
                cmocka_unit_test(test_large_processes_are_listed_late),
                cmocka_unit_test(test_hundreds_of_waiting_threads),
                cmocka_unit_test(test_the_dead_are_forgotten),
                cmocka_unit_test(test_unbalanced_cpus_by_choice),
                cmocka_unit_test(test_domains_in_doubt),
                cmocka_unit_test(test_topology_lost),
                cmocka_unit_test(test_topology_never_seen),
                cmocka_unit_test(test_shorter_quiet_tick),
                cmocka_unit_test(test_source_that_is_asked_for_again),
                cmocka_unit_test(test_out_of_descriptors_in_a_rescan),
                cmocka_unit_test(test_the_daemon_is_no_hog),
                cmocka_unit_test(test_few_handles),
        };

        return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
