/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is told of a balancer and its threads, over a simulated machine of two CPUs. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/macro.h"
#include "engine/inside.h"
#include "engine/inspect.h"
#include "engine/narrowings.h"
#include "engine/pool.h"
#include "sim/kernel.h"
#include "sim/machine.h"

#define MSEC NSEC_PER_MSEC
#define SEC  NSEC_PER_SEC

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

struct bench {
        struct topology *topology;
        struct workload workload;
        struct machine *machine;
        struct kernel *kernel;
        struct balancer *balancer;
        struct settings settings;
        nsec_t next_at;
        bool balanced;         /* by the kernel */
        struct ledger *ledger; /* NULL: threads are not moved */
        unsigned n_workers;
        struct kernel_ops ops;
        struct decision last; /* that was told */
        unsigned n_told;
};

static int set_up(void **state)
{
        static const struct topology_seed seeds[] = {
                {.id = 4, .core = 0, .capacity = 1},
                {.id = 7, .core = 1, .capacity = 1},
        };
        struct bench *b = calloc(1, sizeof(*b));

        if (!b || topology_new(&b->topology, seeds, ARRAY_SIZE(seeds)) < 0)
                return -1;
        workload_init(&b->workload, 1);
        settings_init(&b->settings);
        *state = b;
        return 0;
}

static int tear_down(void **state)
{
        struct bench *b = *state;

        (void)balancer_free(b->balancer);
        ledger_free(b->ledger);
        kernel_free(b->kernel);
        machine_free(b->machine);
        workload_done(&b->workload);
        topology_free(b->topology);
        free(b);
        return 0;
}

static void add(struct bench *b, struct task_spec spec)
{
        spec.parent = -1;
        spec.home_node = TASK_NO_HOME;
        assert_true(workload_add(&b->workload, &spec) >= 0);
}

static void add_hogs(struct bench *b, unsigned n, unsigned cpu)
{
        for (unsigned i = 0; i < n; i++)
                add(b, (struct task_spec){.kind = TASK_HOG, .work = SEC, .cpu = cpu});
}

static void add_sleeper(struct bench *b)
{
        add(b, (struct task_spec){.kind = TASK_SLEEPER, .work = MSEC, .pause = 100 * SEC});
}

static void run(struct bench *b, nsec_t span)
{
        for (nsec_t end = b->machine->now + span; b->machine->now < end;) {
                if (b->kernel->ops->now(b->kernel) >= b->next_at)
                        assert_int_equal(balancer_tick(b->balancer, &b->next_at), 0);
                assert_int_equal(machine_step(b->machine), 0);
        }
}

/* Without ticks. */
static void pass_time(struct bench *b, nsec_t span)
{
        for (nsec_t end = b->machine->now + span; b->machine->now < end;)
                assert_int_equal(machine_step(b->machine), 0);
}

static void keep(const struct decision *decision, void *userdata)
{
        struct bench *b = userdata;

        b->last = *decision;
        b->n_told++;
}

/* The kernel as the tests have it: that of the simulation, and what it does not know. */
static const struct kernel_ops *sim_ops;
static uid_t owner; /* of all threads */
static struct {
        pid_t tid;
        int policy;
        bool kernel_thread;
        char state; /* '\0': its own */
} twist;

static int read_twisted(struct kernel *kernel, pid_t tgid, pid_t tid, struct kernel_thread *ret)
{
        int r;

        r = sim_ops->read_thread(kernel, tgid, tid, ret);
        if (r < 0 || tid != twist.tid)
                return r;
        ret->policy = twist.policy;
        ret->kernel_thread = twist.kernel_thread;
        ret->state = twist.state ?: ret->state;
        return 0;
}

/* Calls that set this thread's mask wait until the gate is opened. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        pid_t tid; /* 0: it is open */
        bool is_reached;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void wait_at_gate(pid_t tid)
{
        (void)pthread_mutex_lock(&gate.lock);
        while (tid == gate.tid) {
                gate.is_reached = true;
                (void)pthread_cond_broadcast(&gate.changed);
                (void)pthread_cond_wait(&gate.changed, &gate.lock);
        }
        (void)pthread_mutex_unlock(&gate.lock);
}

