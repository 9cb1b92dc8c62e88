/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/balancer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <syslog.h>

#include "base/escape.h"
#include "base/macro.h"
#include "engine/inside.h"
#include "engine/narrowings.h"
#include "engine/watch.h"
#include "policy/lag.h"

/* Descriptors kept on threads at most: each costs the kernel 5.6 kB. */
#define HANDLES_MAX 4096U
/* Descriptors left for everything else. */
#define HANDLES_SPARED 128U
/* CPU time that a quiet time may save up for the first sight of trouble. */
#define SAVINGS_MAX (20 * NSEC_PER_MSEC)
/* A thread whose mask somebody else has set is left alone for so long. */
#define LEFT_ALONE_FOR (10 * NSEC_PER_SEC)
/* A move that takes longer than this is stuck: on PREEMPT_RT behind a thread that the kernel itself
 * keeps from migrating, or behind a real-time thread that does not let go. */
#define STUCK_AFTER (NSEC_PER_SEC)
/* Observing: the same move of the same thread is told again after this. */
#define TELL_AGAIN (10 * NSEC_PER_SEC)

/* The CPUs that the kernel balances, or all where it balances none. */
static int housekeeping_cpus(const struct balancer *b, struct cpuset *ret)
{
        _cleanup_cpuset_ struct cpuset balanced = {0}, all = {0};
        const struct sampler *s = &b->sampler;
        int r;

        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                r = cpuset_add(&all, s->topology->cpus[i].id);
                if (r < 0)
                        return r;
                if (!s->cpus[i].balanced)
                        continue;
                r = cpuset_add(&balanced, s->topology->cpus[i].id);
                if (r < 0)
                        return r;
        }
        *ret = cpuset_is_empty(&balanced) ? TAKE_CPUSET(all) : TAKE_CPUSET(balanced);
        return 0;
}

static void tell_notice(struct balancer *b, const struct notice *notice)
{
        if (b->options.on_notice)
                b->options.on_notice(notice, b->options.userdata);
}

static unsigned max_handles(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= HANDLES_MAX + HANDLES_SPARED)
                return HANDLES_MAX;
        return limit.rlim_cur > 2 * HANDLES_SPARED ? (unsigned)limit.rlim_cur - HANDLES_SPARED
                                                   : HANDLES_SPARED;
}

static int start_mover(struct balancer *b, struct ledger *ledger)
{
        const struct mover_options options = {.n_workers = b->options.n_workers};
        bool realtime;
        int r;

        r = mover_new(&b->mover, b->kernel, ledger, &options, &realtime);
        if (r < 0)
                return r;
        b->sampler.mover = b->mover;
        if (!realtime && options.n_workers > 0)
                sources_note(&b->sampler.sources, KERNEL_REALTIME, -EPERM);
        return 0;
}

static int choose_housekeeping(struct balancer *b)
{
        _cleanup_cpuset_ struct cpuset cpus = {0};
        int r;

        b->sampler.domains_changed = false;
        r = housekeeping_cpus(b, &cpus);
        if (r < 0)
                return r;
        placement_want(&b->placement, &cpus);
        return 0;
}

/* The mover's threads follow the event loop's, wherever that was put. */
static int keep_house(struct balancer *b)
{
        int r;

        if (b->sampler.domains_changed) {
                r = choose_housekeeping(b);
                if (r < 0)
                        return r;
        }
        if (b->options.main_tid == 0)
                return 0;
        r = placement_look(&b->placement, b->kernel);
        if (r <= 0 || !b->mover)
                return r;
        return mover_set_cpus(b->mover, placement_cpus(&b->placement));
}

