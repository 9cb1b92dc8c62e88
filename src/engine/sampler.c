/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/sampler.h"

#include <errno.h>

#include "engine/births.h"
#include "engine/cpuload.h"
#include "engine/watch.h"

/* Cold threads looked at in each full pass, 5 us each. */
#define COLD_PER_FULL_PASS 48U
/* The same in a tick, while in search of work that no known thread accounts for. */
#define COLD_PER_SWEEP_TICK 400U
/* A search that has been through all threads is not begun again before this. */
#define SWEEP_AGAIN          (10 * NSEC_PER_SEC)
#define SWEEP_AGAIN_BALANCED (60 * NSEC_PER_SEC) /* where the kernel balances every CPU */
/* Unless it met threads that had never been looked at. */
#define SWEEP_ONCE_MORE (NSEC_PER_SEC / 2)
/* CPUs' worth of work that no known thread accounts for. */
#define UNKNOWN_MUCH   0.3F
#define UNKNOWN_LITTLE 0.1F
/* The topology is not read again before this, however often CPUs come and go. */
#define TOPOLOGY_AGAIN (10 * NSEC_PER_SEC)
/* More mask classes than this, and those out of use are forgotten at the next full pass. */
#define CLASSES_MAX 8192U
/* A background below this is noise of the 10 ms grains. */
#define BACKGROUND_NOISE 0.05F

int sampler_init(struct sampler *s, unsigned max_handles)
{
        int r;

        s->now = s->kernel->ops->now(s->kernel);
        threads_init(&s->threads, max_handles);
        r = cpuload_read_topology(s);
        if (r < 0)
                return r;
        r = s->kernel->ops->events_fd(s->kernel);
        s->has_events = r >= 0;
        if (r < 0)
                sources_note(&s->sources, KERNEL_EVENTS, r);
        r = cpuload_read(s);
        if (r < 0 && r != -EAGAIN)
                return r;
        s->n_forks = s->counters.n_forks;
        (void)s->kernel->ops->read_pressure(s->kernel, &s->pressure_usec);
        r = births_read_all(s);
        return r < 0 ? r : 0;
}

void sampler_done(struct sampler *s)
{
        threads_done(&s->threads, s->kernel);
        masks_done(&s->masks);
        topology_free(s->topology);
        kernel_cpus_done(&s->counters);
        free(s->cpus);
        free(s->newborn);
        free(s->snapshot_cpus);
        free(s->snapshot_threads);
        free(s->snapshot_hot);
}

/* Whether anything waited anywhere since the last tick; true where that cannot be told. */
static bool pressure_grew(struct sampler *s)
{
        uint64_t total, old = s->pressure_usec;
        int r;

        r = s->kernel->ops->read_pressure(s->kernel, &total);
        if (r < 0) {
                sources_note(&s->sources, KERNEL_PRESSURE, r);
                return true;
        }
        s->pressure_usec = total;
        return total != old;
}

/* Where CPUs cannot be told apart any more, though once they could. */
static bool topology_is_back(struct sampler *s)
{
        return s->topology_flat && s->topology_seen && s->now >= s->topology_after &&
               sources_look(&s->sources, s->kernel, KERNEL_HWLOC) == 0;
}

/* CPUs came or went, or can be told apart again; or the sources never agree, as in some containers.
 * What cannot be read, as without a descriptor to spare, stays as it was until the next time. */
static int renew_topology(struct sampler *s)
{
        int r;

        s->topology_after = s->now + TOPOLOGY_AGAIN;
        r = cpuload_read_topology(s);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (s->topology_flat && s->topology_seen)
                (void)sources_look(&s->sources, s->kernel, KERNEL_HWLOC);
        r = cpuload_read(s);
        return r == -EAGAIN ? 0 : r;
}

static int read_cpus(struct sampler *s, bool full)
{
        int r;

        if (full || s->domains_stale) {
                r = cpuload_read_domains(s);
                if (r < 0)
                        return r;
        }
        r = cpuload_read(s);
        if (r < 0 && r != -EAGAIN)
                return r;
        if ((r == -EAGAIN && s->now >= s->topology_after) || topology_is_back(s))
                return renew_topology(s);
        return 0;
}