static void wait_until_gate_is_reached(void)
{
        (void)pthread_mutex_lock(&gate.lock);
        while (!gate.is_reached)
                (void)pthread_cond_wait(&gate.changed, &gate.lock);
        (void)pthread_mutex_unlock(&gate.lock);
}

static void set_gate(pid_t tid)
{
        (void)pthread_mutex_lock(&gate.lock);
        gate.tid = tid;
        gate.is_reached = false;
        (void)pthread_cond_broadcast(&gate.changed);
        (void)pthread_mutex_unlock(&gate.lock);
}

static int set_gated_affinity(struct kernel *kernel, pid_t tid, const struct cpuset *set)
{
        if (tid == gettid())
                return 0; /* a worker keeping off a CPU */
        wait_at_gate(tid);
        return sim_ops->set_affinity(kernel, tid, set);
}

static int read_owner(struct kernel *kernel, pid_t tgid, pid_t tid, uid_t *ret)
{
        uid_t uid;
        int r;

        r = sim_ops->read_owner(kernel, tgid, tid, &uid);
        if (r >= 0)
                *ret = owner;
        return r;
}

static void make_kernel(struct bench *b)
{
        assert_int_equal(machine_new(&b->machine, b->topology, &b->workload, NULL), 0);
        machine_set_balanced(b->machine, 0, b->topology->n_cpus - 1, b->balanced);
        assert_int_equal(sim_kernel_new(&b->kernel, b->machine, NULL), 0);
        memset(&twist, 0, sizeof(twist));
        set_gate(0);
        owner = 0;
        sim_ops = b->kernel->ops;
        b->ops = *sim_ops;
        b->ops.read_thread = read_twisted;
        b->ops.read_owner = read_owner;
        b->ops.set_affinity = set_gated_affinity;
        b->kernel->ops = &b->ops;
}

/* A balancer that only observes, unless there is a ledger: threads stay where they are. */
static void start_balancer(struct bench *b)
{
        const struct balancer_options options = {
                .settings = b->settings,
                .observe = !b->ledger,
                .n_workers = b->n_workers,
                .on_decision = keep,
                .userdata = b,
        };

        assert_int_equal(balancer_new(&b->balancer, b->kernel, b->ledger, &options), 0);
}

static void start(struct bench *b, nsec_t span)
{
        make_kernel(b);
        start_balancer(b);
        run(b, span);
}

static void make_ledger(struct bench *b)
{
        char path[] = "/tmp/test-inspect-XXXXXX";
        _cleanup_close_ int fd = -1;

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ledger_open(&b->ledger, fd, 64, 1024), 0);
        assert_int_equal(unlinkat(fd, "ledger", 0), 0);
        assert_int_equal(rmdir(path), 0);
}

static struct hot *hot_of(struct bench *b, unsigned task)
{
        struct thread *thread = threads_find(&b->balancer->sampler.threads, sim_kernel_tid(task));

        assert_non_null(thread);
        assert_non_null(thread->hot);
        return thread->hot;
}

/* A move of the task to the CPU where it is not, of which the balancer is to hear. */
static void submit_move(struct bench *b, unsigned task)
{
        const struct thread *thread =
                threads_find(&b->balancer->sampler.threads, sim_kernel_tid(task));
        struct mover_request request = {
                .kind = MOVER_NUDGE,
                .tgid = thread->tgid,
                .tid = thread->tid,
                .start_ticks = thread->start_ticks,
                .cookie = task,
        };
        struct decision decision = {.tgid = request.tgid, .tid = request.tid};
        struct kernel_thread stat;

        assert_int_equal(b->kernel->ops->read_thread(b->kernel, request.tgid, request.tid, &stat),
                         0);
        request.from = stat.cpu;
        request.to = stat.cpu == 4 ? 7 : 4;
        assert_int_equal(b->kernel->ops->get_affinity(b->kernel, request.tid, &request.expected),
                         0);
        b->balancer->flights[task] = (struct flight){.used = true, .decision = decision};
        assert_int_equal(mover_submit(b->balancer->mover, &request), 0);
}

