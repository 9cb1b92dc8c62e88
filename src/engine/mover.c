/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a request does to one thread, step by step; who does it (pool.c) and what a file remembers
 * of it (ledger.c) are elsewhere. It must not know why a thread is moved.
 *
 * Races that remain. Linux has neither a compare-and-set of affinity nor a handle that
 * sched_setaffinity(2) takes, so between a look and the system call behind it, about a microsecond:
 * - a mask that somebody else writes is overwritten. A nudge then gives back the mask from before:
 *   theirs is lost, and they are not told. (The look after each step catches every other moment.)
 * - the thread may exit and its TID be given to another. TIDs are handed out in a circle, so this
 *   takes a whole round of them within that microsecond. The handle notices it afterwards; the
 *   stranger's mask is then not known and left.
 * - a child may be born narrow later than births are waited for: narrowings.h says how long.
 * Changes of cpusets and CPUs while a thread is narrow make more of them: balancerd(8) lists those.
 */

#include "engine/mover.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "engine/narrowings.h"
#include "engine/pool.h"

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

struct mover {
        struct kernel *kernel;
        struct ledger *ledger;
        struct pool *pool;
        struct cpuset all;
        bool stopped;
        int stop_result;      /* of the last mover_stop() */
        pthread_mutex_t lock; /* of `table` and what changes in its narrowings */
        struct narrowings table;
};

/* A request on its way to a report. */
struct step {
        struct pool_job job; /* first: the pool frees nothing, it hands this back */
        struct mover_report report;
};

const char *mover_result_to_string(enum mover_result result)
{
        switch (result) {
        case MOVER_MOVED:
                return "moved";
        case MOVER_ASLEEP:
                return "asleep";
        case MOVER_GONE:
                return "gone";
        case MOVER_FOREIGN:
                return "foreign";
        case MOVER_DENIED:
                return "denied";
        case MOVER_INVALID:
                return "invalid";
        case MOVER_NO_ROOM:
                return "no-room";
        case MOVER_FAILED:
                return "failed";
        case MOVER_RELEASED:
                return "released";
        }
        return "unknown";
}

void mover_request_done(struct mover_request *request)
{
        cpuset_done(&request->expected);
}

void mover_report_done(struct mover_report *report)
{
        mover_request_done(&report->request);
        cpuset_done(&report->mask);
}

static enum mover_result result_of(int error)
{
        switch (error) {
        case -ESRCH:
                return MOVER_GONE;
        case -EPERM:
        case -EACCES:
                return MOVER_DENIED;
        case -EINVAL:
        case -EBUSY:
        case -ERANGE:
        case -ENOENT:
                return MOVER_INVALID;
        case -ENOSPC:
                return MOVER_NO_ROOM;
        default:
                return MOVER_FAILED;
        }
}

/* Ends the request with a negative errno, which it returns. */
static int fail(struct mover_report *report, int error)
{
        report->result = result_of(error);
        report->error = report->result == MOVER_GONE || report->result == MOVER_NO_ROOM ? 0 : error;
        return error;
}

/* Ends the request without an error; nothing more is to be done. */
static int end(struct mover_report *report, enum mover_result result)
{
        report->result = result;
        return 0;
}

static nsec_t boottime_now(const struct mover *mover)
{
        return boottime_of(mover->kernel->ops->now(mover->kernel));
}

/* The table, from any thread of execution. */

static void remember(struct mover *mover, struct narrowing *narrowing)
{
        (void)pthread_mutex_lock(&mover->lock);
        narrowings_add(&mover->table, narrowing);
        (void)pthread_mutex_unlock(&mover->lock);
}

static bool is_narrow(struct mover *mover, pid_t tgid, pid_t tid)
{
        bool found;

        (void)pthread_mutex_lock(&mover->lock);
        found = narrowings_find(&mover->table, tgid, tid);
        (void)pthread_mutex_unlock(&mover->lock);
        return found;
}

/* The thread's narrowing, the caller's to work on until it is settled or put down; NULL if there is
 * none or somebody works on it. */
static struct narrowing *pick_up(struct mover *mover, pid_t tgid, pid_t tid)
{
        struct narrowing *narrowing;

        (void)pthread_mutex_lock(&mover->lock);
        narrowing = narrowings_find(&mover->table, tgid, tid);
        if (narrowing && narrowing->busy)
                narrowing = NULL;
        if (narrowing)
                narrowing->busy = true;
        (void)pthread_mutex_unlock(&mover->lock);
        return narrowing;
}