static bool threads_are_due(const struct sampler *s, bool full, bool grew, bool newborn)
{
        if (full || newborn || s->sweep_left > 0)
                return true;
        if (!grew)
                return false;
        return cpuload_unbalanced_may_wait(s) ||
               (s->settings.balance.stuck_threads && cpuload_somewhere_idle(s));
}

/* Begins to look at every cold thread, in search of work that no known thread accounts for. */
static int begin_sweep(struct sampler *s)
{
        int r;

        r = births_list_rest(s);
        if (r < 0)
                return r;
        s->sweep_left = s->threads.n_threads - s->threads.n_hot;
        return 0;
}

static void end_sweep(struct sampler *s)
{
        nsec_t pause = s->has_unbalanced ? SWEEP_AGAIN : SWEEP_AGAIN_BALANCED;

        /* Of a thread that was met for the first time only its state could be told. */
        s->sweep_after = s->now + (s->met_unread ? SWEEP_ONCE_MORE : pause);
        s->met_unread = false;
}

static int sweep(struct sampler *s)
{
        int r;

        r = watch_cold(s, MIN(s->sweep_left, COLD_PER_SWEEP_TICK));
        if (r < 0)
                return r;
        s->sweep_left -= r > 0 ? MIN(s->sweep_left, (unsigned)r) : s->sweep_left;
        if (s->sweep_left == 0)
                end_sweep(s);
        return 0;
}

/* Looks at cold threads: all of them in search of much unknown work, a few in each full pass while
 * there is a little, none while all that works is known: every look costs the kernel memory too. */
static int look_at_cold(struct sampler *s, bool full, float unknown)
{
        int r;

        if (unknown > UNKNOWN_MUCH && s->sweep_left == 0 && s->now >= s->sweep_after) {
                r = begin_sweep(s);
                if (r < 0)
                        return r;
        }
        if (s->sweep_left > 0)
                return sweep(s);
        if (!full || unknown < UNKNOWN_LITTLE)
                return 0;
        r = watch_cold(s, COLD_PER_FULL_PASS);
        return r < 0 ? r : 0;
}

/* Classes of threads that are gone pile up: starts over with those that are needed. */
static int forget_masks(struct sampler *s)
{
        if (s->masks.n_classes <= CLASSES_MAX)
                return 0;
        masks_clear(&s->masks);
        for (struct hot *hot = s->threads.hot; hot; hot = hot->next)
                hot->mask_at = 0;
        for (struct hot *hot = s->threads.hot; hot; hot = hot->next) {
                int r = watch_read_mask(s, hot);

                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}

static int reserve_snapshot(struct sampler *s)
{
        unsigned capacity = MAX(s->threads.n_hot, s->snapshot_capacity);
        struct snapshot_thread *threads;
        struct snapshot_cpu *cpus;
        struct hot **hot;

        cpus = reallocarray(s->snapshot_cpus, s->topology->n_cpus, sizeof(*cpus));
        if (!cpus)
                return -ENOMEM;
        s->snapshot_cpus = cpus;
        if (capacity == s->snapshot_capacity)
                return 0;
        threads = reallocarray(s->snapshot_threads, capacity, sizeof(*threads));
        if (!threads)
                return -ENOMEM;
        s->snapshot_threads = threads;
        hot = reallocarray(s->snapshot_hot, capacity, sizeof(struct hot *));
        if (!hot)
                return -ENOMEM;
        s->snapshot_hot = hot;
        s->snapshot_capacity = capacity;
        return 0;
}

static struct snapshot_thread snapshot_of(const struct sampler *s, const struct hot *hot)
{
        return (struct snapshot_thread){
                .tid = hot->thread->tid,
                .flags = watch_flags(s, hot),
                .cpu = hot->cpu,
                .mask_class = hot->mask_at != 0 ? hot->mask_class : 0,
                .home_node = hot->home_node,
                .demand = demand_value(&hot->demand),
                .run = hot->run_now,
                .run_smoothed = MIN(hot->demand.run, 1.0F),
                .wait = demand_wait(&hot->demand),
                .weight = hot->weight,
                .lag_sec = hot->lag_sec,
                .moved_at = hot->moved_at,
                .left_at = hot->left_at,
                .left_cpu = hot->left_cpu,
                .cpu_since = hot->cpu_since,
                .llc_since = hot->llc_since,
                .node_since = hot->node_since,
        };
}

int sampler_build(struct sampler *s, struct snapshot *ret)
{
        unsigned n = 0;
        int r;

        r = reserve_snapshot(s);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                const struct cpu_state *cpu = &s->cpus[i];
                float background = MIN(cpu->background_smoothed, 1.0F);

                s->snapshot_cpus[i] = (struct snapshot_cpu){
                        .balanced = cpu->balanced,
                        .draining = !cpu->balanced && !s->settings.balance.unbalanced,
                        .idle = cpu->idle,
                        .idle_now = cpu->idle_now,
                        .background = background > BACKGROUND_NOISE ? background : 0,
                        .rotated_at = cpu->rotated_at,
                };
        }
        for (struct hot *hot = s->threads.hot; hot; hot = hot->next) {
                /* Its class is not known: its mask cannot be read. It counts, but cannot be moved,
                 * so that any class will do; without one there is nothing to move at all. Nor is
                 * it known where a thread is that was not looked at. */
                if ((hot->mask_at == 0 && s->masks.n_classes == 0) || hot->stat_at == 0)
                        continue;
                s->snapshot_hot[n] = hot;
                s->snapshot_threads[n++] = snapshot_of(s, hot);
        }
        *ret = (struct snapshot){
                .now = s->now,
                .interval = s->interval,
                .topology = s->topology,
                .cpus = s->snapshot_cpus,
                .threads = s->snapshot_threads,
                .n_threads = n,
                .classes = s->masks.classes,
                .n_classes = s->masks.n_classes,
        };
        return 0;
}