static enum verdict verdict_of(struct bench *b, unsigned task)
{
        _cleanup_(thread_view_done) struct thread_view view = {0};

        b->balancer->n_changes++; /* a test may have changed something */
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(task), &view), 0);
        return view.verdict;
}

static void assert_verdict(struct bench *b, unsigned task, enum verdict expected)
{
        assert_string_equal(verdict_to_string(verdict_of(b, task)), verdict_to_string(expected));
}

static void test_sleepers_are_not_watched(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 1, 0);
        add_sleeper(b);
        start(b, 30 * SEC);
        assert_verdict(b, 1, VERDICT_UNWATCHED);
}

static void test_lonely_hogs_are_content(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 1, 0);
        add_hogs(b, 1, 1);
        start(b, 2 * SEC);
        assert_verdict(b, 0, VERDICT_CONTENT);
        assert_verdict(b, 1, VERDICT_CONTENT);
}

static void test_hogs_that_could_spread_are_candidates(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 3, 0);
        start(b, 2 * SEC);
        assert_verdict(b, 0, VERDICT_CANDIDATE);
}

static void test_even_hogs_find_nothing_better(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 2, 0);
        add_hogs(b, 2, 1);
        start(b, 2 * SEC);
        for (unsigned i = 0; i < 4; i++)
                assert_verdict(b, i, VERDICT_NOWHERE_BETTER);
}

static void test_balanced_hogs_are_patient_until_they_are_stuck(void **state)
{
        struct bench *b = *state;

        b->balanced = true;
        add_hogs(b, 2, 0);
        add_hogs(b, 2, 1);
        start(b, 200 * MSEC);
        assert_verdict(b, 0, VERDICT_PATIENT);
        hot_of(b, 0)->cpu_since = hot_of(b, 0)->llc_since = hot_of(b, 0)->node_since = 1;
        assert_verdict(b, 0, VERDICT_NOWHERE_BETTER); /* no CPU idles */
}

static void test_masks_of_one_cpu(void **state)
{
        struct bench *b = *state;
        struct task_spec spec = {.kind = TASK_HOG, .work = SEC};

        add_hogs(b, 2, 0);
        assert_int_equal(cpuset_add(&spec.mask, 0), 0);
        add(b, spec);
        cpuset_done(&spec.mask);
        start(b, 2 * SEC);
        assert_verdict(b, 2, VERDICT_PINNED);
        assert_verdict(b, 0, VERDICT_CANDIDATE);
}

static void test_kinds_that_stay(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 3, 0);
        start(b, 2 * SEC);
        twist.tid = sim_kernel_tid(0);
        twist.policy = SCHED_FIFO;
        assert_verdict(b, 0, VERDICT_REALTIME);
        b->balancer->sampler.settings.balance.realtime = true;
        assert_verdict(b, 0, VERDICT_CANDIDATE);
        twist.policy = SCHED_DEADLINE;
        assert_verdict(b, 0, VERDICT_DEADLINE);
        twist.kernel_thread = true;
        assert_verdict(b, 0, VERDICT_KERNEL_THREAD);
        b->balancer->sampler.self = sim_kernel_tid(1);
        assert_verdict(b, 1, VERDICT_SELF);
}

