/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mover's steps before a kernel of a few threads that misbehaves on demand: in whatever way a
 * request ends, the thread must have a mask that its owner chose. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/mover.h"
#include "engine/narrowings.h"
#include "fake-kernel.h"

#define N_RECORDS 8U
#define N_CPUS    4U
#define TICK_NSEC (10 * NSEC_PER_MSEC)

struct fixture {
        char path[64];
        int dir_fd;
        struct ledger *ledger;
        struct fake_kernel *fake;
        struct kernel *kernel;
        struct mover *mover;
};

static int set_up(void **state)
{
        struct mover_options options = {.n_workers = 0};
        struct fixture *f = calloc(1, sizeof(*f));
        bool realtime;

        if (!f)
                return -1;
        snprintf(f->path, sizeof(f->path), "/tmp/test-mover-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->fake = fake_kernel_new(N_CPUS);
        if (!f->fake || ledger_open(&f->ledger, f->dir_fd, N_RECORDS, N_CPUS) < 0)
                return -1;
        f->kernel = fake_kernel_door(f->fake);
        fake_set_now(f->fake, 100 * NSEC_PER_SEC);
        *state = f;
        return mover_new(&f->mover, f->kernel, f->ledger, &options, &realtime);
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        int r = mover_free(f->mover);

        if (fake_n_handles(f->fake) != 0)
                r = -1;
        kernel_free(f->kernel);
        ledger_free(f->ledger);
        (void)unlinkat(f->dir_fd, "ledger", 0);
        close(f->dir_fd);
        (void)rmdir(f->path);
        free(f);
        return r;
}

/* The tick in which the clock stands. */
static uint64_t now_ticks(const struct fixture *f)
{
        return boottime_of(f->kernel->ops->now(f->kernel)) / TICK_NSEC;
}

static void submit(struct fixture *f, enum mover_kind kind, pid_t tid, const char *expected,
                   unsigned to)
{
        struct mover_request request = {
                .kind = kind,
                .tgid = 10,
                .tid = tid,
                .start_ticks = 5,
                .to = to,
                .cookie = 42,
        };

        assert_int_equal(cpuset_parse_list(expected, strlen(expected), &request.expected), 0);
        assert_int_equal(mover_submit(f->mover, &request), 0);
        assert_true(cpuset_is_empty(&request.expected));
}

static void take_report(struct fixture *f, struct mover_report *report)
{
        struct pollfd ready = {.fd = mover_fd(f->mover), .events = POLLIN};

        assert_int_equal(poll(&ready, 1, 10000), 1);
        assert_int_equal(mover_next_report(f->mover, report), 1);
        assert_int_equal(report->request.cookie, 42);
        assert_true(cpuset_is_empty(&report->request.expected));
}

static void check_report(struct mover_report *report, enum mover_result result, int error)
{
        assert_string_equal(mover_result_to_string(report->result), mover_result_to_string(result));
        assert_int_equal(report->error, error);
        assert_true(result == MOVER_FOREIGN || cpuset_is_empty(&report->mask));
        mover_report_done(report);
}

static void assert_next(struct fixture *f, enum mover_result result)
{
        struct mover_report report;

        take_report(f, &report);
        check_report(&report, result, 0);
}

static void assert_result(struct fixture *f, enum mover_result result, int error)
{
        struct mover_report report;

        take_report(f, &report);
        check_report(&report, result, error);
        assert_int_equal(mover_next_report(f->mover, &report), 0);
}

static void run(struct fixture *f, enum mover_kind kind, enum mover_result result, int error)
{
        submit(f, kind, 11, "0-3", 2);
        assert_result(f, result, error);
}

static void assert_mask(const struct fake_thread *thread, const char *list)
{
        _cleanup_free_ char *mask = NULL;

        assert_int_equal(cpuset_format_list(&thread->allowed, &mask), 0);
        assert_string_equal(mask, list);
}

static struct fake_thread *add(struct fixture *f, pid_t tid, const char *mask)
{
        return fake_thread_add(f->fake, 10, tid, 5, mask);
}

static void restore(struct fixture *f, struct ledger_report *ret)
{
        assert_int_equal(ledger_restore(f->ledger, f->kernel, ret), 0);
}

/* Lets a second go by, in which every thread that could be born is. */
static void pass_births(struct fixture *f)
{
        nsec_t now = f->kernel->ops->now(f->kernel) + NSEC_PER_SEC;

        fake_set_now(f->fake, now);
        mover_births_checked(f->mover, now);
        mover_births_checked(f->mover, now + NSEC_PER_MSEC);
}

/* Nudges. */

static void test_nudge(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-2");

        submit(f, MOVER_NUDGE, 11, "0-2", 2);
        assert_result(f, MOVER_MOVED, 0);
        assert_int_equal(thread->stat.cpu, 2);
        assert_mask(thread, "0-2");
        assert_false(thread->whole_was_asked);
        assert_int_equal(thread->n_sets, 2);
        assert_int_equal(ledger_count(f->ledger), 1); /* settled: its births are not known yet */
        pass_births(f);
        assert_int_equal(ledger_count(f->ledger), 0);
}

static void test_whole_cpuset_gets_all_ones(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        assert_mask(thread, "0-3");
        assert_true(thread->whole_was_asked);
}

static void test_offline_cpus_are_kept(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread;

        fake_set_cpuset(f->fake, "0-7");
        thread = add(f, 11, "0-1,6"); /* 6 is offline */
        submit(f, MOVER_NUDGE, 11, "0-1", 1);
        assert_result(f, MOVER_MOVED, 0);
        assert_mask(thread, "0-1,6");
}

static void assert_untouched(struct fixture *f, const struct fake_thread *thread)
{
        assert_int_equal(thread->n_sets, 0);
        assert_int_equal(ledger_count(f->ledger), 0);
        assert_int_equal(fake_n_handles(f->fake), 0);
}

static void test_sleeper_is_left_alone(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        thread->stat.state = 'S';
        run(f, MOVER_NUDGE, MOVER_ASLEEP, 0);
        assert_untouched(f, thread);
}

static void test_already_there(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        thread->stat.cpu = 2;
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        assert_untouched(f, thread);
}

static void test_never_touched(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        thread->stat.kernel_thread = true;
        run(f, MOVER_NUDGE, MOVER_INVALID, -EINVAL);
        run(f, MOVER_HOLD, MOVER_INVALID, -EINVAL);
        thread->stat.kernel_thread = false;
        thread->stat.policy = 6; /* SCHED_DEADLINE */
        run(f, MOVER_NUDGE, MOVER_INVALID, -EBUSY);
        run(f, MOVER_HOLD, MOVER_INVALID, -EBUSY);
        thread->stat.policy = SCHED_OTHER;
        thread->stat.state = 'Z';
        run(f, MOVER_NUDGE, MOVER_GONE, 0);
        thread->stat.state = 'R';
        fake_thread_set_mask(thread, "2");
        thread->stat.cpu = 1;
        submit(f, MOVER_NUDGE, 11, "2", 2);
        assert_result(f, MOVER_INVALID, -EINVAL);
        fake_thread_set_mask(thread, "0-1");
        submit(f, MOVER_NUDGE, 11, "0-1", 2); /* wider than its owner chose */
        assert_result(f, MOVER_INVALID, -EINVAL);
        assert_untouched(f, thread);
}

static void test_another_thread_by_now(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        thread->stat.start_ticks = 6;
        run(f, MOVER_NUDGE, MOVER_GONE, 0);
        run(f, MOVER_HOLD, MOVER_GONE, 0);
        assert_untouched(f, thread);
        submit(f, MOVER_NUDGE, 12, "0-3", 2);
        assert_result(f, MOVER_GONE, 0);
}

static void test_mask_is_not_what_was_seen(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0,2");
        struct mover_report report;

        submit(f, MOVER_NUDGE, 11, "0-3", 2);
        take_report(f, &report);
        assert_int_equal(report.result, MOVER_FOREIGN);
        assert_true(cpuset_equal(&report.mask, &thread->allowed));
        mover_report_done(&report);
        assert_untouched(f, thread);
}

static void write_mask(struct fake_kernel *fake, void *userdata)
{
        fake_thread_set_mask(fake_thread_find(fake, 11), userdata);
}

static char foreign_mask[] = "0,3";

static void test_foreign_writer_meanwhile(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        /* Before the last look; between the step and the look behind it. */
        fake_before(f->fake, FAKE_GET_AFFINITY, 1, write_mask, foreign_mask);
        run(f, MOVER_NUDGE, MOVER_FOREIGN, 0);
        assert_int_equal(thread->n_sets, 0);
        assert_mask(thread, foreign_mask);
        fake_thread_set_mask(thread, "0-3");
        fake_before(f->fake, FAKE_GET_AFFINITY, 2, write_mask, foreign_mask);
        run(f, MOVER_NUDGE, MOVER_FOREIGN, 0);
        assert_int_equal(thread->n_sets, 1);
        assert_mask(thread, foreign_mask);
}

static void exit_thread(struct fake_kernel *fake, void *userdata)
{
        (void)userdata;
        fake_thread_find(fake, 11)->gone = true;
}

/* It ends before any of the calls that a nudge makes, the first and the second time. */
static void test_exit_at_every_step(void **state)
{
        struct fixture *f = *state;

        for (unsigned op = 0; op < _FAKE_OP_MAX; op++)
                for (unsigned nth = 1; nth <= 2; nth++) {
                        struct fake_thread *thread = add(f, 11, "0-3");

                        fake_before(f->fake, op, nth, exit_thread, NULL);
                        submit(f, MOVER_NUDGE, 11, "0-3", 2);
                        if (thread->gone)
                                assert_result(f, MOVER_GONE, 0);
                        else
                                assert_result(f, MOVER_MOVED, 0);
                        fake_before(f->fake, op, 0, NULL, NULL);
                        pass_births(f);
                        assert_int_equal(fake_n_handles(f->fake), 0);
                        assert_int_equal(ledger_count(f->ledger), 0);
                        thread->gone = true;
                }
}

/* Its TID belongs to another thread when the mask would go back. */
static void replace_thread(struct fake_kernel *fake, void *userdata)
{
        exit_thread(fake, NULL);
        fake_thread_add(fake, 50, 11, 5, userdata);
}

static void test_reused_tid_is_not_touched(void **state)
{
        struct fixture *f = *state;
        char mask[] = "2";

        add(f, 11, "0-3");
        fake_before(f->fake, FAKE_READ_COUNTERS, 1, replace_thread, mask);
        run(f, MOVER_NUDGE, MOVER_GONE, 0);
        assert_mask(fake_thread_find(f->fake, 11), "2");
        assert_int_equal(fake_thread_find(f->fake, 11)->n_sets, 0);
}

static void test_errors_before_the_step(void **state)
{
        static const struct {
                enum fake_op op;
                int error;
                enum mover_result result;
        } cases[] = {
                {FAKE_READ_THREAD, -EPROTO, MOVER_FAILED},
                {FAKE_READ_THREAD, -EACCES, MOVER_DENIED},
                {FAKE_READ_ALLOWED, -ENOMEM, MOVER_FAILED},
                {FAKE_READ_CPUSET, -ENOMEM, MOVER_FAILED},
                {FAKE_READ_CPUSET, -EMFILE, MOVER_FAILED},
                {FAKE_GET_AFFINITY, -EPERM, MOVER_DENIED},
                {FAKE_SET_AFFINITY, -EPERM, MOVER_DENIED},
                {FAKE_SET_AFFINITY, -EINVAL, MOVER_INVALID},
                {FAKE_SET_AFFINITY, -EBUSY, MOVER_INVALID},
                {FAKE_SET_AFFINITY, -ENOMEM, MOVER_FAILED},
        };
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
                fake_fail(f->fake, cases[i].op, 1, cases[i].error);
                run(f, MOVER_NUDGE, cases[i].result, cases[i].error);
                assert_untouched(f, thread);
                fake_fail(f->fake, cases[i].op, 1, cases[i].error);
                run(f, MOVER_HOLD, cases[i].result, cases[i].error);
                assert_untouched(f, thread);
        }
}

