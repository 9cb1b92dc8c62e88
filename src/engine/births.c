/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/births.h"

#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "engine/watch.h"

/* Events taken in one tick; the rest wait in their socket. */
#define EVENTS_PER_TICK 4096U
/* Newborn threads looked at in one tick, about 12 us each. The others stay cold until their turn.
 */
#define BIRTHS_PER_TICK 64U
/* The same while a mask is out that they may have been born with. The others come in the next. */
#define BIRTHS_PER_TICK_PENDING 1024U
/* Threads looked at one by one at the start: what is opened of each stays in the kernel's
 * memory, 2.6 kB a thread, for as long as the kernel has no better use for it. */
#define READ_AT_START 1000U
/* Births are complete up to so long ago: a fork that copied a narrow mask may take a while to be
 * told, when its process is preempted in the middle of it. */
#define BIRTHS_MARGIN (NSEC_PER_SEC)

/* Whether a mask is out, or was a moment ago. */
static bool is_narrowing(const struct sampler *s)
{
        return s->mover && ledger_count(s->ledger) > 0;
}

static int note_newborn(struct sampler *s, pid_t tid)
{
        if (s->n_newborn == s->newborn_capacity) {
                unsigned capacity = MAX(s->newborn_capacity * 2, 64U);
                pid_t *newborn = reallocarray(s->newborn, capacity, sizeof(*newborn));

                if (!newborn)
                        return -ENOMEM;
                s->newborn = newborn;
                s->newborn_capacity = capacity;
        }
        s->newborn[s->n_newborn++] = tid;
        return 0;
}

/* Adds a thread, or nothing if it is known, and notes it for births_examine(). Of one that was BORN
 * just now the counters began at zero; of others nothing is known. */
static int meet(struct sampler *s, pid_t tgid, pid_t tid, bool born)
{
        struct thread *thread = threads_find(&s->threads, tid);
        int r;

        if (thread && thread->tgid != tgid) {
                threads_remove(&s->threads, s->kernel, thread);
                thread = NULL;
        }
        if (thread) {
                thread->listed = s->counts.n_rescans;
                return 0;
        }
        r = threads_add(&s->threads, tgid, tid, &thread);
        if (r < 0)
                return r;
        thread->read_at = born ? s->now : 0;
        thread->listed = s->counts.n_rescans;
        return note_newborn(s, tid);
}

static void bury(struct sampler *s, pid_t tid)
{
        struct thread *thread = threads_find(&s->threads, tid);

        if (thread)
                threads_remove(&s->threads, s->kernel, thread);
}

static int take_event(struct sampler *s, const struct kernel_event *event)
{
        switch (event->type) {
        case KERNEL_EVENT_FORK:
                bury(s, event->tid); /* a TID that is used again */
                return meet(s, event->tgid, event->tid, true);
        case KERNEL_EVENT_EXEC:
                /* exec by another thread than the first makes it the first. */
                return meet(s, event->tgid, event->tid, false);
        case KERNEL_EVENT_COMM:
                return 0;
        case KERNEL_EVENT_EXIT:
                bury(s, event->tid);
                return 0;
        }
        abort();
}

int births_drain(struct sampler *s)
{
        struct kernel_event event;

        if (!s->has_events)
                return 0;
        for (unsigned i = 0; i < EVENTS_PER_TICK; i++) {
                int r = s->kernel->ops->next_event(s->kernel, &event);

                if (r == 0)
                        return 0;
                if (r == -EAGAIN)
                        break;
                if (r == -ENOBUFS) {
                        s->rescan_due = true;
                        continue;
                }
                if (r < 0) {
                        sources_note(&s->sources, KERNEL_EVENTS, r);
                        s->has_events = false;
                        s->rescan_due = true;
                        return 0;
                }
                s->counts.n_events++;
                r = take_event(s, &event);
                if (r < 0)
                        return r;
        }
        s->events_left = true;
        return 0;
}