static void test_times_that_stay(void **state)
{
        struct bench *b = *state;
        nsec_t now;

        add_hogs(b, 4, 0);
        start(b, 2 * SEC);
        now = b->balancer->sampler.now;
        hot_of(b, 0)->left_alone_until = now + 1;
        assert_verdict(b, 0, VERDICT_LEFT_ALONE);
        hot_of(b, 0)->in_flight = true;
        assert_verdict(b, 0, VERDICT_MOVING);
        twist.tid = sim_kernel_tid(1);
        twist.state = 'S';
        assert_verdict(b, 1, VERDICT_ASLEEP);
        twist.state = '\0';
        assert_verdict(b, 1, VERDICT_CANDIDATE);
        hot_of(b, 2)->moved_at = now - MSEC;
        assert_verdict(b, 2, VERDICT_SETTLING);
        hot_of(b, 2)->moved_at = now - 10 * SEC;
        assert_verdict(b, 2, VERDICT_CANDIDATE);
}

/* A balancer with one worker and four hogs, of which BLOCKED is moved to the other CPU without end;
 * returns when it is. */
static void start_a_move_without_end(struct bench *b, unsigned blocked)
{
        make_ledger(b);
        b->settings.balance.unbalanced = false; /* no moves but those of the test */
        b->n_workers = 1;
        add_hogs(b, 4, 0);
        start(b, 2 * SEC);
        b->balancer->flights = calloc(4, sizeof(struct flight));
        assert_non_null(b->balancer->flights);
        b->balancer->flights_capacity = 4;
        set_gate(sim_kernel_tid(blocked));
        submit_move(b, blocked);
        wait_until_gate_is_reached();
}

/* Opens the gate when the mover takes no more. */
static void *open_at_the_end(void *mover)
{
        while (mover_room(mover) > 0)
                sched_yield();
        set_gate(0);
        return NULL;
}

static void test_what_is_under_way_at_the_end_is_told(void **state)
{
        struct bench *b = *state;
        pthread_t thread;

        start_a_move_without_end(b, 0);
        assert_int_equal(pthread_create(&thread, NULL, open_at_the_end, b->balancer->mover), 0);
        assert_int_equal(balancer_free(TAKE_PTR(b->balancer)), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(b->n_told, 1);
        assert_int_equal(b->last.tid, sim_kernel_tid(0));
        assert_int_equal(b->last.result, MOVER_MOVED);
}

/* What has ended beside a move that is stuck is told, and the end is an error. */
static void test_what_has_ended_beside_a_stuck_move_is_told(void **state)
{
        struct bench *b = *state;
        struct mover *mover;

        start_a_move_without_end(b, 0);
        mover = b->balancer->mover;
        pass_time(b, 2 * POOL_STUCK_NSEC); /* so that another worker is started */
        submit_move(b, 1);
        while (mover_pending(mover) > 1)
                sched_yield();
        assert_int_equal(balancer_free(TAKE_PTR(b->balancer)), -EBUSY);
        assert_int_equal(b->n_told, 1);
        assert_int_equal(b->last.tid, sim_kernel_tid(1));
        assert_int_equal(b->last.result, MOVER_MOVED);
        set_gate(0);
        assert_int_equal(mover_stop(mover), 0);
        assert_int_equal(mover_free(mover), 0);
}

static void test_switched_off(void **state)
{
        struct bench *b = *state;

        b->settings.balance.unbalanced = false;
        add_hogs(b, 3, 0);
        start(b, 3 * SEC);
        assert_verdict(b, 0, VERDICT_SWITCHED_OFF);
}

static void test_switched_off_for_stuck_threads(void **state)
{
        struct bench *b = *state;

        b->balanced = true;
        b->settings.balance.stuck_threads = false;
        add_hogs(b, 3, 0);
        start(b, 3 * SEC);
        assert_verdict(b, 0, VERDICT_SWITCHED_OFF);
}

/* What is told of a thread goes by the settings of the moment. */
static void test_settings_may_change(void **state)
{
        struct bench *b = *state;
        _cleanup_(thread_view_done) struct thread_view before = {0}, after = {0};

        add_hogs(b, 3, 0);
        start(b, 2 * SEC);
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(0), &before), 0);
        assert_int_equal(before.verdict, VERDICT_CANDIDATE);
        b->settings.balance.unbalanced = false;
        balancer_set_settings(b->balancer, &b->settings);
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(0), &after), 0);
        assert_int_equal(after.verdict, VERDICT_SWITCHED_OFF);
}