static void test_no_descriptor_is_done_without(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        fake_fail(f->fake, FAKE_OPEN_THREAD, 1, -EMFILE);
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        assert_mask(thread, "0-3");
}

/* A mask that may be all of a cpuset would not grow with it any more. */
static void test_cpuset_that_cannot_be_seen(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-2");

        fake_set_cpuset(f->fake, "0-2");
        fake_hide_cpusets(f->fake);
        submit(f, MOVER_NUDGE, 11, "0-2", 2);
        assert_result(f, MOVER_DENIED, -EACCES);
        assert_untouched(f, thread);
}

/* Who may run everywhere has nothing to gain by a cpuset; CPUs that are offline are kept. */
static void test_every_cpu_in_a_cpuset_that_cannot_be_seen(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        fake_hide_cpusets(f->fake);
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        assert_mask(thread, "0-3");
        assert_true(thread->whole_was_asked);
        fake_set_cpuset(f->fake, "0-7");
        fake_thread_set_mask(thread, "0-3,6");
        thread->stat.cpu = 0;
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        assert_mask(thread, "0-3,6");
        assert_false(thread->whole_was_asked);
}

/* What cannot be given back stays in the ledger and is tried again. */
static void test_owed(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        fake_fail(f->fake, FAKE_SET_AFFINITY, 2, -EPERM);
        run(f, MOVER_NUDGE, MOVER_DENIED, -EPERM);
        assert_mask(thread, "2");
        run(f, MOVER_NUDGE, MOVER_INVALID, -EBUSY);
        fake_fail(f->fake, FAKE_SET_AFFINITY, 1, -EPERM);
        mover_births_checked(f->mover, 100 * NSEC_PER_SEC);
        assert_mask(thread, "2");
        assert_int_equal(ledger_count(f->ledger), 1);
        mover_births_checked(f->mover, 100 * NSEC_PER_SEC);
        assert_mask(thread, "0-3");
        pass_births(f);
        assert_int_equal(ledger_count(f->ledger), 0);
}