static int meet_listed(pid_t tgid, pid_t tid, void *userdata)
{
        return meet(userdata, tgid, tid, false);
}

/* Removes what the list that was just read had not: whole processes where it had only those. */
static void bury_unlisted(struct sampler *s, bool processes_only)
{
        struct thread *thread, *next;

        HASH_ITER (hh, s->threads.by_tid, thread, next) {
                const struct thread *key =
                        processes_only ? threads_find(&s->threads, thread->tgid) : thread;

                if (!key || key->listed != s->counts.n_rescans)
                        threads_remove(&s->threads, s->kernel, thread);
        }
}

int births_rescan(struct sampler *s)
{
        /* Whose children may have been born narrow, all are needed. */
        bool processes_only = s->unlisted && !is_narrowing(s);
        const struct kernel_ops *ops = s->kernel->ops;
        int r;

        if (!s->has_events && s->counters.n_forks != s->n_forks)
                s->rescan_due = true;
        if (!s->rescan_due)
                return 0;
        s->counts.n_rescans++;
        r = processes_only ? ops->list_processes(s->kernel, meet_listed, s)
                           : ops->list_threads(s->kernel, meet_listed, s);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return 0; /* out of descriptors, it may be: still due */
        s->rescan_due = false;
        s->n_forks = s->counters.n_forks;
        if (!processes_only)
                s->unlisted = false;
        bury_unlisted(s, processes_only);
        return 1;
}

static void tell_of_narrow_child(struct sampler *s, pid_t tgid, pid_t tid, int error)
{
        char line[128];
        const struct notice notice = {
                .kind = NOTICE_NARROW_CHILD,
                .level = LOG_WARNING,
                .text = line,
                .tgid = tgid,
                .tid = tid,
        };

        if (!s->sources.on_notice)
                return;
        snprintf(line, sizeof(line),
                 "thread %d may have been born narrow and cannot be given its mask (%s)", tid,
                 strerrorname_np(-error));
        s->sources.on_notice(&notice, s->sources.userdata);
}

/* Looks at a newborn thread; one that is gone already is removed. Returns 1 if it must be looked at
 * again, 0 if not, or -ENOMEM. */
static int examine(struct sampler *s, struct thread *thread, bool *ret_unbalanced)
{
        struct kernel_thread stat;
        int r, cpu;

        r = s->kernel->ops->read_thread(s->kernel, thread->tgid, thread->tid, &stat);
        if (r == -ESRCH) {
                threads_remove(&s->threads, s->kernel, thread);
                return 0;
        }
        if (r < 0)
                return r == -ENOMEM ? r : 1;
        if (s->mover) {
                r = mover_check_birth(s->mover, thread->tgid, thread->tid, stat.ppid,
                                      stat.start_ticks);
                if (r < 0)
                        tell_of_narrow_child(s, thread->tgid, thread->tid, r);
        }
        thread->start_ticks = stat.start_ticks;
        cpu = topology_index(s->topology, stat.cpu);
        if (cpu < 0 || s->cpus[cpu].balanced || !s->has_unbalanced || stat.kernel_thread)
                return 0;
        r = watch_heat(s, thread, true);
        if (r == 0)
                *ret_unbalanced = true;
        return r == -ENOMEM ? r : 0;
}

/* How many newborn threads are to be looked at in this tick. Where the kernel balances, and no mask
 * is out, they can wait for their turn. */
static unsigned birth_budget(const struct sampler *s, bool pending)
{
        if (pending)
                return BIRTHS_PER_TICK_PENDING;
        return s->has_unbalanced ? BIRTHS_PER_TICK : 0;
}