static void test_view_of_a_thread(void **state)
{
        struct bench *b = *state;
        _cleanup_(thread_view_done) struct thread_view view = {0};

        add_hogs(b, 2, 1);
        start(b, 2 * SEC);
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(1), &view), 0);
        assert_int_equal(view.tid, sim_kernel_tid(1));
        assert_int_equal(view.tgid, sim_kernel_tid(1));
        assert_string_equal(view.comm, "hog");
        assert_int_equal(view.cpu, 7);
        assert_int_equal(view.state, 'R');
        assert_int_equal(view.prio, 120);
        assert_true(view.watched);
        assert_true(view.run > 0.4F && view.run < 0.6F);
        assert_true(view.wait > 0.4F && view.wait < 0.6F);
        assert_true(view.demand > 0.9F);
        assert_int_equal(view.moved_at, 0);
        assert_int_equal(cpuset_count(&view.affinity), 2);
        assert_true(cpuset_contains(&view.affinity, 4) && cpuset_contains(&view.affinity, 7));
}

static void set_affinity(struct bench *b, unsigned task, const char *list)
{
        _cleanup_cpuset_ struct cpuset set = {0};

        assert_int_equal(cpuset_parse_list(list, strlen(list), &set), 0);
        assert_int_equal(sim_ops->set_affinity(b->kernel, sim_kernel_tid(task), &set), 0);
}

static void assert_view(struct bench *b, unsigned task, unsigned cpu, const char *affinity,
                        enum verdict verdict)
{
        _cleanup_(thread_view_done) struct thread_view view = {0};
        _cleanup_free_ char *list = NULL;

        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(task), &view), 0);
        assert_int_equal(cpuset_format_list(&view.affinity, &list), 0);
        assert_string_equal(list, affinity);
        assert_int_equal(view.cpu, cpu);
        assert_string_equal(verdict_to_string(view.verdict), verdict_to_string(verdict));
}

/* What is told together was true at one time: also of what changed since the last sample. */
static void test_verdict_fits_mask_and_place(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 3, 0);
        start(b, 2 * SEC);
        assert_view(b, 0, 4, "4,7", VERDICT_CANDIDATE);
        set_affinity(b, 0, "4");
        assert_view(b, 0, 4, "4", VERDICT_PINNED);
        set_affinity(b, 0, "7");
        assert_view(b, 0, 7, "7", VERDICT_PINNED);
        set_affinity(b, 0, "4,7");
        assert_view(b, 0, 7, "4,7", VERDICT_NOWHERE_BETTER);
}

/* For the time of a move the owner's choice is told, and nothing is learned from the narrow mask.
 */
static void test_narrow_mask_is_not_told(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 3, 0);
        start(b, 2 * SEC);
        hot_of(b, 0)->in_flight = true;
        set_affinity(b, 0, "7");
        assert_view(b, 0, 7, "4,7", VERDICT_MOVING);
}

/* A program that takes another user's rights while it is looked at. */
static int get_affinity_and_owner(struct kernel *kernel, pid_t tid, struct cpuset *ret)
{
        owner = 1000;
        return sim_ops->get_affinity(kernel, tid, ret);
}

static void test_owner_is_read_last(void **state)
{
        struct bench *b = *state;
        _cleanup_(thread_view_done) struct thread_view view = {0};

        add_hogs(b, 2, 0);
        start(b, 2 * SEC);
        b->ops.get_affinity = get_affinity_and_owner;
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(0), &view), 0);
        assert_int_equal(view.uid, 1000);
}