static void shrink_cpuset(struct fake_kernel *fake, void *userdata)
{
        fake_set_cpuset(fake, userdata);
}

/* Nothing of the original is left in the cpuset when it goes back: the cpuset's CPUs then. */
static void test_cpuset_changes_meanwhile(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0,2");
        char list[] = "3";

        fake_before(f->fake, FAKE_SET_AFFINITY, 2, shrink_cpuset, list);
        submit(f, MOVER_NUDGE, 11, "0,2", 2);
        assert_result(f, MOVER_ASLEEP, 0);
        assert_mask(thread, "3");
}

static void test_ledger_full(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread;

        for (pid_t tid = 20; tid < 20 + (pid_t)N_RECORDS; tid++) {
                add(f, tid, "0-3");
                submit(f, MOVER_HOLD, tid, "0-3", 2);
                assert_result(f, MOVER_MOVED, 0);
        }
        thread = add(f, 11, "0-3");
        run(f, MOVER_NUDGE, MOVER_NO_ROOM, 0);
        assert_int_equal(thread->n_sets, 0);
        submit(f, MOVER_RELEASE, 20, "", 0);
        assert_result(f, MOVER_RELEASED, 0);
        pass_births(f);
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
}

/* Holds. */

static void test_hold_and_release(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        thread->stat.state = 'S'; /* a sleeper can be held */
        run(f, MOVER_HOLD, MOVER_MOVED, 0);
        assert_mask(thread, "2");
        assert_int_equal(fake_n_handles(f->fake), 1);
        run(f, MOVER_NUDGE, MOVER_INVALID, -EBUSY);
        run(f, MOVER_HOLD, MOVER_INVALID, -EBUSY);
        pass_births(f);
        assert_mask(thread, "2");
        run(f, MOVER_RELEASE, MOVER_RELEASED, 0);
        assert_mask(thread, "0-3");
        run(f, MOVER_RELEASE, MOVER_INVALID, -ENOENT);
        pass_births(f);
        assert_int_equal(fake_n_handles(f->fake), 0);
}