/* All that are narrow, or only the owed ones, that nobody works on; linked by `also`. */
static struct narrowing *pick_up_all(struct mover *mover, bool owed_only)
{
        struct narrowing *list = NULL;

        (void)pthread_mutex_lock(&mover->lock);
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                for (struct narrowing *n = mover->table.buckets[i]; n; n = n->next) {
                        if (n->busy || n->settled_at != NSEC_INFINITY || (owed_only && !n->owed))
                                continue;
                        n->busy = true;
                        n->also = list;
                        list = n;
                }
        (void)pthread_mutex_unlock(&mover->lock);
        return list;
}

/* It stays narrow: by intent, or because giving back failed. */
static void put_down(struct mover *mover, struct narrowing *narrowing, bool owed)
{
        (void)pthread_mutex_lock(&mover->lock);
        narrowing->owed = owed;
        narrowing->busy = false;
        (void)pthread_mutex_unlock(&mover->lock);
}

static void close_handle(const struct mover *mover, struct narrowing *narrowing)
{
        if (narrowing->handle >= 0)
                mover->kernel->ops->close_thread(mover->kernel, narrowing->handle);
        narrowing->handle = -1;
}

/* It is in no table. */
static void discard(const struct mover *mover, struct narrowing *narrowing)
{
        close_handle(mover, narrowing);
        narrowing_free(narrowing);
}

/* It was never narrow. */
static void forget(struct mover *mover, struct narrowing *narrowing)
{
        (void)pthread_mutex_lock(&mover->lock);
        narrowings_remove(&mover->table, narrowing);
        (void)pthread_mutex_unlock(&mover->lock);
        ledger_clear(mover->ledger, narrowing->record);
        discard(mover, narrowing);
}

/* It is not narrow any more; its children may be. From here on it belongs to births_checked(), or
 * to the next nudge of the same kind. */
static void settle(struct mover *mover, struct narrowing *narrowing)
{
        nsec_t now = boottime_now(mover), run_nsec;

        if (narrowing->record >= 0)
                ledger_settle(mover->ledger, narrowing->record, now);
        run_nsec = narrowing_read_run(narrowing, mover->kernel);
        (void)pthread_mutex_lock(&mover->lock);
        narrowing_settle(narrowing, now, run_nsec);
        narrowing->busy = false;
        (void)pthread_mutex_unlock(&mover->lock);
}

/* Narrowing. */

/* Without a descriptor to spare, or where there is no schedstat, the start time alone says who the
 * thread is: -1. */
static int open_handle(const struct mover *mover, const struct mover_request *request)
{
        int handle = mover->kernel->ops->open_thread(mover->kernel, request->tgid, request->tid);

        return handle < 0 && handle != -ESRCH ? -1 : handle;
}

/* Returns 1 if the thread may be narrowed and needs it, 0 if the request has ended. */
static int check_thread(const struct mover *mover, struct mover_report *report)
{
        const struct mover_request *request = &report->request;
        struct kernel_thread thread;
        int r;

        r = mover->kernel->ops->read_thread(mover->kernel, request->tgid, request->tid, &thread);
        if (r < 0)
                return fail(report, r);
        if (thread.start_ticks != request->start_ticks || strchr("ZXx", thread.state))
                return fail(report, -ESRCH);
        if (thread.kernel_thread)
                return fail(report, -EINVAL);
        if (thread.policy == SCHED_DEADLINE)
                return fail(report, -EBUSY);
        if (request->kind == MOVER_HOLD)
                return 1;
        if (thread.state != 'R')
                return end(report, MOVER_ASLEEP);
        if (thread.cpu == request->to)
                return end(report, MOVER_MOVED);
        return 1;
}

/* A mask that is all of a cpuset grows with it, and would not once it was given back as what it is
 * now. So where the cpuset cannot be seen only threads that may run everywhere are moved: -EACCES
 * of others. */
static int read_original(const struct mover *mover, const struct mover_request *request,
                         struct ledger_entry *entry)
{
        const struct kernel_ops *ops = mover->kernel->ops;
        _cleanup_cpuset_ struct cpuset permitted = {0};
        int r;

        r = ops->read_allowed(mover->kernel, request->tgid, request->tid, &entry->original);
        if (r < 0)
                return r;
        r = ops->read_cpuset(mover->kernel, request->tgid, request->tid, &permitted);
        if (r < 0)
                return r;
        if (r > 0 && !cpuset_is_subset(&permitted, &entry->original))
                return -EACCES;
        entry->whole = cpuset_equal(&entry->original, &permitted);
        return 0;
}