/* Threads that were born since the last tick are known to the kernel alone. */
static void test_thread_not_met_yet(void **state)
{
        struct bench *b = *state;
        _cleanup_(thread_view_done) struct thread_view view = {0};
        struct thread *thread;
        pid_t tgid;
        uid_t uid;

        add_hogs(b, 2, 0);
        start(b, SEC);
        thread = threads_find(&b->balancer->sampler.threads, sim_kernel_tid(1));
        threads_remove(&b->balancer->sampler.threads, b->kernel, thread);
        assert_int_equal(balancer_inspect_owner(b->balancer, sim_kernel_tid(1), &tgid, &uid), 0);
        assert_int_equal(tgid, sim_kernel_tid(1));
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(1), &view), 0);
        assert_false(view.watched);
        assert_int_equal(view.verdict, VERDICT_UNWATCHED);
        assert_int_equal(balancer_inspect_thread(b->balancer, sim_kernel_tid(2), &view), -ESRCH);
        assert_int_equal(balancer_inspect_owner(b->balancer, 1, &tgid, &uid), -ESRCH);
}

static void test_state(void **state)
{
        struct bench *b = *state;
        _cleanup_(balancer_state_done) struct balancer_state whole = {0};

        add_hogs(b, 3, 0);
        start(b, 2 * SEC);
        assert_int_equal(balancer_inspect(b->balancer, &whole), 0);
        assert_true(whole.observing);
        assert_int_equal(whole.trouble, PACE_UNBALANCED);
        assert_int_equal(whole.interval, 20 * MSEC);
        assert_int_equal(whole.n_narrow, 0);
        assert_true(cpuset_contains(&whole.online, 4) && cpuset_contains(&whole.online, 7));
        assert_true(cpuset_equal(&whole.online, &whole.unbalanced));
        assert_int_equal(whole.counts.n_threads, 3);
        assert_false(whole.missing[KERNEL_PRESSURE]);
}

static int become_another_users(struct kernel *kernel, pid_t tid, const struct cpuset *set)
{
        owner = 1000;
        return sim_ops->set_affinity(kernel, tid, set);
}

/* Who may be told of a decision is settled when it is made. */
static void test_owner_is_that_of_the_decision(void **state)
{
        struct bench *b = *state;

        add_hogs(b, 2, 0);
        make_ledger(b);
        make_kernel(b);
        b->ops.set_affinity = become_another_users;
        start_balancer(b);
        run(b, SEC);
        assert_true(b->n_told > 0);
        assert_int_equal(owner, 1000);
        assert_int_equal(b->last.uid, 0);
}

/* The machine sleeps between two decisions: that puts off the second, and not the first. */
static void test_sleep_counts_between_decisions(void **state)
{
        struct bench *b = *state;
        nsec_t slept;

        add_hogs(b, 2, 0);
        start(b, SEC);
        slept = b->balancer->slept;
        assert_true(slept < boottime_of(0) + SEC);
        assert_int_equal(b->last.boottime_at, b->last.at + slept);
        b->balancer->slept += 8 * 3600 * SEC;
        run(b, 10 * SEC);
        assert_int_equal(b->last.boottime_at, b->last.at + slept + 8 * 3600 * SEC);
        assert_int_equal(decisions_get(b->balancer->decisions, 0)->boottime_at,
                         decisions_get(b->balancer->decisions, 0)->at + slept);
}

/* Numbers of chains go on from plan to plan: B makes way for A, on three CPUs. */
static void test_chains_are_numbered_on(void **state)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 1},
                {.id = 1, .core = 1, .capacity = 1},
                {.id = 2, .core = 2, .capacity = 1},
        };
        struct bench *b = *state;
        struct task_spec spec = {.kind = TASK_HOG, .work = SEC, .cpu = 0};
        unsigned first;

        topology_free(TAKE_PTR(b->topology));
        assert_int_equal(topology_new(&b->topology, seeds, ARRAY_SIZE(seeds)), 0);
        assert_int_equal(cpuset_add(&spec.mask, 0), 0);
        add(b, spec); /* only 0 */
        assert_int_equal(cpuset_add(&spec.mask, 1), 0);
        add(b, spec); /* 0 and 1 */
        cpuset_done(&spec.mask);
        spec.cpu = 1;
        assert_int_equal(cpuset_add(&spec.mask, 1), 0);
        assert_int_equal(cpuset_add(&spec.mask, 2), 0);
        add(b, spec); /* 1 and 2 */
        cpuset_done(&spec.mask);
        start(b, SEC);
        assert_int_equal(b->n_told, 2);
        first = b->last.chain;
        assert_true(first > 0);
        run(b, 10 * SEC); /* then the same is told again */
        assert_int_equal(b->n_told, 4);
        assert_true(b->last.chain > first);
}

