/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/cpuload.h"

#include <errno.h>
#include <math.h>

/* Idle time comes in grains of 10 ms: only smoothed does it mean something at a short tick. */
#define IDLE_HALF_LIFE_SEC       0.5
#define BACKGROUND_HALF_LIFE_SEC 0.1

/* A CPU that idles this much, smoothed or just now, could take another thread: worth a look at the
 * threads. The policy is stricter (policy study, section 4). */
#define IDLE_MIN 0.2F
/* Where a thread is stuck, threads wait for at least this share of the time, smoothed. */
#define STUCK_WAITED 0.15F
/* Below this share of its time a CPU's runqueue is taken to be empty of waiters. */
#define WAITED_MIN 0.005F
/* A CPU that idled more than this is not worth a look without /proc/schedstat. */
#define IDLE_NOW_QUIET 0.9F

static float smooth(float old, float now, double interval_sec, double half_life_sec)
{
        float keep = (float)exp2(-interval_sec / half_life_sec);

        return old * keep + now * (1 - keep);
}

static float share(nsec_t later, nsec_t earlier, nsec_t interval)
{
        if (later <= earlier || interval == 0)
                return 0;
        return (float)((double)(later - earlier) / (double)interval);
}

int cpuload_read_topology(struct sampler *s)
{
        _cleanup_(topology_freep) struct topology *topology = NULL;
        struct cpu_state *cpus;
        struct hot *hot;
        bool flat;
        int r;

        r = s->kernel->ops->read_topology(s->kernel, &topology);
        if (r < 0)
                return r;
        flat = r > 0;
        cpus = calloc(topology->n_cpus, sizeof(*cpus));
        if (!cpus)
                return -ENOMEM;
        free(s->cpus);
        s->cpus = cpus;
        topology_free(s->topology);
        s->topology = TAKE_PTR(topology);
        s->topology_flat = flat;
        s->topology_seen |= !flat;
        s->cpus_at = 0;
        s->pass_at = 0;
        s->domains_changed = true;
        masks_clear(&s->masks);
        for (hot = s->threads.hot; hot; hot = hot->next) {
                hot->mask_at = 0;
                hot->stat_at = 0;
                hot->cpu = 0;
                hot->left_at = 0;
                hot->cpu_since = 0; /* nor of the groups: indexes mean something else now */
        }
        return cpuload_read_domains(s);
}

int cpuload_read_domains(struct sampler *s)
{
        _cleanup_cpuset_ struct cpuset unbalanced = {0};
        int r;

        r = s->kernel->ops->read_unbalanced(s->kernel, &unbalanced);
        s->domains_stale = r > 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                sources_note(&s->sources, KERNEL_CGROUP, r);
        s->has_unbalanced = false;
        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                bool balanced = !cpuset_contains(&unbalanced, s->topology->cpus[i].id);

                if (balanced != s->cpus[i].balanced)
                        s->domains_changed = true;
                s->cpus[i].balanced = balanced;
                if (!balanced && s->settings.balance.unbalanced)
                        s->has_unbalanced = true;
        }
        return 0;
}

static bool same_cpus(const struct sampler *s)
{
        unsigned n_online = 0;

        for (unsigned id = 0; id < s->counters.n_ids; id++) {
                if (!s->counters.cpus[id].online)
                        continue;
                if (topology_index(s->topology, id) < 0)
                        return false;
                n_online++;
        }
        return n_online == s->topology->n_cpus;
}

static void update_cpu(struct sampler *s, struct cpu_state *cpu, const struct kernel_cpu *now)
{
        nsec_t interval = s->now - s->cpus_at;
        double interval_sec = nsec_to_sec(interval);

        if (s->cpus_at != 0 && interval > 0) {
                cpu->idle_now = MIN(share(now->idle_nsec, cpu->last.idle_nsec, interval), 1.0F);
                cpu->idle = smooth(cpu->idle, cpu->idle_now, interval_sec, IDLE_HALF_LIFE_SEC);
                cpu->waited_now = share(now->run_delay_nsec, cpu->last.run_delay_nsec, interval);
                cpu->waited =
                        smooth(cpu->waited, cpu->waited_now, interval_sec, IDLE_HALF_LIFE_SEC);
        }
        cpu->last = *now;
}

int cpuload_read(struct sampler *s)
{
        int r;

        r = s->kernel->ops->read_cpus(s->kernel, &s->counters);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                sources_note(&s->sources, KERNEL_STAT, r);
                return 0;
        }
        if (!s->counters.has_run_delay)
                sources_note(&s->sources, KERNEL_SCHEDSTAT, -ENOENT);
        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                unsigned id = s->topology->cpus[i].id;

                if (id < s->counters.n_ids && s->counters.cpus[id].online)
                        update_cpu(s, &s->cpus[i], &s->counters.cpus[id]);
        }
        s->cpus_at = s->now;
        return same_cpus(s) ? 0 : -EAGAIN;
}

bool cpuload_unbalanced_may_wait(const struct sampler *s)
{
        bool waited_elsewhere = false;

        if (!s->has_unbalanced)
                return false;
        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                const struct cpu_state *cpu = &s->cpus[i];
                bool waited = s->counters.has_run_delay ? cpu->waited_now > WAITED_MIN
                                                        : cpu->idle_now < IDLE_NOW_QUIET;

                if (waited && !cpu->balanced)
                        return true;
                if (waited)
                        waited_elsewhere = true;
        }
        /* Something waits, and has not once arrived on a CPU: it starves, anywhere. */
        return s->counters.has_run_delay && !waited_elsewhere;
}

bool cpuload_somewhere_idle(const struct sampler *s)
{
        for (unsigned i = 0; i < s->topology->n_cpus; i++)
                if (s->cpus[i].idle >= IDLE_MIN || s->cpus[i].idle_now >= IDLE_MIN)
                        return true;
        return false;
}

/* Whether threads keep waiting for one CPU that the kernel balances while another idles. */
static bool may_be_stuck(const struct sampler *s)
{
        bool waited = !s->counters.has_run_delay;

        for (unsigned i = 0; i < s->topology->n_cpus; i++)
                if (s->cpus[i].balanced && s->cpus[i].waited >= STUCK_WAITED)
                        waited = true;
        return waited && cpuload_somewhere_idle(s);
}

float cpuload_account_pass(struct sampler *s, nsec_t interval)
{
        float balanced = 0, unknown = 0;

        for (unsigned i = 0; i < s->topology->n_cpus; i++) {
                struct cpu_state *cpu = &s->cpus[i];
                float busy = share(cpu->last.busy_nsec, cpu->busy_at_pass_nsec, interval);
                float background = busy - cpu->known_now;

                cpu->busy_at_pass_nsec = cpu->last.busy_nsec;
                if (interval == 0)
                        continue;
                if (cpu->balanced) {
                        balanced += background;
                        continue;
                }
                cpu->background_smoothed = smooth(cpu->background_smoothed, background,
                                                  nsec_to_sec(interval), BACKGROUND_HALF_LIFE_SEC);
                unknown = MAX(unknown, cpu->background_smoothed);
        }
        if (interval > 0)
                s->background_balanced = smooth(s->background_balanced, balanced,
                                                nsec_to_sec(interval), BACKGROUND_HALF_LIFE_SEC);
        if (s->settings.balance.stuck_threads && may_be_stuck(s))
                unknown = MAX(unknown, s->background_balanced);
        return unknown;
}