static void test_release_finds_a_foreign_mask(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        run(f, MOVER_HOLD, MOVER_MOVED, 0);
        fake_thread_set_mask(thread, "1");
        run(f, MOVER_RELEASE, MOVER_FOREIGN, 0);
        assert_mask(thread, "1");
}

/* While a thread of CPUs 1 and 2 is held on 2 its cpuset becomes CPUSET and its mask MASK. */
static struct fake_thread *hold_meanwhile(struct fixture *f, const char *cpuset, const char *mask)
{
        struct fake_thread *thread = add(f, 11, "1-2");

        submit(f, MOVER_HOLD, 11, "1-2", 2);
        assert_result(f, MOVER_MOVED, 0);
        fake_set_cpuset(f->fake, cpuset);
        fake_thread_set_mask(thread, mask);
        return thread;
}

/* The kernel has taken the CPU away, and put all of the cpuset in its place. */
static void test_release_finds_the_cpuset_without_the_cpu(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = hold_meanwhile(f, "0-1,3", "0-1,3");

        run(f, MOVER_RELEASE, MOVER_RELEASED, 0);
        assert_mask(thread, "1");
}

/* All of a cpuset that still has the CPU is somebody's choice. */
static void test_release_finds_the_cpuset_with_the_cpu(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = hold_meanwhile(f, "0,2-3", "0,2-3");

        run(f, MOVER_RELEASE, MOVER_FOREIGN, 0);
        assert_mask(thread, "0,2-3");
}

/* The CPU went offline and came back: the kernel put nothing back, and what it did in between
 * cannot be told from somebody's choice. */
static void test_release_finds_the_cpu_back(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = hold_meanwhile(f, "0-1,3", "0-1,3");

        fake_set_cpuset(f->fake, "0-3");
        fake_thread_set_mask(thread, "0-3");
        run(f, MOVER_RELEASE, MOVER_FOREIGN, 0);
        assert_mask(thread, "0-3");
}

/* What may be read the next time is no reason to believe that somebody else set the mask. */
static void test_release_cannot_read_the_cpuset_for_the_moment(void **state)
{
        static const int errors[] = {-EMFILE, -ENFILE, -EIO, -ENOMEM};
        struct fixture *f = *state;
        struct fake_thread *thread = hold_meanwhile(f, "0-1,3", "0-1,3");

        for (unsigned i = 0; i < ARRAY_SIZE(errors); i++) {
                fake_fail(f->fake, FAKE_READ_CPUSET, 1, errors[i]);
                run(f, MOVER_RELEASE, MOVER_FAILED, errors[i]);
                assert_mask(thread, "0-1,3");
                assert_int_equal(ledger_count_narrow(f->ledger), 1);
        }
        mover_births_checked(f->mover, 100 * NSEC_PER_SEC);
        assert_mask(thread, "1");
        assert_int_equal(ledger_count_narrow(f->ledger), 0);
}

static void test_release_can_never_see_the_cpuset(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = hold_meanwhile(f, "0-1,3", "0-1,3");

        fake_fail(f->fake, FAKE_READ_CPUSET, 1, -EACCES);
        run(f, MOVER_RELEASE, MOVER_FOREIGN, 0);
        assert_mask(thread, "0-1,3");
        assert_int_equal(ledger_count_narrow(f->ledger), 0);
}

/* What it cannot be seen to be it is taken for: all that is online. */
static void test_release_does_not_see_the_cpuset(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = hold_meanwhile(f, "0-1,3", "0-1,3");

        fake_hide_cpusets(f->fake);
        run(f, MOVER_RELEASE, MOVER_FOREIGN, 0);
        assert_mask(thread, "0-1,3");
}

static void test_end_releases_holds(void **state)
{
        struct fixture *f = *state;
        struct mover_options options = {.n_workers = 0};
        struct fake_thread *thread = add(f, 11, "0-3");
        bool realtime;

        run(f, MOVER_HOLD, MOVER_MOVED, 0);
        assert_int_equal(mover_free(f->mover), 0);
        f->mover = NULL;
        assert_mask(thread, "0-3");
        assert_int_equal(mover_new(&f->mover, f->kernel, f->ledger, &options, &realtime), 0);
}