static int lack_affinity(struct kernel *kernel, enum kernel_source source)
{
        (void)kernel;
        return source == KERNEL_AFFINITY ? -EPERM : 0;
}

/* Without the power to move others' threads nothing is planned for them; users may change. */
static void test_threads_of_others_without_power(void **state)
{
        struct bench *b = *state;
        _cleanup_(balancer_state_done) struct balancer_state whole = {0};

        add_hogs(b, 3, 0);
        make_ledger(b);
        make_kernel(b);
        b->ops.probe = lack_affinity;
        owner = geteuid() + 1;
        start_balancer(b);
        run(b, 2 * SEC);
        assert_verdict(b, 0, VERDICT_DENIED);
        assert_int_equal(b->n_told, 0);
        assert_int_equal(balancer_inspect(b->balancer, &whole), 0);
        assert_true(whole.missing[KERNEL_AFFINITY]);
        owner = geteuid();
        run(b, 3 * SEC);
        assert_true(b->n_told > 0);
}

/* Nothing is known before the first sample, and nothing waits on a machine of sleepers. */
static void test_trouble_is_what_was_found(void **state)
{
        struct bench *b = *state;
        _cleanup_(balancer_state_done) struct balancer_state before = {0}, after = {0};

        b->balanced = true;
        add_sleeper(b);
        start(b, 0);
        assert_int_equal(balancer_inspect(b->balancer, &before), 0);
        assert_int_equal(before.trouble, PACE_QUIET);
        run(b, 20 * MSEC);
        assert_int_equal(balancer_inspect(b->balancer, &after), 0);
        assert_int_equal(after.trouble, PACE_QUIET);
}

/* A mask that is back is not narrow, while children of that time are looked for. */
static void test_narrow_is_told_from_kept(void **state)
{
        struct bench *b = *state;
        _cleanup_(balancer_state_done) struct balancer_state one = {0}, two = {0};
        struct ledger_entry entry = {.tgid = 1, .tid = 1};
        int number;

        add_sleeper(b);
        make_ledger(b);
        start(b, SEC);
        assert_int_equal(cpuset_add(&entry.original, 4), 0);
        assert_int_equal(cpuset_add(&entry.set, 4), 0);
        number = ledger_begin(b->ledger, &entry);
        assert_true(number >= 0);
        assert_int_equal(balancer_inspect(b->balancer, &one), 0);
        assert_int_equal(one.n_narrow, 1);
        assert_int_equal(one.n_kept, 0);
        ledger_settle(b->ledger, number, 1);
        assert_int_equal(balancer_inspect(b->balancer, &two), 0);
        assert_int_equal(two.n_narrow, 0);
        assert_int_equal(two.n_kept, 1);
        ledger_clear(b->ledger, number);
        ledger_entry_done(&entry);
}

static int read_cpus_without_delay(struct kernel *kernel, struct kernel_cpus *ret)
{
        int r;

        r = sim_ops->read_cpus(kernel, ret);
        ret->has_run_delay = false;
        for (unsigned id = 0; id < ret->n_ids; id++)
                ret->cpus[id].run_delay_nsec = 0;
        return r;
}

