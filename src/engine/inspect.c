/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/inspect.h"

#include <errno.h>
#include <sched.h>
#include <utlist.h>

#include "engine/inside.h"
#include "engine/watch.h"

const char *verdict_to_string(enum verdict verdict)
{
        switch (verdict) {
        case VERDICT_UNWATCHED:
                return "unwatched";
        case VERDICT_KERNEL_THREAD:
                return "kernelThread";
        case VERDICT_DEADLINE:
                return "deadline";
        case VERDICT_PINNED:
                return "pinned";
        case VERDICT_REALTIME:
                return "realtime";
        case VERDICT_SELF:
                return "self";
        case VERDICT_DENIED:
                return "denied";
        case VERDICT_LEFT_ALONE:
                return "leftAlone";
        case VERDICT_MOVING:
                return "moving";
        case VERDICT_ASLEEP:
                return "asleep";
        case VERDICT_CONTENT:
                return "content";
        case VERDICT_SETTLING:
                return "settling";
        case VERDICT_PATIENT:
                return "patient";
        case VERDICT_NOWHERE_BETTER:
                return "nowhereBetter";
        case VERDICT_CANDIDATE:
                return "candidate";
        case VERDICT_SWITCHED_OFF:
                return "switchedOff";
        }
        abort();
}

/* The whole */

void balancer_state_done(struct balancer_state *state)
{
        cpuset_done(&state->online);
        cpuset_done(&state->unbalanced);
}

static int list_cpus(const struct sampler *s, struct cpuset *ret_online,
                     struct cpuset *ret_unbalanced)
{
        _cleanup_cpuset_ struct cpuset online = {0}, unbalanced = {0};

        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                unsigned id = s->topology->cpus[i].id;
                int r;

                r = cpuset_add(&online, id);
                if (r >= 0 && !s->cpus[i].balanced)
                        r = cpuset_add(&unbalanced, id);
                if (r < 0)
                        return r;
        }
        *ret_online = TAKE_CPUSET(online);
        *ret_unbalanced = TAKE_CPUSET(unbalanced);
        return 0;
}

int balancer_inspect(const struct balancer *b, struct balancer_state *ret)
{
        struct balancer_state state = {
                .observing = b->options.observe,
                .trouble = b->found,
                .interval = b->interval,
        };
        int r;

        if (b->sampler.ledger) {
                unsigned n = ledger_count(b->sampler.ledger);

                state.n_narrow = ledger_count_narrow(b->sampler.ledger);
                state.n_kept = n - MIN(n, state.n_narrow); /* one may have begun in between */
        }

        r = list_cpus(&b->sampler, &state.online, &state.unbalanced);
        if (r < 0)
                return r;
        balancer_get_counts(b, &state.counts);
        memcpy(state.missing, b->sampler.sources.missing, sizeof(state.missing));
        *ret = state;
        return 0;
}

/* CPUs */

bool balancer_inspect_cpu(const struct balancer *b, unsigned i, struct cpu_view *ret)
{
        const struct sampler *s = &b->sampler;
        bool tells_waiting = s->counters.has_run_delay;
        const struct topology_cpu *cpu;
        const struct hot *hot;

        if (i >= s->topology->n_cpus)
                return false;
        cpu = &s->topology->cpus[i];
        *ret = (struct cpu_view){
                .cpu = cpu->id,
                .core = cpu->core,
                .llc = cpu->llc,
                .node = cpu->node,
                .capacity = cpu->capacity,
                .balanced = s->cpus[i].balanced,
                .idle = s->cpus[i].idle,
                .has_waiting = tells_waiting || !s->cpus[i].balanced,
                .waiting = s->cpus[i].waited,
        };
        DL_FOREACH (s->threads.hot, hot) {
                if (hot->cpu != i || hot->stat_at == 0)
                        continue;
                ret->n_threads++;
                ret->demand += demand_value(&hot->demand);
                if (!tells_waiting)
                        ret->waiting += demand_wait(&hot->demand);
        }
        return true;
}

/* Threads */

void thread_view_done(struct thread_view *view)
{
        cpuset_done(&view->affinity);
}

/* A heap with the largest at its root: of all that are pushed the N smallest stay. */
static void sift_down(pid_t *heap, unsigned n, unsigned i)
{
        for (;;) {
                unsigned largest = i, left = 2 * i + 1, right = left + 1;
                pid_t other;

                if (left < n && heap[left] > heap[largest])
                        largest = left;
                if (right < n && heap[right] > heap[largest])
                        largest = right;
                if (largest == i)
                        return;
                other = heap[i];
                heap[i] = heap[largest];
                heap[largest] = other;
                i = largest;
        }
}

static void sift_up(pid_t *heap, unsigned i)
{
        for (; i > 0 && heap[i] > heap[(i - 1) / 2]; i = (i - 1) / 2) {
                pid_t other = heap[i];

                heap[i] = heap[(i - 1) / 2];
                heap[(i - 1) / 2] = other;
        }
}