/* Children. */

static int check_birth(struct fixture *f, const struct fake_thread *child)
{
        return mover_check_birth(f->mover, child->tgid, child->tid, child->stat.ppid,
                                 child->stat.start_ticks);
}

static struct fake_thread *add_child(struct fixture *f, pid_t ppid, pid_t tgid, pid_t tid,
                                     uint64_t start_ticks, const char *mask)
{
        struct fake_thread *child = fake_thread_add(f->fake, tgid, tid, start_ticks, mask);

        child->stat.ppid = ppid;
        return child;
}

static void test_child_gets_its_parents_mask(void **state)
{
        struct fixture *f = *state;
        uint64_t now = now_ticks(f);
        struct fake_thread *process, *thread, *grandchild, *stranger, *older, *chosen, *later;

        add(f, 11, "0-2");
        submit(f, MOVER_NUDGE, 11, "0-2", 2);
        assert_result(f, MOVER_MOVED, 0);
        process = add_child(f, 10, 60, 60, now, "2");
        process->starves = true; /* its own children are on their way */
        grandchild = add_child(f, 60, 61, 61, now + 1, "2");
        thread = add_child(f, 1, 10, 62, now, "2");
        stranger = add_child(f, 1, 63, 63, now, "2");
        older = add_child(f, 10, 64, 64, now - 1, "2");
        chosen = add_child(f, 10, 65, 65, now, "1");
        later = add_child(f, 10, 66, 66, now + 1100, "2");

        assert_int_equal(check_birth(f, grandchild), 0); /* its parent is not known yet */
        assert_int_equal(check_birth(f, process), 1);
        assert_int_equal(check_birth(f, grandchild), 1);
        assert_int_equal(check_birth(f, thread), 1);
        assert_int_equal(check_birth(f, stranger), 0);
        assert_int_equal(check_birth(f, older), 0);
        assert_int_equal(check_birth(f, chosen), 0);
        assert_int_equal(check_birth(f, later), 0);
        assert_mask(process, "0-2");
        assert_mask(grandchild, "0-2");
        assert_mask(thread, "0-2");
        assert_mask(stranger, "2");
        assert_mask(older, "2");
        assert_mask(chosen, "1");
        assert_mask(later, "2");
        assert_int_equal(check_birth(f, process), 0);

        process->starves = false;
        pass_births(f);
        assert_int_equal(ledger_count(f->ledger), 0);
}

static void test_child_of_a_held_thread(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *parent = add(f, 11, "0-3"), *child;

        run(f, MOVER_HOLD, MOVER_MOVED, 0);
        pass_births(f);
        child = add_child(f, 10, 60, 60, now_ticks(f) + 5000, "2");
        assert_int_equal(check_birth(f, child), 1);
        assert_mask(child, "0-3");
        assert_true(child->whole_was_asked);
        assert_mask(parent, "2");
        assert_int_equal(check_birth(f, parent), 0); /* held, no child of its own process */
        assert_mask(parent, "2");
}

/* Two threads of a process, one CPU: nobody can tell whose child it is. */
static void test_child_of_either_gets_the_smaller_mask(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *child;

        add(f, 11, "0-3");
        add(f, 12, "1-2");
        run(f, MOVER_HOLD, MOVER_MOVED, 0);
        submit(f, MOVER_HOLD, 12, "1-2", 2);
        assert_result(f, MOVER_MOVED, 0);
        child = add_child(f, 1, 10, 60, now_ticks(f), "2");
        assert_int_equal(check_birth(f, child), 1);
        assert_mask(child, "1-2");
}

/* Moves the clock by SPAN, and says that all births until then are known. */
static void go_on(struct fixture *f, nsec_t span)
{
        nsec_t now = f->kernel->ops->now(f->kernel) + span;

        fake_set_now(f->fake, now);
        mover_births_checked(f->mover, now);
}

static void test_births_of_a_sleeper(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        thread->starves = true;
        thread->stat.state = 'S';
        go_on(f, 2 * NSEC_PER_MSEC);
        assert_int_equal(ledger_count(f->ledger), 1); /* its last child may not be known */
        go_on(f, NSEC_PER_MSEC);
        assert_int_equal(ledger_count(f->ledger), 0);
        assert_int_equal(fake_n_handles(f->fake), 0);
}

/* Two threads that pinned themselves, born a while after a nudge to that very CPU: the nudged
 * thread sleeps, or has run too long since, to have been forking them all the time. */