/* The last look: the mask is what the plan was made for. Returns 1, or 0 or an error when the
 * request has ended. */
static int check_mask(const struct mover *mover, struct mover_report *report,
                      const struct ledger_entry *entry)
{
        const struct mover_request *request = &report->request;
        _cleanup_cpuset_ struct cpuset found = {0};
        int r;

        r = mover->kernel->ops->get_affinity(mover->kernel, request->tid, &found);
        if (r < 0)
                return fail(report, r);
        if (!cpuset_equal(&found, &request->expected) ||
            !cpuset_is_subset(&found, &entry->original)) {
                report->mask = TAKE_CPUSET(found);
                return end(report, MOVER_FOREIGN);
        }
        if (cpuset_count(&found) < 2 || !cpuset_contains(&found, request->to))
                return fail(report, -EINVAL);
        return 1;
}

static int fill_entry(const struct mover *mover, struct mover_report *report,
                      struct ledger_entry *entry)
{
        const struct mover_request *request = &report->request;
        int r;

        entry->tgid = request->tgid;
        entry->tid = request->tid;
        entry->start_ticks = request->start_ticks;
        entry->why = request->kind == MOVER_HOLD ? LEDGER_HOLD : LEDGER_NUDGE;
        r = cpuset_add(&entry->set, request->to);
        if (r == 0)
                r = read_original(mover, request, entry);
        return r < 0 ? fail(report, r) : check_mask(mover, report, entry);
}

/* Everything that can be known before the first touch. Returns 1, or 0 or an error when the request
 * has ended. */
static int prepare(const struct mover *mover, struct mover_report *report,
                   struct narrowing *narrowing)
{
        int r;

        r = open_handle(mover, &report->request);
        if (r == -ESRCH)
                return fail(report, r);
        narrowing->handle = r;
        r = check_thread(mover, report);
        if (r <= 0)
                return r;
        return fill_entry(mover, report, &narrowing->entry);
}

/* The record of the last nudge, if that was the same and its births are still waited for, becomes
 * NARROW again: a thread that is moved often takes one record, not one each time. */
static struct narrowing *revive(struct mover *mover, const struct ledger_entry *entry)
{
        struct narrowing *twin;

        (void)pthread_mutex_lock(&mover->lock);
        twin = narrowings_find_twin(&mover->table, entry);
        if (twin) {
                twin->busy = true;
                twin->settled_at = NSEC_INFINITY;
                ledger_reopen(mover->ledger, twin->record);
        }
        (void)pthread_mutex_unlock(&mover->lock);
        return twin;
}

/* Writes NARROWING down, in the file and in the table, before anything is touched: a child may be
 * met the moment after. */
static int write_down(struct mover *mover, struct narrowing *narrowing)
{
        int r;

        narrowing->entry.narrowed_at = boottime_now(mover);
        r = ledger_begin(mover->ledger, &narrowing->entry);
        if (r < 0)
                return r;
        narrowing->record = r;
        narrowing->busy = true;
        remember(mover, narrowing);
        return 0;
}

/* Takes PREPARED over. Returns 1 and the narrowing whose mask is set now, or an error. */
static int set_narrow(struct mover *mover, struct mover_report *report, struct narrowing *prepared,
                      struct narrowing **ret)
{
        struct narrowing *narrowing = revive(mover, &prepared->entry);
        bool revived = narrowing != NULL;
        int r = 0;

        if (!revived) {
                narrowing = prepared;
                r = write_down(mover, prepared);
        }
        if (revived || r < 0)
                discard(mover, prepared);
        if (r < 0)
                return fail(report, r);
        r = mover->kernel->ops->set_affinity(mover->kernel, narrowing->entry.tid,
                                             &narrowing->entry.set);
        if (r >= 0) {
                *ret = narrowing;
                return 1;
        }
        if (revived)
                settle(mover, narrowing);
        else
                forget(mover, narrowing);
        return fail(report, r);
}

/* Returns 1 and a narrowing whose thread has the mask {to}, or 0 or an error when the request has
 * ended. */