static void sort_heap(pid_t *heap, unsigned n)
{
        while (n > 1) {
                pid_t largest = heap[0];

                heap[0] = heap[--n];
                heap[n] = largest;
                sift_down(heap, n, 0);
        }
}

static unsigned keep_smallest(pid_t *heap, unsigned n, unsigned n_max, pid_t tid)
{
        if (n < n_max) {
                heap[n] = tid;
                sift_up(heap, n);
                return n + 1;
        }
        if (tid < heap[0]) {
                heap[0] = tid;
                sift_down(heap, n, 0);
        }
        return n;
}

unsigned balancer_inspect_tids(const struct balancer *b, pid_t after, pid_t tgid, bool all,
                               pid_t *ret_tids, unsigned n)
{
        const struct thread *thread, *next;
        unsigned found = 0;

        HASH_ITER (hh, b->sampler.threads.by_tid, thread, next) {
                if (thread->tid <= after || (!all && !thread->hot) ||
                    (tgid != 0 && thread->tgid != tgid))
                        continue;
                found = keep_smallest(ret_tids, found, n, thread->tid);
        }
        sort_heap(ret_tids, found);
        return found;
}

int balancer_walk_begin(struct balancer *b, pid_t tgid, struct kernel_walk *ret)
{
        return b->kernel->ops->begin_process(b->kernel, tgid, ret);
}

int balancer_walk_next(struct balancer *b, struct kernel_walk *walk, pid_t *ret_tids, unsigned n)
{
        return b->kernel->ops->next_threads(b->kernel, walk, ret_tids, n);
}

void balancer_walk_end(struct balancer *b, struct kernel_walk *walk)
{
        b->kernel->ops->end_process(b->kernel, walk);
}

/* The process of TID: that by which it is known, or what the kernel says. */
int balancer_inspect_owner(struct balancer *b, pid_t tid, pid_t *ret_tgid, uid_t *ret_uid)
{
        const struct kernel_ops *ops = b->kernel->ops;
        const struct thread *thread = threads_find(&b->sampler.threads, tid);
        pid_t tgid = thread ? thread->tgid : 0;
        int r = -ESRCH;

        if (thread)
                r = ops->read_owner(b->kernel, tgid, tid, ret_uid);
        if (r < 0) {
                /* Not met yet, or its number belongs to another by now. */
                r = ops->find_process(b->kernel, tid, &tgid);
                if (r >= 0)
                        r = ops->read_owner(b->kernel, tgid, tid, ret_uid);
        }
        if (r < 0)
                return r == -ENOMEM ? r : -ESRCH;
        *ret_tgid = tgid;
        return 0;
}

/* Brings the standings up to date. */
static int refresh_standings(struct balancer *b)
{
        struct snapshot snapshot;
        int r;

        if (b->standings_of == b->n_changes)
                return 0;
        r = sampler_build(&b->sampler, &snapshot);
        if (r < 0)
                return r;
        r = standings_init(&b->standings, &snapshot, &b->sampler.settings);
        if (r < 0)
                return r;
        b->standings_of = b->n_changes;
        return 0;
}

static enum verdict of_standing(enum standing standing)
{
        switch (standing) {
        case STANDING_FIXED:
                return VERDICT_PINNED; /* all other reasons were looked at before */
        case STANDING_ASLEEP:
                return VERDICT_ASLEEP;
        case STANDING_CONTENT:
                return VERDICT_CONTENT;
        case STANDING_SETTLING:
                return VERDICT_SETTLING;
        case STANDING_PATIENT:
                return VERDICT_PATIENT;
        case STANDING_NOWHERE:
                return VERDICT_NOWHERE_BETTER;
        case STANDING_CANDIDATE:
                return VERDICT_CANDIDATE;
        }
        abort();
}

/* What the plan makes of the thread; one that is in no snapshot has no CPU that is online. */
static int ask_policy(struct balancer *b, const struct hot *hot, enum verdict *ret)
{
        int r;

        r = refresh_standings(b);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < b->standings.snapshot.n_threads; i++)
                if (b->sampler.snapshot_hot[i] == hot) {
                        *ret = of_standing(standings_get(&b->standings, i));
                        return 0;
                }
        *ret = VERDICT_PINNED;
        return 0;
}

/* What keeps a thread from being moved whatever it does, and whatever the settings are; -1 if
 * nothing does. */
static int judge_kind(const struct kernel_thread *stat)
{
        if (stat->kernel_thread)
                return VERDICT_KERNEL_THREAD;
        return stat->policy == SCHED_DEADLINE ? VERDICT_DEADLINE : -1;
}