static void test_threads_that_pin_themselves(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3"), *sibling, *worker;

        thread->starves = true;
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        fake_set_now(f->fake, f->kernel->ops->now(f->kernel) + 80 * NSEC_PER_MSEC);
        thread->run_nsec += 60 * NSEC_PER_MSEC; /* so it had 20 ms of them, 40 ms ago */
        sibling = add_child(f, 1, 10, 60, now_ticks(f) - 2, "2");
        worker = add_child(f, 10, 61, 61, now_ticks(f) - 2, "2");
        assert_int_equal(check_birth(f, sibling), 0);
        assert_int_equal(check_birth(f, worker), 0);
        assert_mask(sibling, "2");
        assert_mask(worker, "2");

        thread->stat.cpu = 0;
        submit(f, MOVER_NUDGE, 11, "0-3", 1);
        assert_result(f, MOVER_MOVED, 0);
        go_on(f, 10 * NSEC_PER_MSEC);
        thread->stat.state = 'S';
        go_on(f, 10 * NSEC_PER_MSEC);
        thread->stat.state = 'R';
        go_on(f, 60 * NSEC_PER_MSEC);
        sibling = add_child(f, 1, 10, 62, now_ticks(f), "1");
        assert_int_equal(check_birth(f, sibling), 0);
        assert_mask(sibling, "1");
}

/* A thread is born faster than a process, which gets a copy of the memory's map. */
static void test_births_of_threads_end_first(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3"), *sibling, *process;

        thread->starves = true;
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        fake_set_now(f->fake, f->kernel->ops->now(f->kernel) + 50 * NSEC_PER_MSEC);
        thread->run_nsec += NARROWING_THREAD_RUN_NSEC;
        sibling = add_child(f, 1, 10, 60, now_ticks(f) + 1, "2");
        process = add_child(f, 10, 61, 61, now_ticks(f) + 1, "2");
        assert_int_equal(check_birth(f, sibling), 0);
        assert_int_equal(check_birth(f, process), 1);
        assert_mask(sibling, "2");
        assert_mask(process, "0-3");
}

/* It may be in the middle of a fork(2) for as long as it gets no CPU. */
static void test_births_of_a_starving_thread(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3"), *child;

        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        thread->starves = true;
        for (unsigned i = 0; i < 3; i++)
                go_on(f, NSEC_PER_SEC);
        assert_int_equal(ledger_count(f->ledger), 1);
        child = add_child(f, 10, 60, 60, now_ticks(f), "2");
        assert_int_equal(check_birth(f, child), 1);
        child->stat.state = 'S';
        thread->starves = false;
        go_on(f, NSEC_PER_SEC);
        go_on(f, NSEC_PER_SEC);
        assert_int_equal(ledger_count(f->ledger), 0);
        child = add_child(f, 10, 61, 61, now_ticks(f), "2");
        assert_int_equal(check_birth(f, child), 0);
}

static void test_births_are_given_up(void **state)
{
        struct fixture *f = *state;

        add(f, 11, "0-3")->starves = true;
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        go_on(f, NARROWING_BIRTH_LIMIT_NSEC - NSEC_PER_SEC);
        go_on(f, 0);
        assert_int_equal(ledger_count(f->ledger), 1);
        go_on(f, 2 * NSEC_PER_SEC);
        go_on(f, NSEC_PER_SEC);
        assert_int_equal(ledger_count(f->ledger), 0);
}

/* Nudged again and again, a thread takes one record. */
static void test_same_nudge_again(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        for (unsigned i = 0; i < 3 * N_RECORDS; i++) {
                thread->stat.cpu = 0;
                run(f, MOVER_NUDGE, MOVER_MOVED, 0);
                assert_mask(thread, "0-3");
        }
        assert_int_equal(ledger_count(f->ledger), 1);
        assert_int_equal(fake_n_handles(f->fake), 1);
        submit(f, MOVER_NUDGE, 11, "0-3", 3);
        assert_result(f, MOVER_MOVED, 0);
        assert_int_equal(ledger_count(f->ledger), 2);
        thread->stat.cpu = 0;
        fake_fail(f->fake, FAKE_SET_AFFINITY, 1, -EPERM);
        run(f, MOVER_NUDGE, MOVER_DENIED, -EPERM);
        assert_int_equal(ledger_count(f->ledger), 2);
        pass_births(f);
        assert_int_equal(ledger_count(f->ledger), 0);
}

/* The ledger's record of a mover that is no more. */

static int narrow_by_hand(struct fixture *f, struct fake_thread *thread, const char *set)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {
                .tgid = thread->tgid,
                .tid = thread->tid,
                .start_ticks = thread->stat.start_ticks,
                .narrowed_at = boottime_of(f->kernel->ops->now(f->kernel)),
        };

        assert_int_equal(cpuset_copy(&entry.original, &thread->allowed), 0);
        assert_int_equal(cpuset_parse_list(set, strlen(set), &entry.set), 0);
        fake_thread_set_mask(thread, set);
        return ledger_begin(f->ledger, &entry);
}