static int narrow(struct mover *mover, struct mover_report *report, struct narrowing **ret)
{
        struct narrowing *narrowing;
        int r;

        if (is_narrow(mover, report->request.tgid, report->request.tid))
                return fail(report, -EBUSY);
        narrowing = narrowing_new();
        if (!narrowing)
                return fail(report, -ENOMEM);
        r = prepare(mover, report, narrowing);
        if (r <= 0) {
                discard(mover, narrowing);
                return r;
        }
        return set_narrow(mover, report, narrowing, ret);
}

/* Giving back. */

static enum mover_result result_of_giveback(enum giveback giveback)
{
        switch (giveback) {
        case GIVEBACK_DONE:
                return MOVER_RELEASED;
        case GIVEBACK_GONE:
                return MOVER_GONE;
        case GIVEBACK_FOREIGN:
                return MOVER_FOREIGN;
        }
        return MOVER_FAILED;
}

/* Ends a narrowing. What fails is owed: its record stays NARROW for the next try, which is
 * births_checked(), mover_free() or `balancerd --restore`. */
static void widen(struct mover *mover, struct mover_report *report, struct narrowing *narrowing)
{
        int r;

        r = give_back(mover->kernel, &narrowing->entry, &mover->all, narrowing->handle,
                      &report->mask);
        if (r < 0) {
                (void)fail(report, r);
                put_down(mover, narrowing, true);
                return;
        }
        (void)end(report, result_of_giveback((enum giveback)r));
        settle(mover, narrowing);
}

/* Where a thread is after its nudge. */
static enum mover_result arrived(const struct mover *mover, const struct mover_request *request)
{
        struct kernel_thread thread;
        int r;

        r = mover->kernel->ops->read_thread(mover->kernel, request->tgid, request->tid, &thread);
        if (r < 0 || thread.start_ticks != request->start_ticks)
                return MOVER_GONE;
        return thread.cpu == request->to ? MOVER_MOVED : MOVER_ASLEEP;
}

static void nudge(struct mover *mover, struct mover_report *report)
{
        struct narrowing *narrowing;

        if (narrow(mover, report, &narrowing) <= 0)
                return;
        widen(mover, report, narrowing);
        if (report->result == MOVER_RELEASED)
                report->result = arrived(mover, &report->request);
}

static void hold(struct mover *mover, struct mover_report *report)
{
        struct narrowing *narrowing;

        if (narrow(mover, report, &narrowing) <= 0)
                return;
        put_down(mover, narrowing, false);
        (void)end(report, MOVER_MOVED);
}

static void release(struct mover *mover, struct mover_report *report)
{
        const struct mover_request *request = &report->request;
        struct narrowing *narrowing = pick_up(mover, request->tgid, request->tid);

        if (!narrowing) {
                (void)fail(report, -ENOENT);
        } else if (narrowing->entry.start_ticks != request->start_ticks) {
                put_down(mover, narrowing, narrowing->owed);
                (void)fail(report, -ENOENT);
        } else {
                widen(mover, report, narrowing);
        }
}

static void carry_out(struct pool_job *job, void *userdata)
{
        struct step *step = CONTAINER_OF(job, struct step, job);
        struct mover *mover = userdata;
        struct mover_report *report = &step->report;

        report->started_at = job->took_up;
        switch (report->request.kind) {
        case MOVER_NUDGE:
                nudge(mover, report);
                break;
        case MOVER_HOLD:
                hold(mover, report);
                break;
        case MOVER_RELEASE:
                release(mover, report);
                break;
        }
        mover_request_done(&report->request);
        report->took = mover->kernel->ops->now(mover->kernel) - report->started_at;
}

static void free_step(struct pool_job *job)
{
        struct step *step = CONTAINER_OF(job, struct step, job);

        mover_report_done(&step->report);
        free(step);
}

/* Coming and going. */

static void destroy(struct mover *mover)
{
        pool_free(mover->pool);
        narrowings_done(&mover->table);
        cpuset_done(&mover->all);
        (void)pthread_mutex_destroy(&mover->lock);
        free(mover);
}

int mover_new(struct mover **ret, struct kernel *kernel, struct ledger *ledger,
              const struct mover_options *options, bool *ret_realtime)
{
        struct pool_options pool_options = {
                .n_workers = options->n_workers,
                .cpus = &options->cpus,
                .run = carry_out,
                .free_job = free_step,
        };
        struct mover *mover;
        bool realtime = false;
        int r;

        mover = calloc(1, sizeof(*mover));
        if (!mover)
                return -ENOMEM;
        mover->kernel = kernel;
        mover->ledger = ledger;
        (void)pthread_mutex_init(&mover->lock, NULL);
        pool_options.userdata = mover;
        r = every_cpu(&mover->all);
        if (r == 0)
                r = pool_new(&mover->pool, kernel, &pool_options, &realtime);
        if (r < 0) {
                destroy(mover);
                return r;
        }
        *ret_realtime = realtime;
        *ret = mover;
        return 0;
}