/* Looks at what the budget permits; what is left, or must be looked at again, stays in the list. */
static int examine_some(struct sampler *s, unsigned budget, bool *unbalanced)
{
        unsigned n_left = 0;

        for (unsigned i = 0; i < s->n_newborn; i++) {
                struct thread *thread = threads_find(&s->threads, s->newborn[i]);
                int r = 1;

                if (!thread || thread->start_ticks != 0)
                        continue;
                if (budget > 0) {
                        budget--;
                        r = examine(s, thread, unbalanced);
                }
                if (r < 0)
                        return r;
                if (r > 0)
                        s->newborn[n_left++] = s->newborn[i];
        }
        s->n_newborn = n_left;
        return 0;
}

int births_examine(struct sampler *s, bool *ret_unbalanced)
{
        bool pending = is_narrowing(s), unbalanced = false;
        int r;

        r = examine_some(s, birth_budget(s, pending), &unbalanced);
        if (r < 0)
                return r;
        if (pending && s->n_newborn == 0 && !s->rescan_due && !s->events_left) {
                /* Without events the count of forks was last seen to stand still then. */
                nsec_t known_at = s->has_events ? s->now : s->cpus_at;

                mover_births_checked(s->mover, known_at - MIN(known_at, BIRTHS_MARGIN));
        }
        if (!pending)
                s->n_newborn = 0;
        s->events_left = false;
        *ret_unbalanced = unbalanced;
        return 0;
}

/* A thread that is there already: one that is ready to run is watched at once. *RET_N_THREADS is
 * how many its process has. */
static int read_one(struct sampler *s, pid_t tgid, pid_t tid, unsigned *ret_n_threads)
{
        struct kernel_thread stat;
        struct kernel_counters counters;
        struct thread *thread;
        int r;

        if (threads_find(&s->threads, tid))
                return 0;
        r = s->kernel->ops->read_thread(s->kernel, tgid, tid, &stat);
        if (r < 0)
                return 0;
        *ret_n_threads = stat.n_threads;
        r = threads_add(&s->threads, tgid, tid, &thread);
        if (r < 0)
                return r;
        thread->start_ticks = stat.start_ticks;
        if (stat.state == 'R') {
                r = watch_heat(s, thread, false);
                return r == -ENOMEM ? r : 0;
        }
        r = s->kernel->ops->read_counters_once(s->kernel, tgid, tid, &counters);
        if (r == 0) {
                thread->run_nsec = counters.run_nsec;
                thread->wait_nsec = counters.wait_nsec;
                thread->read_at = s->now;
        } else if (r != -ESRCH) {
                sources_note(&s->sources, KERNEL_THREAD_SCHEDSTAT, r);
        }
        return 0;
}

static int read_thread(pid_t tgid, pid_t tid, void *userdata)
{
        unsigned n_threads;

        return read_one(userdata, tgid, tid, &n_threads);
}

static int read_process(pid_t tgid, pid_t tid, void *userdata)
{
        struct sampler *s = userdata;
        unsigned n_threads = 1;
        int r;

        r = read_one(s, tgid, tid, &n_threads);
        if (r < 0 || n_threads <= 1)
                return r;
        if (s->threads.n_threads + n_threads > READ_AT_START) {
                s->unlisted = true;
                return 0;
        }
        r = s->kernel->ops->list_process(s->kernel, tgid, read_thread, s);
        if (r < 0)
                s->unlisted = true;
        return r == -ENOMEM ? r : 0;
}

int births_read_all(struct sampler *s)
{
        return s->kernel->ops->list_processes(s->kernel, read_process, s);
}

/* A thread of unknown age that was never looked at. */
static int add_unread(pid_t tgid, pid_t tid, void *userdata)
{
        struct sampler *s = userdata;
        struct thread *thread;

        return threads_find(&s->threads, tid) ? 0 : threads_add(&s->threads, tgid, tid, &thread);
}

int births_list_rest(struct sampler *s)
{
        int r;

        if (!s->unlisted)
                return 0;
        r = s->kernel->ops->list_threads(s->kernel, add_unread, s);
        s->unlisted = r < 0;
        return r == -ENOMEM ? r : 0;
}