static void test_restore(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *narrow = add(f, 11, "0-2"), *intact = add(f, 12, "0-2");
        struct fake_thread *foreign = add(f, 13, "0-2"), *gone = add(f, 14, "0-2");
        struct fake_thread *reused = add(f, 15, "0-2");
        struct ledger_report report;

        assert_true(narrow_by_hand(f, narrow, "2") >= 0);
        assert_true(narrow_by_hand(f, intact, "2") >= 0);
        assert_true(narrow_by_hand(f, foreign, "2") >= 0);
        assert_true(narrow_by_hand(f, gone, "2") >= 0);
        assert_true(narrow_by_hand(f, reused, "2") >= 0);
        fake_thread_set_mask(intact, "0-2");
        fake_thread_set_mask(foreign, "1");
        gone->gone = true;
        reused->stat.start_ticks++;
        restore(f, &report);
        assert_mask(narrow, "0-2");
        assert_mask(intact, "0-2");
        assert_mask(foreign, "1");
        assert_mask(reused, "2");
        assert_int_equal(report.n_records, 5);
        assert_int_equal(report.n_restored, 1);
        assert_int_equal(report.n_intact, 1);
        assert_int_equal(report.n_foreign, 1);
        assert_int_equal(report.n_gone, 2);
        assert_int_equal(report.n_failed, 0);
        assert_int_equal(ledger_count(f->ledger), 0);
        restore(f, &report);
        assert_int_equal(report.n_records, 0);
}

static void test_restore_children(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *parent = add(f, 11, "0-2");
        uint64_t now = now_ticks(f);
        /* The listing meets the grandchild first. */
        struct fake_thread *grandchild = add_child(f, 60, 61, 61, now + 1, "2");
        struct fake_thread *child = add_child(f, 10, 60, 60, now, "2");
        struct fake_thread *older = add_child(f, 10, 62, 62, now - 1, "2");
        struct fake_thread *stranger = add_child(f, 1, 63, 63, now, "2");
        struct ledger_report report;

        ledger_settle(f->ledger, narrow_by_hand(f, parent, "2"),
                      boottime_of(f->kernel->ops->now(f->kernel)));
        fake_thread_set_mask(parent, "0-2");
        restore(f, &report);
        assert_mask(child, "0-2");
        assert_mask(grandchild, "0-2");
        assert_mask(older, "2");
        assert_mask(stranger, "2");
        assert_int_equal(report.n_restored, 0);
        assert_int_equal(report.n_children, 2);
        assert_int_equal(ledger_count(f->ledger), 0);
}

static void test_restore_denied_keeps_the_record(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-2");
        struct ledger_report report;

        assert_true(narrow_by_hand(f, thread, "2") >= 0);
        fake_fail(f->fake, FAKE_SET_AFFINITY, 1, -EPERM);
        restore(f, &report);
        assert_int_equal(report.n_failed, 1);
        assert_mask(thread, "2");
        assert_int_equal(ledger_count(f->ledger), 1);
        restore(f, &report);
        assert_mask(thread, "0-2");
        assert_int_equal(ledger_count(f->ledger), 0);
}

/* Workers. */

static void start_workers(struct fixture *f, unsigned n_workers)
{
        struct mover_options options = {.n_workers = n_workers};
        bool realtime;

        assert_int_equal(mover_free(f->mover), 0);
        assert_int_equal(mover_new(&f->mover, f->kernel, f->ledger, &options, &realtime), 0);
}

static void test_worker(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *thread = add(f, 11, "0-3");

        start_workers(f, 1);
        run(f, MOVER_NUDGE, MOVER_MOVED, 0);
        assert_mask(thread, "0-3");
        run(f, MOVER_HOLD, MOVER_MOVED, 0);
        run(f, MOVER_RELEASE, MOVER_RELEASED, 0);
        assert_mask(thread, "0-3");
        assert_int_equal(mover_pending(f->mover), 0);
        assert_int_equal(mover_stuck_since(f->mover), 0);
}

static void take_pairs(struct fixture *f, unsigned n_pairs)
{
        for (unsigned i = 0; i < 2 * n_pairs; i++)
                assert_next(f, i % 2 == 0 ? MOVER_MOVED : MOVER_RELEASED);
}

/* Each would fail if another worker had done the second of two before the first. */
static void test_order_of_one_thread(void **state)
{
        struct fixture *f = *state;

        add(f, 11, "0-3");
        start_workers(f, 3);
        for (unsigned i = 0; i < 50; i++) {
                for (unsigned pair = 0; pair < 4; pair++) {
                        submit(f, MOVER_HOLD, 11, "0-3", 2);
                        submit(f, MOVER_RELEASE, 11, "", 0);
                }
                take_pairs(f, 4);
                pass_births(f);
        }
}

static void test_too_much_is_refused(void **state)
{
        struct fixture *f = *state;
        struct mover_request request = {.kind = MOVER_RELEASE, .tgid = 10, .tid = 11};
        struct mover_report report;
        unsigned n = 0;
        int r;

        assert_int_equal(cpuset_add(&request.expected, 1), 0);
        assert_int_equal(mover_room(f->mover), 1024);
        while ((r = mover_submit(f->mover, &request)) == 0)
                assert_int_equal(mover_room(f->mover), 1024 - ++n);
        assert_int_equal(r, -EBUSY);
        assert_int_equal(n, 1024);
        mover_request_done(&request);
        while (mover_next_report(f->mover, &report))
                n--;
        assert_int_equal(n, 0);
        assert_int_equal(mover_submit(f->mover, &request), 0);
}