static void widen_all(struct mover *mover, bool owed_only)
{
        struct narrowing *next;

        for (struct narrowing *n = pick_up_all(mover, owed_only); n; n = next) {
                struct mover_report ignored = {0};

                next = n->also;
                widen(mover, &ignored, n);
                mover_report_done(&ignored);
        }
}

static void close_handles(struct mover *mover)
{
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                for (struct narrowing *n = mover->table.buckets[i]; n; n = n->next)
                        close_handle(mover, n);
}

int mover_stop(struct mover *mover)
{
        mover->stopped = true;
        mover->stop_result = pool_stop(mover->pool);
        return mover->stop_result;
}

int mover_free(struct mover *mover)
{
        if (!mover)
                return 0;
        if (!mover->stopped)
                (void)mover_stop(mover);
        widen_all(mover, false);
        if (mover->stop_result < 0)
                return mover->stop_result;
        close_handles(mover);
        destroy(mover);
        return 0;
}

int mover_submit(struct mover *mover, struct mover_request *request)
{
        struct step *step;
        int r;

        step = calloc(1, sizeof(*step));
        if (!step)
                return -ENOMEM;
        step->report.request = *request;
        step->job.tid = request->tid;
        step->job.avoid_cpu = request->kind == MOVER_RELEASE ? -1 : (int)request->to;
        r = pool_add(mover->pool, &step->job);
        if (r < 0) {
                free(step);
                return r;
        }
        request->expected = (struct cpuset){0};
        return 0;
}

unsigned mover_room(const struct mover *mover)
{
        return pool_room(mover->pool);
}

int mover_set_cpus(struct mover *mover, const struct cpuset *cpus)
{
        return pool_set_cpus(mover->pool, cpus);
}

int mover_fd(const struct mover *mover)
{
        return pool_fd(mover->pool);
}

int mover_next_report(struct mover *mover, struct mover_report *ret)
{
        struct pool_job *job = pool_take(mover->pool);
        struct step *step;

        if (!job)
                return 0;
        step = CONTAINER_OF(job, struct step, job);
        *ret = step->report;
        free(step);
        return 1;
}

unsigned mover_pending(const struct mover *mover)
{
        return pool_pending(mover->pool);
}

nsec_t mover_stuck_since(const struct mover *mover)
{
        return pool_stuck_since(mover->pool);
}

/* Children. */

static bool may_be_a_child(struct mover *mover, pid_t tgid, pid_t tid, pid_t ppid)
{
        bool may;

        (void)pthread_mutex_lock(&mover->lock);
        /* Narrow itself: whoever narrowed it sees to it. */
        may = !narrowings_find(&mover->table, tgid, tid) &&
              narrowings_concern(&mover->table, tgid, ppid);
        (void)pthread_mutex_unlock(&mover->lock);
        return may;
}

/* Until when children of NARROWING, which is the caller's to work on, can be born narrow. Asks the
 * kernel without the lock: a worker must not wait for /proc. */
static void look_for_births(struct mover *mover, struct narrowing *narrowing, nsec_t now)
{
        struct births births = narrowing_look(narrowing, mover->kernel);

        (void)pthread_mutex_lock(&mover->lock);
        narrowing->births = births;
        narrowing->looked_at = now;
        narrowing->busy = false;
        (void)pthread_mutex_unlock(&mover->lock);
}

/* Returns 1 and fills ENTRY if the thread with MASK was born narrow, 0 if not. Where that hangs on
 * a settled narrowing whose births were last looked at before NOW, returns -EAGAIN instead; it is
 * the caller's to look at then. */
static int try_origin(struct mover *mover, pid_t ppid, const struct cpuset *mask, nsec_t now,
                      struct ledger_entry *entry, struct narrowing **ret_doubtful)
{
        struct narrowing *origin;
        int r = 0;