/* In the order of the flags that watch_flags() gives, each by its own test. */
static int judge(struct balancer *b, const struct hot *hot, enum verdict *ret)
{
        const struct sampler *s = &b->sampler;
        unsigned flags = watch_flags(s, hot);
        bool balanced = s->cpus[hot->cpu].balanced;
        int kind = judge_kind(&hot->stat);

        if (kind >= 0)
                *ret = (enum verdict)kind;
        else if (hot->mask_at == 0 || s->masks.classes[hot->mask_class].n_cpus < 2)
                *ret = VERDICT_PINNED;
        else if (kernel_thread_is_realtime(&hot->stat) && !s->settings.balance.realtime)
                *ret = VERDICT_REALTIME;
        else if (hot->thread->tgid == s->self)
                *ret = VERDICT_SELF;
        else if (hot->denied)
                *ret = VERDICT_DENIED;
        else if (balanced ? !s->settings.balance.stuck_threads : !s->settings.balance.unbalanced)
                *ret = VERDICT_SWITCHED_OFF;
        else if (flags & THREAD_IN_FLIGHT)
                *ret = VERDICT_MOVING;
        else if (flags & THREAD_LEFT_ALONE)
                *ret = VERDICT_LEFT_ALONE;
        else if (!hot->runnable)
                *ret = VERDICT_ASLEEP;
        else
                return ask_policy(b, hot, ret);
        return 0;
}

/* The hot half of the thread that STAT is of, or NULL. */
static struct hot *find_hot(struct balancer *b, pid_t tid, const struct kernel_thread *stat)
{
        struct thread *thread = threads_find(&b->sampler.threads, tid);

        if (!thread || thread->start_ticks != stat->start_ticks || !thread->hot)
                return NULL;
        return thread->hot->stat_at != 0 ? thread->hot : NULL;
}

/* What is said of a thread must fit together: its mask and STAT, read just now, count from now on.
 * For the time of a move its mask is not its owner's choice. Returns 0, -ESRCH or -ENOMEM. */
static int take_note(struct balancer *b, struct hot *hot, const struct kernel_thread *stat)
{
        bool was_asleep = !hot->runnable, had_mask = hot->mask_at != 0;
        unsigned cpu = hot->cpu, class = hot->mask_class;
        int r = 0;

        watch_note(&b->sampler, hot, stat);
        if (!hot->in_flight)
                r = watch_read_mask(&b->sampler, hot);
        /* Only then something else may come of it: one that fell asleep is judged without. */
        if (cpu != hot->cpu || class != hot->mask_class || had_mask != (hot->mask_at != 0) ||
            (was_asleep && hot->runnable))
                b->n_changes++;
        return r;
}

static int fill_watched(struct balancer *b, struct hot *hot, const struct kernel_thread *stat,
                        struct thread_view *view)
{
        int r;

        r = take_note(b, hot, stat);
        if (r < 0)
                return r;
        view->watched = true;
        view->run = MIN(hot->demand.run, 1.0F);
        view->wait = demand_wait(&hot->demand);
        view->demand = demand_value(&hot->demand);
        view->moved_at = hot->left_at;
        if (hot->mask_at != 0)
                r = cpuset_copy(&view->affinity, sampler_mask(&b->sampler, hot));
        return r < 0 ? r : judge(b, hot, &view->verdict);
}

static void fill_from_stat(const struct kernel_thread *stat, struct thread_view *view)
{
        int kind = judge_kind(stat);

        view->start_ticks = stat->start_ticks;
        memcpy(view->comm, stat->comm, sizeof(view->comm));
        view->cpu = stat->cpu;
        view->state = stat->state;
        view->prio = balancer_prio(stat);
        view->verdict = kind >= 0 ? (enum verdict)kind : VERDICT_UNWATCHED;
}

/* All that is told of the thread of VIEW but its owner. */
static int fill(struct balancer *b, struct thread_view *view)
{
        const struct kernel_ops *ops = b->kernel->ops;
        struct kernel_thread stat;
        struct hot *hot;
        int r;

        r = ops->read_thread(b->kernel, view->tgid, view->tid, &stat);
        if (r < 0)
                return r;
        fill_from_stat(&stat, view);
        hot = find_hot(b, view->tid, &stat);
        if (hot) {
                r = fill_watched(b, hot, &stat, view);
                if (r < 0)
                        return r;
        }
        return cpuset_is_empty(&view->affinity)
                       ? ops->get_affinity(b->kernel, view->tid, &view->affinity)
                       : 0;
}

int balancer_inspect_thread(struct balancer *b, pid_t tid, struct thread_view *ret)
{
        _cleanup_(thread_view_done) struct thread_view view = {.tid = tid};
        int r;

        r = balancer_inspect_owner(b, tid, &view.tgid, &view.uid);
        if (r < 0)
                return r;
        r = fill(b, &view);
        /* Last: what was read before may be of a program that has another user by now. */
        if (r >= 0)
                r = b->kernel->ops->read_owner(b->kernel, view.tgid, tid, &view.uid);
        if (r < 0)
                return r == -ENOMEM ? r : -ESRCH;
        *ret = view;
        view = (struct thread_view){0};
        return 0;
}

int balancer_inspect_counters(struct balancer *b, const struct thread_view *view,
                              struct kernel_counters *ret)
{
        return b->kernel->ops->read_counters_once(b->kernel, view->tgid, view->tid, ret);
}