int balancer_new(struct balancer **ret, struct kernel *kernel, struct ledger *ledger,
                 const struct balancer_options *options)
{
        _cleanup_(balancer_freep) struct balancer *b = NULL;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->kernel = kernel;
        b->options = *options;
        b->n_changes = 1;
        b->sampler = (struct sampler){
                .kernel = kernel,
                .ledger = ledger,
                .settings = options->settings,
                .sources = {.on_notice = options->on_notice, .userdata = options->userdata},
                .self = getpid(),
                .uid = geteuid(),
        };
        placement_init(&b->placement, options->main_tid);
        pace_init(&b->pace);
        r = decisions_new(&b->decisions);
        if (r < 0)
                return r;
        sources_probe(&b->sampler.sources, kernel, !options->observe);
        r = sampler_init(&b->sampler, max_handles());
        if (r < 0)
                return r;
        if (!options->observe) {
                r = start_mover(b, ledger);
                if (r < 0)
                        return r;
        }
        b->sampler.domains_changed = true;
        r = keep_house(b);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

/* Beside a worker that is stuck others have finished. */
void balancer_stop(struct balancer *b)
{
        if (b->stopped || !b->mover)
                return;
        b->stopped = true;
        (void)mover_stop(b->mover);
        (void)balancer_collect(b);
}

int balancer_free(struct balancer *b)
{
        int r;

        if (!b)
                return 0;
        balancer_stop(b);
        r = mover_free(b->mover);
        if (b->sampler.kernel)
                sampler_done(&b->sampler);
        plan_done(&b->plan);
        standings_done(&b->standings);
        decisions_free(b->decisions);
        placement_done(&b->placement);
        free(b->lags);
        free(b->flights);
        free(b);
        return r;
}

int balancer_prio(const struct kernel_thread *stat)
{
        if (kernel_thread_is_realtime(stat))
                return 99 - (int)stat->rt_priority;
        return 120 + stat->nice;
}

/* By taskstats where that is asked for and works, otherwise from the status file. */
static void read_switches(struct balancer *b, struct decision *decision)
{
        const struct kernel_ops *ops = b->kernel->ops;
        struct settings *settings = &b->sampler.settings;
        int r = -ENODATA;

        if (settings->taskstats) {
                r = ops->read_switches(b->kernel, decision->tid, &decision->switches);
                if (r < 0 && r != -ESRCH) {
                        sources_note(&b->sampler.sources, KERNEL_TASKSTATS, r);
                        settings->taskstats = false;
                }
        }
        if (r < 0)
                r = ops->read_status_switches(b->kernel, decision->tgid, decision->tid,
                                              &decision->switches);
        decision->has_switches = r == 0;
}

/* Whose thread it is decides who may be told: it is asked while the thread is known to be the one
 * that is meant; later it may be gone, and its number another's. */
static struct decision decide(struct balancer *b, const struct hot *hot, const struct move *move)
{
        const struct topology *topology = b->sampler.topology;
        struct decision decision = {
                .at = b->sampler.now,
                .tgid = hot->thread->tgid,
                .tid = hot->thread->tid,
                .start_ticks = hot->thread->start_ticks,
                .uid = UID_UNKNOWN,
                .prio = balancer_prio(&hot->stat),
                .from = topology->cpus[move->from].id,
                .to = topology->cpus[move->to].id,
                .reason = move->reason,
                .chain = move->chain > 0 ? b->n_chains + move->chain : 0,
                .gain = move->gain,
                .load_from = move->load_from,
                .load_to = move->load_to,
        };

        memcpy(decision.comm, hot->stat.comm, sizeof(decision.comm));
        (void)b->kernel->ops->read_owner(b->kernel, decision.tgid, decision.tid, &decision.uid);
        return decision;
}

/* Converted at once: after the next sleep of the machine it could not be told how long those before
 * were. What boottime_of() adds may be too little, never too much: the most counts, so that later
 * stays later. */
static nsec_t told_boottime(struct balancer *b, nsec_t at)
{
        b->slept = MAX(b->slept, boottime_of(at) - at);
        return at + b->slept;
}

/* The switches are read for what is told only: that opens a file. */
static void tell(struct balancer *b, struct decision *decision)
{
        decision->boottime_at = told_boottime(b, decision->at);
        read_switches(b, decision);
        decisions_add(b->decisions, decision);
        if (b->options.on_decision)
                b->options.on_decision(decision, b->options.userdata);
}

static void observe(struct balancer *b, struct hot *hot, const struct move *move)
{
        struct decision decision;

        if (hot->told_at != 0 && hot->told_cpu == move->to &&
            b->sampler.now - hot->told_at < TELL_AGAIN)
                return;
        hot->told_at = b->sampler.now;
        hot->told_cpu = move->to;
        decision = decide(b, hot, move);
        tell(b, &decision);
}

/* A place for a move that goes to the mover; its number is the request's cookie. */
static int reserve_flight(struct balancer *b, unsigned *ret_number)
{
        unsigned capacity = MAX(b->flights_capacity * 2, 16U);
        struct flight *flights;

        for (unsigned i = 0; i < b->flights_capacity; i++)
                if (!b->flights[i].used) {
                        *ret_number = i;
                        return 0;
                }
        flights = reallocarray(b->flights, capacity, sizeof(*flights));
        if (!flights)
                return -ENOMEM;
        for (unsigned i = b->flights_capacity; i < capacity; i++)
                flights[i] = (struct flight){0};
        b->flights = flights;
        *ret_number = b->flights_capacity;
        b->flights_capacity = capacity;
        return 0;
}

static int submit(struct balancer *b, struct hot *hot, const struct move *move)
{
        struct mover_request request = {
                .kind = MOVER_NUDGE,
                .tgid = hot->thread->tgid,
                .tid = hot->thread->tid,
                .start_ticks = hot->thread->start_ticks,
                .from = b->sampler.topology->cpus[move->from].id,
                .to = b->sampler.topology->cpus[move->to].id,
        };
        struct decision decision = decide(b, hot, move);
        unsigned number;
        int r;

        r = reserve_flight(b, &number);
        if (r < 0)
                return r;
        r = cpuset_copy(&request.expected, sampler_mask(&b->sampler, hot));
        if (r < 0)
                return r;
        request.cookie = number;
        r = mover_submit(b->mover, &request);
        if (r < 0) {
                mover_request_done(&request);
                return r == -EBUSY ? 0 : r; /* it is being stopped */
        }
        b->flights[number] = (struct flight){.used = true, .decision = decision};
        hot->in_flight = true;
        return 0;
}

static bool confirm(struct balancer *b, const struct move *move)
{
        return sampler_confirm(&b->sampler, b->sampler.snapshot_hot[move->thread], move->from);
}

/* The moves that belong together from FIRST on: one, or all hops of a chain. */
static unsigned group_length(const struct plan *plan, unsigned first)
{
        unsigned n = 1;

        if (plan->moves[first].chain == 0)
                return 1;
        while (first + n < plan->n_moves &&
               plan->moves[first + n].chain == plan->moves[first].chain)
                n++;
        return n;
}

static void note_rotation(struct balancer *b, const struct move *move)
{
        if (move->reason != MOVE_ROTATE)
                return;
        b->sampler.cpus[move->from].rotated_at = b->sampler.now;
        b->sampler.cpus[move->to].rotated_at = b->sampler.now;
}

/* Half a chain is worse than none. Where the mover is behind, the next plan sees what is left to
 * do.
 */
static bool has_room(const struct balancer *b, unsigned n_moves)
{
        return !b->mover || mover_room(b->mover) >= n_moves;
}

/* Carries out the plan: each move, or chain of moves, whose threads are still as the plan saw them.
 */
static int carry_out(struct balancer *b)
{
        unsigned n;

        for (unsigned i = 0; i < b->plan.n_moves; i += n) {
                bool confirmed;

                n = group_length(&b->plan, i);
                confirmed = has_room(b, n);
                for (unsigned j = i; j < i + n && confirmed; j++)
                        confirmed = confirm(b, &b->plan.moves[j]);
                for (unsigned j = i; j < i + n && confirmed; j++) {
                        const struct move *move = &b->plan.moves[j];
                        struct hot *hot = b->sampler.snapshot_hot[move->thread];
                        int r = 0;

                        note_rotation(b, move);
                        if (b->options.observe)
                                observe(b, hot, move);
                        else
                                r = submit(b, hot, move);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int update_lags(struct balancer *b, struct snapshot *snapshot)
{
        struct sampler *s = &b->sampler;
        int r;

        if (b->lags_capacity < snapshot->n_threads) {
                float *lags = reallocarray(b->lags, s->snapshot_capacity, sizeof(*lags));

                if (!lags)
                        return -ENOMEM;
                b->lags = lags;
                b->lags_capacity = s->snapshot_capacity;
        }
        r = lag_update(snapshot, &s->settings, b->lags);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < snapshot->n_threads; i++) {
                /* What it ran in the interval before it was watched is not known. */
                if (s->snapshot_hot[i]->hot_at == s->now)
                        continue;
                s->snapshot_hot[i]->lag_sec = b->lags[i];
                s->snapshot_threads[i].lag_sec = b->lags[i];
        }
        return 0;
}

static int decide_all(struct balancer *b, struct snapshot *snapshot)
{
        unsigned last_chain = 0;
        int r;

        r = update_lags(b, snapshot);
        if (r < 0)
                return r;
        r = plan_build(snapshot, &b->sampler.settings, NULL, &b->plan);
        if (r < 0)
                return r;
        b->counts.n_plans++;
        r = carry_out(b);
        for (unsigned i = 0; i < b->plan.n_moves; i++)
                last_chain = MAX(last_chain, b->plan.moves[i].chain);
        b->n_chains += last_chain;
        return r;
}

/* Tells once of a move that the kernel does not finish. */
static void look_for_stuck_moves(struct balancer *b)
{
        static const struct notice stuck = {
                .kind = NOTICE_STUCK,
                .level = LOG_WARNING,
                .text = "the kernel has not finished a move for a second: its thread is narrow "
                        "until then; others go on being moved",
        };
        nsec_t since = b->mover ? mover_stuck_since(b->mover) : 0;

        if (since == 0 || since == b->stuck_told || b->sampler.now < since + STUCK_AFTER)
                return;
        b->stuck_told = since;
        tell_notice(b, &stuck);
}

/* A plan is trouble, whatever its threads' counters say as yet: its budget may not have sufficed,
 * and what it moves is to be looked at again soon. */
static enum pace_trouble trouble_of(const struct plan *plan)
{
        enum pace_trouble trouble = PACE_QUIET;

        for (unsigned i = 0; i < plan->n_moves; i++) {
                if (plan->moves[i].reason != MOVE_STUCK)
                        return PACE_UNBALANCED;
                trouble = PACE_BALANCED;
        }
        return trouble;
}

int balancer_tick(struct balancer *b, nsec_t *ret_next_at)
{
        nsec_t started = b->kernel->ops->cpu_time(b->kernel), cost;
        struct sampler_outcome outcome;
        bool soon;
        nsec_t before = b->sampler.counts.n_ticks > 0 ? b->sampler.now : 0;
        int r;

        b->n_changes++;
        r = sampler_tick(&b->sampler, &outcome);
        if (r < 0)
                return r;
        b->interval = before != 0 ? b->sampler.now - before : 0;
        r = keep_house(b);
        if (r < 0)
                return r;
        if (outcome.has_snapshot) {
                r = decide_all(b, &outcome.snapshot);
                if (r < 0)
                        return r;
                if (!b->options.observe)
                        outcome.trouble = MAX(outcome.trouble, trouble_of(&b->plan));
        }
        r = balancer_collect(b);
        if (r < 0)
                return r;
        look_for_stuck_moves(b);
        b->found = outcome.trouble;
        /* What is in doubt is soon decided. */
        soon = outcome.searching || b->sampler.domains_stale;
        cost = b->kernel->ops->cpu_time(b->kernel) - started;
        *ret_next_at = pace_next(&b->pace, &b->sampler.settings, b->sampler.now, cost,
                                 b->sampler.has_unbalanced ? SAVINGS_MAX : 0,
                                 soon ? PACE_UNBALANCED : outcome.trouble);
        return 0;
}

/* A move that worked: the thread's place and history. */
static void note_moved(struct balancer *b, struct hot *hot, const struct decision *decision)
{
        const struct topology *topology = b->sampler.topology;
        int from = topology_index(topology, decision->from);
        int to = topology_index(topology, decision->to);
        nsec_t now = b->kernel->ops->now(b->kernel);

        if (from < 0 || to < 0)
                return;
        hot->left_cpu = (unsigned)from;
        hot->left_at = now;
        hot->moved_at = decision->reason == MOVE_ROTATE ? hot->moved_at : now;
        hot->moved_across_nodes = topology->cpus[from].node != topology->cpus[to].node;
        sampler_set_cpu(&b->sampler, hot, (unsigned)to);
}

static int tell_foreign(struct balancer *b, const struct hot *hot, const struct cpuset *set)
{
        char comm[ESCAPED_SIZE(KERNEL_COMM_SIZE)];
        _cleanup_free_ char *mask = NULL, *line = NULL;
        struct notice notice = {
                .kind = NOTICE_FOREIGN,
                .level = LOG_NOTICE,
                .tgid = hot->thread->tgid,
                .tid = hot->thread->tid,
        };
        int r;

        r = cpuset_format_list(set, &mask);
        if (r < 0)
                return r;
        if (asprintf(&line,
                     "somebody else set the affinity of thread %d (%s) to %s: that is its owner's "
                     "choice from now on, and it is left alone for a while",
                     hot->thread->tid, escape_text(hot->stat.comm, sizeof(hot->stat.comm), comm),
                     mask) < 0) {
                line = NULL; /* asprintf(3) leaves it undefined */
                return -ENOMEM;
        }
        notice.text = line;
        notice.detail = mask;
        tell_notice(b, &notice);
        return 0;
}

static int note_foreign(struct balancer *b, struct hot *hot, const struct mover_report *report)
{
        int r;

        r = sampler_adopt_mask(&b->sampler, hot, &report->mask);
        if (r < 0)
                return r;
        hot->left_alone_until = b->kernel->ops->now(b->kernel) + LEFT_ALONE_FOR;
        return tell_foreign(b, hot, &report->mask);
}

static void count_result(struct balancer *b, enum mover_result result)
{
        switch (result) {
        case MOVER_MOVED:
                b->counts.n_moved++;
                return;
        case MOVER_ASLEEP:
        case MOVER_GONE:
                b->counts.n_asleep++;
                return;
        case MOVER_FOREIGN:
                b->counts.n_foreign++;
                return;
        case MOVER_DENIED:
        case MOVER_INVALID:
        case MOVER_NO_ROOM:
        case MOVER_FAILED:
                b->counts.n_failed++;
                return;
        case MOVER_RELEASED:
                return;
        }
}

/* The kernel said no: asking again at the next tick would get the same answer. */
static bool is_refusal(enum mover_result result)
{
        return result == MOVER_DENIED || result == MOVER_INVALID || result == MOVER_FAILED;
}

static int take_report(struct balancer *b, const struct mover_report *report)
{
        struct flight *flight = &b->flights[report->request.cookie];
        struct decision decision = flight->decision;
        struct thread *thread = threads_find(&b->sampler.threads, report->request.tid);
        struct hot *hot =
                thread && thread->start_ticks == report->request.start_ticks ? thread->hot : NULL;

        b->n_changes++;
        flight->used = false;
        decision.at = report->started_at;
        decision.carried_out = true;
        decision.result = report->result;
        decision.error = report->error;
        decision.took = report->took;
        count_result(b, report->result);
        if (hot) {
                hot->in_flight = false;
                if (report->result == MOVER_MOVED)
                        note_moved(b, hot, &decision);
                if (is_refusal(report->result))
                        hot->left_alone_until = b->kernel->ops->now(b->kernel) + LEFT_ALONE_FOR;
        }
        /* A thread that fell asleep or ended meanwhile cost nothing, and nothing was done. */
        if (report->result != MOVER_ASLEEP && report->result != MOVER_GONE)
                tell(b, &decision);
        if (hot && report->result == MOVER_FOREIGN)
                return note_foreign(b, hot, report);
        return 0;
}

int balancer_collect(struct balancer *b)
{
        struct mover_report report;
        int r;

        if (!b->mover)
                return 0;
        while ((r = mover_next_report(b->mover, &report)) > 0) {
                r = take_report(b, &report);
                mover_report_done(&report);
                if (r < 0)
                        return r;
        }
        return r;
}

int balancer_mover_fd(const struct balancer *b)
{
        return b->mover ? mover_fd(b->mover) : -EBADF;
}

bool balancer_is_quiet(const struct balancer *b)
{
        return b->pace.trouble == PACE_QUIET && b->sampler.has_unbalanced &&
               b->pace.credit_sec >= 0;
}

void balancer_domains_changed(struct balancer *b)
{
        b->sampler.domains_stale = true;
}

void balancer_set_settings(struct balancer *b, const struct settings *settings)
{
        b->n_changes++;
        sampler_set_settings(&b->sampler, settings);
}

void balancer_get_counts(const struct balancer *b, struct balancer_counts *ret)
{
        struct balancer_counts counts = b->counts;

        counts.n_threads = b->sampler.threads.n_threads;
        counts.n_hot = counts.n_handles = b->sampler.threads.n_hot;
        counts.n_ticks = b->sampler.counts.n_ticks;
        counts.n_full_passes = b->sampler.counts.n_full_passes;
        counts.n_samples = b->sampler.counts.n_samples;
        counts.n_events = b->sampler.counts.n_events;
        counts.n_rescans = b->sampler.counts.n_rescans;
        *ret = counts;
}

const struct decisions *balancer_decisions(const struct balancer *b)
{
        return b->decisions;
}