static int pass_over_threads(struct sampler *s, bool full, bool grew, bool newborn,
                             struct sampler_outcome *ret)
{
        float unknown;
        int r;

        s->interval = s->pass_at != 0 ? s->now - s->pass_at : 0;
        r = watch_hot(s, &ret->trouble);
        if (r < 0)
                return r;
        unknown = cpuload_account_pass(s, s->interval);
        s->pass_at = s->now;
        r = look_at_cold(s, full, grew ? unknown : 0);
        if (r < 0)
                return r;
        if (full) {
                r = forget_masks(s);
                if (r < 0)
                        return r;
        }
        r = sampler_build(s, &ret->snapshot);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < ret->snapshot.n_threads; i++)
                s->snapshot_hot[i]->newborn = false;
        ret->has_snapshot = true;
        if (newborn)
                ret->trouble = PACE_UNBALANCED;
        ret->searching = s->sweep_left > 0;
        return 0;
}

void sampler_set_settings(struct sampler *s, const struct settings *settings)
{
        s->settings = *settings;
        s->full_at = MIN(s->full_at, s->now + settings->balance.quiet_tick);
        s->domains_stale = true; /* what is to be balanced here is a matter of settings too */
        if (settings->taskstats)
                s->sources.missing[KERNEL_TASKSTATS] = false;
}

int sampler_tick(struct sampler *s, struct sampler_outcome *ret)
{
        struct sampler_outcome outcome = {.trouble = PACE_QUIET};
        bool full, grew, newborn;
        int r;

        s->now = s->kernel->ops->now(s->kernel);
        s->counts.n_ticks++;
        full = s->now >= s->full_at;
        r = births_drain(s);
        if (r < 0)
                return r;
        grew = pressure_grew(s);
        if (full || grew || s->n_newborn > 0 || s->domains_stale || s->sweep_left > 0) {
                r = read_cpus(s, full);
                if (r < 0)
                        return r;
        }
        r = births_rescan(s);
        if (r < 0)
                return r;
        r = births_examine(s, &newborn);
        if (r < 0)
                return r;
        if (full) {
                threads_ease(&s->threads);
                s->counts.n_full_passes++;
                s->full_at = s->now + s->settings.balance.quiet_tick;
        }
        if (threads_are_due(s, full, grew, newborn)) {
                r = pass_over_threads(s, full, grew, newborn, &outcome);
                if (r < 0)
                        return r;
        }
        *ret = outcome;
        return 0;
}

bool sampler_confirm(struct sampler *s, struct hot *hot, unsigned cpu)
{
        unsigned class = hot->mask_class;

        return watch_look(s, hot) == 0 && hot->runnable && hot->cpu == cpu &&
               watch_read_mask(s, hot) == 0 && hot->mask_at != 0 && hot->mask_class == class &&
               hot->left_alone_until <= s->now;
}