/* Where the kernel does not tell of CPUs how many wait, their threads do. */
static void test_cpus_without_schedstat(void **state)
{
        struct bench *b = *state;
        struct cpu_view view;

        add_hogs(b, 3, 0);
        make_kernel(b);
        b->ops.read_cpus = read_cpus_without_delay;
        start_balancer(b);
        run(b, 2 * SEC);
        assert_true(balancer_inspect_cpu(b->balancer, 0, &view));
        assert_true(view.waiting > 1.8F && view.waiting < 2.2F);
        assert_true(balancer_inspect_cpu(b->balancer, 1, &view));
        assert_true(view.has_waiting && view.waiting < 0.1F);
        machine_set_balanced(b->machine, 0, 1, true);
        run(b, 2 * SEC);
        assert_true(balancer_inspect_cpu(b->balancer, 0, &view));
        assert_true(view.balanced);
        assert_false(view.has_waiting);
}

static void test_cpus(void **state)
{
        struct bench *b = *state;
        struct cpu_view view;

        add_hogs(b, 2, 0);
        start(b, 2 * SEC);
        assert_true(balancer_inspect_cpu(b->balancer, 0, &view));
        assert_int_equal(view.cpu, 4);
        assert_int_equal(view.n_threads, 2);
        assert_true(view.demand > 1.8F && view.demand <= 2);
        assert_true(view.waiting > 0.8F);
        assert_true(view.idle < 0.1F);
        assert_true(balancer_inspect_cpu(b->balancer, 1, &view));
        assert_int_equal(view.cpu, 7);
        assert_int_equal(view.core, 1);
        assert_int_equal(view.n_threads, 0);
        assert_true(view.idle > 0.9F);
        assert_false(balancer_inspect_cpu(b->balancer, 2, &view));
}

static int read_unbalanced_in_doubt(struct kernel *kernel, struct cpuset *ret)
{
        int r = sim_ops->read_unbalanced(kernel, ret);

        return r < 0 ? r : 1;
}

/* While it is in doubt which CPUs the kernel balances, the next look is soon, however quiet it is.
 */
static void test_doubt_is_soon_decided(void **state)
{
        struct bench *b = *state;

        add_sleeper(b);
        start(b, 10 * SEC);
        assert_int_equal(balancer_tick(b->balancer, &b->next_at), 0);
        assert_int_equal(b->next_at - b->balancer->sampler.now, b->settings.balance.quiet_tick);
        b->ops.read_unbalanced = read_unbalanced_in_doubt;
        balancer_domains_changed(b->balancer);
        assert_int_equal(balancer_tick(b->balancer, &b->next_at), 0);
        assert_int_equal(b->next_at - b->balancer->sampler.now, b->settings.balance.tick);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_doubt_is_soon_decided),
                TEST(test_sleepers_are_not_watched),
                TEST(test_lonely_hogs_are_content),
                TEST(test_hogs_that_could_spread_are_candidates),
                TEST(test_even_hogs_find_nothing_better),
                TEST(test_balanced_hogs_are_patient_until_they_are_stuck),
                TEST(test_masks_of_one_cpu),
                TEST(test_kinds_that_stay),
                TEST(test_times_that_stay),
                TEST(test_what_is_under_way_at_the_end_is_told),
                TEST(test_what_has_ended_beside_a_stuck_move_is_told),
                TEST(test_switched_off),
                TEST(test_switched_off_for_stuck_threads),
                TEST(test_settings_may_change),
                TEST(test_view_of_a_thread),
                TEST(test_thread_not_met_yet),
                TEST(test_state),
                TEST(test_verdict_fits_mask_and_place),
                TEST(test_narrow_mask_is_not_told),
                TEST(test_owner_is_read_last),
                TEST(test_threads_of_others_without_power),
                TEST(test_trouble_is_what_was_found),
                TEST(test_narrow_is_told_from_kept),
                TEST(test_cpus_without_schedstat),
                TEST(test_owner_is_that_of_the_decision),
                TEST(test_sleep_counts_between_decisions),
                TEST(test_chains_are_numbered_on),
                TEST(test_cpus),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