static void wait_for_stuck(struct fixture *f)
{
        while (!fake_is_blocking(f->fake))
                sched_yield();
        fake_set_now(f->fake, 101 * NSEC_PER_SEC);
}

/* A call that does not come back keeps its own thread waiting, and nobody else. */
static void test_stuck_worker(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *stuck = add(f, 11, "0-3"), *other = add(f, 12, "0-3");
        struct mover_report report;

        start_workers(f, 1);
        fake_block(f->fake, stuck);
        submit(f, MOVER_NUDGE, 11, "0-3", 2);
        wait_for_stuck(f);
        assert_int_equal(mover_stuck_since(f->mover), 100 * NSEC_PER_SEC);
        submit(f, MOVER_NUDGE, 11, "0-3", 3);
        submit(f, MOVER_NUDGE, 12, "0-3", 2);
        assert_next(f, MOVER_MOVED);
        assert_mask(other, "0-3");
        assert_int_equal(mover_pending(f->mover), 2);
        assert_int_equal(mover_next_report(f->mover, &report), 0);
        fake_unblock(f->fake);
        assert_next(f, MOVER_MOVED);
        assert_next(f, MOVER_MOVED);
        assert_int_equal(stuck->stat.cpu, 3);
        assert_mask(stuck, "0-3");
}

/* One worker is stuck in a nudge of the thread, with which it does not end. */
static void get_stuck(struct fixture *f, const struct fake_thread *thread)
{
        fake_block(f->fake, thread);
        submit(f, MOVER_NUDGE, thread->tid, "0-3", 2);
        wait_for_stuck(f);
        assert_int_equal(mover_stop(f->mover), -EBUSY);
}

/* It is not waited for for long, and what it has narrowed stays in the ledger. */
static void test_end_with_a_stuck_worker(void **state)
{
        struct fixture *f = *state;
        struct fake_thread *stuck = add(f, 11, "0-3"), *held = add(f, 12, "0-3");

        start_workers(f, 1);
        submit(f, MOVER_HOLD, 12, "0-3", 2);
        assert_next(f, MOVER_MOVED);
        get_stuck(f, stuck);
        assert_int_equal(mover_free(f->mover), -EBUSY);
        assert_mask(held, "0-3");
        assert_int_equal(ledger_count(f->ledger), 2);
        fake_unblock(f->fake);
        assert_int_equal(mover_stop(f->mover), 0);
        assert_mask(stuck, "0-3");
}

/* What was said of the end holds: the report, which comes too late, is not dropped unseen. */
static void test_stuck_worker_that_ends_after_the_stop(void **state)
{
        struct fixture *f = *state;

        start_workers(f, 1);
        get_stuck(f, add(f, 11, "0-3"));
        fake_unblock(f->fake);
        while (mover_pending(f->mover) > 0)
                sched_yield();
        assert_int_equal(mover_free(f->mover), -EBUSY);
        assert_next(f, MOVER_MOVED);
        assert_int_equal(mover_stop(f->mover), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_nudge),
                TEST(test_whole_cpuset_gets_all_ones),
                TEST(test_offline_cpus_are_kept),
                TEST(test_sleeper_is_left_alone),
                TEST(test_already_there),
                TEST(test_never_touched),
                TEST(test_another_thread_by_now),
                TEST(test_mask_is_not_what_was_seen),
                TEST(test_foreign_writer_meanwhile),
                TEST(test_exit_at_every_step),
                TEST(test_reused_tid_is_not_touched),
                TEST(test_errors_before_the_step),
                TEST(test_no_descriptor_is_done_without),
                TEST(test_cpuset_that_cannot_be_seen),
                TEST(test_every_cpu_in_a_cpuset_that_cannot_be_seen),
                TEST(test_owed),
                TEST(test_cpuset_changes_meanwhile),
                TEST(test_ledger_full),
                TEST(test_hold_and_release),
                TEST(test_release_finds_a_foreign_mask),
                TEST(test_release_finds_the_cpuset_without_the_cpu),
                TEST(test_release_finds_the_cpuset_with_the_cpu),
                TEST(test_release_finds_the_cpu_back),
                TEST(test_release_cannot_read_the_cpuset_for_the_moment),
                TEST(test_release_can_never_see_the_cpuset),
                TEST(test_release_does_not_see_the_cpuset),
                TEST(test_end_releases_holds),
                TEST(test_child_gets_its_parents_mask),
                TEST(test_child_of_a_held_thread),
                TEST(test_child_of_either_gets_the_smaller_mask),
                TEST(test_births_of_a_sleeper),
                TEST(test_threads_that_pin_themselves),
                TEST(test_births_of_threads_end_first),
                TEST(test_births_of_a_starving_thread),
                TEST(test_births_are_given_up),
                TEST(test_same_nudge_again),
                TEST(test_restore),
                TEST(test_restore_children),
                TEST(test_restore_denied_keeps_the_record),
                TEST(test_worker),
                TEST(test_order_of_one_thread),
                TEST(test_too_much_is_refused),
                TEST(test_stuck_worker),
                TEST(test_end_with_a_stuck_worker),
                TEST(test_stuck_worker_that_ends_after_the_stop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