        (void)pthread_mutex_lock(&mover->lock);
        origin = narrowings_find_origin(&mover->table, entry->tgid, entry->tid, ppid,
                                        entry->start_ticks, mask);
        if (origin && !origin->busy && origin->settled_at != NSEC_INFINITY &&
            origin->births.processes_end == 0 && origin->looked_at < now) {
                origin->busy = true;
                *ret_doubtful = origin;
                r = -EAGAIN;
        } else if (origin) {
                r = copy_origin(entry, &origin->entry);
        }
        (void)pthread_mutex_unlock(&mover->lock);
        return r < 0 ? r : origin != NULL;
}

/* A thread whose parent was busy elsewhere at its birth chose its mask for itself, so a parent is
 * looked at once more for each such child. Returns as try_origin(), but not -EAGAIN. */
static int find_origin(struct mover *mover, pid_t ppid, const struct cpuset *mask,
                       struct ledger_entry *entry)
{
        nsec_t now = boottime_now(mover);

        for (;;) {
                struct narrowing *doubtful = NULL;
                int r = try_origin(mover, ppid, mask, now, entry, &doubtful);

                if (!doubtful)
                        return r;
                look_for_births(mover, doubtful, now);
        }
}

/* Gives a child what its parent had. It gets a record of its own: its own children were born narrow
 * as well. Takes NARROWING over. */
static int widen_child(struct mover *mover, struct narrowing *narrowing)
{
        struct mover_report report = {0};
        bool widened;

        narrowing->entry.why = LEDGER_CHILD;
        narrowing->record = ledger_begin(mover->ledger, &narrowing->entry);
        narrowing->busy = true;
        remember(mover, narrowing);
        widen(mover, &report, narrowing);
        widened = report.result == MOVER_RELEASED;
        mover_report_done(&report);
        return report.error < 0 ? report.error : widened;
}

int mover_check_birth(struct mover *mover, pid_t tgid, pid_t tid, pid_t ppid, uint64_t start_ticks)
{
        _cleanup_(narrowing_freep) struct narrowing *narrowing = NULL;
        _cleanup_cpuset_ struct cpuset mask = {0};
        int r;

        if (!may_be_a_child(mover, tgid, tid, ppid))
                return 0;
        r = mover->kernel->ops->get_affinity(mover->kernel, tid, &mask);
        if (r < 0)
                return r == -ESRCH ? 0 : r;
        narrowing = narrowing_new();
        if (!narrowing)
                return -ENOMEM;
        narrowing->entry.tgid = tgid;
        narrowing->entry.tid = tid;
        narrowing->entry.start_ticks = start_ticks;
        r = find_origin(mover, ppid, &mask, &narrowing->entry);
        if (r <= 0)
                return r;
        return widen_child(mover, TAKE_PTR(narrowing));
}

/* Settled ones of which it is not known when their births end; linked by `also`. */
static struct narrowing *pick_up_fertile(struct mover *mover)
{
        struct narrowing *list = NULL;

        (void)pthread_mutex_lock(&mover->lock);
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                for (struct narrowing *n = mover->table.buckets[i]; n; n = n->next) {
                        if (n->busy || n->settled_at == NSEC_INFINITY ||
                            n->births.processes_end != 0)
                                continue;
                        n->busy = true;
                        n->also = list;
                        list = n;
                }
        (void)pthread_mutex_unlock(&mover->lock);
        return list;
}

static void look_for_barren(struct mover *mover)
{
        nsec_t now = boottime_now(mover);
        struct narrowing *next;

        for (struct narrowing *n = pick_up_fertile(mover); n; n = next) {
                next = n->also;
                look_for_births(mover, n, now);
        }
}

/* Takes those of which all children were born before AT out of the table; linked by `also`. */
static struct narrowing *take_done(struct mover *mover, nsec_t at)
{
        struct narrowing *list = NULL, *next;

        (void)pthread_mutex_lock(&mover->lock);
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                for (struct narrowing *n = mover->table.buckets[i]; n; n = next) {
                        next = n->next;
                        if (n->births.processes_end == 0 || n->births.processes_end > at)
                                continue;
                        narrowings_remove(&mover->table, n);
                        n->also = list;
                        list = n;
                }
        (void)pthread_mutex_unlock(&mover->lock);
        return list;
}

void mover_births_checked(struct mover *mover, nsec_t at)
{
        struct narrowing *next;

        for (struct narrowing *n = take_done(mover, boottime_of(at)); n; n = next) {
                next = n->also;
                if (n->record >= 0)
                        ledger_clear(mover->ledger, n->record);
                discard(mover, n);
        }
        look_for_barren(mover);
        widen_all(mover, true);
}
