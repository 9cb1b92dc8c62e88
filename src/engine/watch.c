/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/watch.h"

#include <errno.h>
#include <sched.h>

#include "engine/cpuload.h"
#include "policy/demand.h"

/* A thread that ran and waited less than this share of the time is quiet. */
#define ACTIVE_SHARE 0.005
/* Quiet for so long, a hot thread becomes cold. */
#define COOL_AFTER (10 * NSEC_PER_SEC)
/* Stat and mask of a hot thread are read again at the latest after this. */
#define LOOK_AGAIN (NSEC_PER_SEC)
/* Stat files read in one pass: 7 us each. */
#define LOOKS_PER_PASS 128U
/* So busy in an interval that it is taken to be runnable without a look; the mover checks. */
#define BUSY_SHARE 0.5F
/* A thread whose counters stand still is looked at if its CPU idled less than this. */
#define IDLE_NOW_FREE 0.75F
/* On balanced CPUs only threads that wait this much are candidates: a little below the 0.2 of the
 * stuck-thread rule, so that their place is known by then. */
#define STUCK_WAIT 0.15F
/* A thread that was quiet for so long, whose smoothed demand has sunk below this, and that is
 * active for FRESH_SHARE of an interval has no history worth the name: it is judged like one that
 * was just born. */
#define FORGOTTEN_AFTER (NSEC_PER_SEC / 2)
#define FORGOTTEN_SHARE 0.02F
#define FRESH_SHARE     0.25F
/* A mask that changes so soon after a move was not set with the move in mind. */
#define FOREIGN_AFTER_MOVE (2 * NSEC_PER_SEC)
#define LEFT_ALONE_FOR     (2 * NSEC_PER_SEC)

#ifndef SCHED_EXT
#define SCHED_EXT 7
#endif

/* The kernel's sched_prio_to_weight, in units of nice 0: a factor of 1.25 a step. */
static float weight_of(const struct kernel_thread *stat)
{
        float weight = 1;

        if (stat->policy == SCHED_IDLE)
                return 3.0F / 1024;
        for (int nice = 0; nice < stat->nice; nice++)
                weight /= 1.25F;
        for (int nice = 0; nice > stat->nice; nice--)
                weight *= 1.25F;
        return weight;
}

void sampler_set_cpu(struct sampler *s, struct hot *hot, unsigned cpu)
{
        const struct topology_cpu *old = &s->topology->cpus[hot->cpu], *new;

        if (hot->cpu_since != 0 && hot->cpu == cpu)
                return;
        new = &s->topology->cpus[cpu];
        if (hot->cpu_since == 0 || old->node != new->node)
                hot->node_since = s->now;
        if (hot->cpu_since == 0 || old->llc != new->llc)
                hot->llc_since = s->now;
        if (hot->cpu_since == 0)
                hot->home_node = new->node;
        hot->cpu_since = s->now;
        hot->cpu = cpu;
}

void watch_note(struct sampler *s, struct hot *hot, const struct kernel_thread *stat)
{
        int cpu = topology_index(s->topology, stat->cpu);

        hot->stat = *stat;
        hot->stat_at = s->now;
        hot->weight = weight_of(stat);
        /* Whoever looks at itself finds itself running. */
        hot->runnable = stat->state == 'R' && hot->thread->tgid != s->self;
        if (cpu >= 0)
                sampler_set_cpu(s, hot, (unsigned)cpu);
}

/* Where others' threads may not be moved: whose it is. Their users may change (su(1)). */
static void look_at_owner(struct sampler *s, struct hot *hot)
{
        uid_t uid;

        if (!s->sources.missing[KERNEL_AFFINITY] ||
            (hot->owner_at != 0 && s->now - hot->owner_at < LOOK_AGAIN))
                return;
        if (s->kernel->ops->read_owner(s->kernel, hot->thread->tgid, hot->thread->tid, &uid) < 0)
                return;
        hot->denied = uid != s->uid;
        hot->owner_at = s->now;
}

int watch_look(struct sampler *s, struct hot *hot)
{
        struct thread *thread = hot->thread;
        struct kernel_thread stat;
        int r;

        r = s->kernel->ops->read_thread(s->kernel, thread->tgid, thread->tid, &stat);
        if (r < 0)
                return r;
        if (thread->start_ticks != 0 && thread->start_ticks != stat.start_ticks)
                return -ESRCH;
        thread->start_ticks = stat.start_ticks;
        watch_note(s, hot, &stat);
        look_at_owner(s, hot);
        return 0;
}

int sampler_adopt_mask(struct sampler *s, struct hot *hot, const struct cpuset *mask)
{
        int class;

        class = masks_intern(&s->masks, s->topology, mask);
        if (class == -ENODATA) {
                hot->mask_at = 0;
                return 0;
        }
        if (class < 0)
                return class;
        hot->mask_class = (unsigned)class;
        hot->mask_at = s->now;
        return 0;
}

int watch_read_mask(struct sampler *s, struct hot *hot)
{
        _cleanup_cpuset_ struct cpuset mask = {0};
        unsigned old_class = hot->mask_class;
        bool known = hot->mask_at != 0;
        int r;

        r = s->kernel->ops->get_affinity(s->kernel, hot->thread->tid, &mask);
        if (r == -ESRCH || r == -ENOMEM)
                return r;
        if (r < 0) {
                hot->mask_at = 0;
                return 0;
        }
        r = sampler_adopt_mask(s, hot, &mask);
        if (r < 0)
                return r;
        if (known && hot->mask_at != 0 && hot->mask_class != old_class && hot->moved_at != 0 &&
            s->now - hot->moved_at < FOREIGN_AFTER_MOVE)
                hot->left_alone_until = s->now + LEFT_ALONE_FOR;
        return 0;
}

const struct cpuset *sampler_mask(const struct sampler *s, const struct hot *hot)
{
        return &s->masks.ids[hot->mask_class];
}

/* What a thread's counters grew by since they were read last. */
static struct demand_sample growth(const struct sampler *s, const struct thread *thread,
                                   const struct kernel_counters *counters)
{
        nsec_t interval = s->now - thread->read_at;
        nsec_t run = counters->run_nsec - MIN(counters->run_nsec, thread->run_nsec);
        nsec_t wait = counters->wait_nsec - MIN(counters->wait_nsec, thread->wait_nsec);

        return (struct demand_sample){
                .interval_sec = nsec_to_sec(interval),
                .run_sec = nsec_to_sec(MIN(run, interval)),
                .wait_sec = nsec_to_sec(wait),
        };
}

static void keep_counters(const struct sampler *s, struct thread *thread,
                          const struct kernel_counters *counters)
{
        thread->run_nsec = counters->run_nsec;
        thread->wait_nsec = counters->wait_nsec;
        thread->read_at = s->now;
}

static double half_life_sec(const struct sampler *s, const struct hot *hot)
{
        return s->cpus[hot->cpu].balanced ? DEMAND_HALF_LIFE_BALANCED : DEMAND_HALF_LIFE_UNBALANCED;
}

/* The first whole look at a thread that has just become hot. */
static int look_first(struct sampler *s, struct thread *thread)
{
        struct hot *hot = thread->hot;
        struct kernel_counters counters;
        struct demand_sample sample;
        bool read_before = thread->read_at != 0 && thread->read_at < s->now;
        int r;

        r = watch_look(s, hot);
        if (r < 0)
                return r;
        r = s->kernel->ops->read_counters(s->kernel, hot->handle, &counters);
        if (r < 0)
                return r;
        r = watch_read_mask(s, hot);
        if (r < 0)
                return r;
        sample = growth(s, thread, &counters);
        keep_counters(s, thread, &counters);
        hot->hot_at = s->now;
        demand_init(&hot->demand, hot->runnable);
        if (!hot->runnable && read_before)
                demand_update(&hot->demand, &sample, half_life_sec(s, hot));
        threads_touch(&s->threads, hot, s->now);
        return 0;
}

int watch_heat(struct sampler *s, struct thread *thread, bool newborn)
{
        int r;

        r = threads_heat(&s->threads, s->kernel, thread);
        if (r >= 0) {
                thread->hot->newborn = newborn;
                r = look_first(s, thread);
        }
        if (r == -ESRCH) {
                threads_remove(&s->threads, s->kernel, thread);
                return r;
        }
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                sources_note(&s->sources, KERNEL_THREAD_SCHEDSTAT, r);
                if (thread->hot)
                        threads_cool(&s->threads, s->kernel, thread);
        }
        return r;
}

/* Whether the stat file of a hot thread is worth its 7 us now. */
static bool worth_a_look(const struct sampler *s, const struct hot *hot, bool frozen)
{
        const struct cpu_state *cpu = &s->cpus[hot->cpu];

        if (hot->newborn || hot->stat_at == 0 || s->now - hot->stat_at >= LOOK_AGAIN)
                return true;
        if (cpu->balanced)
                return demand_wait(&hot->demand) >= STUCK_WAIT;
        /* On these CPUs a thread stays where it is: its state is all there is to learn. */
        if (frozen)
                return cpu->idle_now < IDLE_NOW_FREE;
        return hot->run_now + hot->wait_now < BUSY_SHARE &&
               demand_wait(&hot->demand) > DEMAND_WAIT_NOISE;
}

static bool mask_is_old(const struct sampler *s, const struct hot *hot)
{
        if (hot->mask_at == 0 || s->now - hot->mask_at >= LOOK_AGAIN)
                return true;
        /* What competes may be moved in this very tick. */
        return !s->cpus[hot->cpu].balanced && hot->runnable && hot->wait_now > DEMAND_WAIT_NOISE;
}

/* Whether a thread that slept for long, or has slept since it became hot, has just begun to work.
 */
static bool is_fresh(const struct sampler *s, const struct hot *hot)
{
        bool slept = hot->active_at == hot->hot_at || s->now - hot->active_at >= FORGOTTEN_AFTER;

        return slept && hot->demand.run + hot->demand.wait < FORGOTTEN_SHARE &&
               hot->run_now + hot->wait_now >= FRESH_SHARE;
}

/* Whether there is a look left for the thread in this pass. Where more threads are worth one than
 * there are looks, they take turns. */
static bool take_look(struct sampler *s, const struct hot *hot)
{
        struct look_budget *looks = &s->looks;

        looks->n_wanted++;
        if (looks->n_left == 0 || (!hot->newborn && (unsigned)hot->thread->tid % looks->stride !=
                                                            looks->turn % looks->stride))
                return false;
        looks->n_left--;
        return true;
}

static void begin_looks(struct sampler *s)
{
        s->looks = (struct look_budget){
                .n_left = LOOKS_PER_PASS,
                .stride = s->looks.n_wanted / LOOKS_PER_PASS + 1,
                .turn = s->looks.turn + 1,
        };
}

/* What can be told of a thread's state without a look. One whose counters stand still is as it was
 * when it was looked at last, unless its CPU had time for it. */
static bool seems_runnable(const struct sampler *s, const struct hot *hot, bool frozen)
{
        const struct cpu_state *cpu = &s->cpus[hot->cpu];

        if (frozen)
                return hot->runnable && !cpu->balanced && cpu->idle_now < IDLE_NOW_FREE;
        return hot->run_now + hot->wait_now >= BUSY_SHARE && hot->thread->tgid != s->self;
}

/* Updates what is known of a thread from the growth of its counters, and its stat file if there is
 * a look left and it pays. Returns 0, or -ESRCH if it is gone. */
static int judge(struct sampler *s, struct hot *hot, struct demand_sample *sample)
{
        bool frozen = sample->run_sec <= 0 && sample->wait_sec <= 0, fresh;

        hot->run_now = (float)(sample->run_sec / sample->interval_sec);
        hot->wait_now = (float)(sample->wait_sec / sample->interval_sec);
        hot->runnable = seems_runnable(s, hot, frozen);
        fresh = is_fresh(s, hot);
        if ((fresh || worth_a_look(s, hot, frozen)) && take_look(s, hot) &&
            watch_look(s, hot) == -ESRCH)
                return -ESRCH;
        sample->runnable = hot->runnable;
        if (fresh && hot->runnable)
                demand_init(&hot->demand, true);
        else
                demand_update(&hot->demand, sample, half_life_sec(s, hot));
        if (frozen && hot->runnable)
                hot->wait_now = 1;
        return 0;
}

/* Samples one hot thread. Returns 0, -ESRCH if it is gone, or -ENOMEM. */
static int sample_hot(struct sampler *s, struct hot *hot)
{
        struct kernel_counters counters;
        struct demand_sample sample;
        int r;

        r = s->kernel->ops->read_counters(s->kernel, hot->handle, &counters);
        if (r < 0)
                return r == -ESRCH || r == -ENOMEM ? r : 0;
        if (hot->thread->read_at == s->now)
                return 0; /* it became hot in this tick */
        sample = growth(s, hot->thread, &counters);
        keep_counters(s, hot->thread, &counters);
        r = judge(s, hot, &sample);
        if (r < 0)
                return r;
        if (hot->run_now + hot->wait_now >= (float)ACTIVE_SHARE)
                threads_touch(&s->threads, hot, s->now);
        return mask_is_old(s, hot) ? watch_read_mask(s, hot) : 0;
}

/* What a thread's last interval says of the need for the next sample. */
static enum pace_trouble trouble_of(const struct sampler *s, const struct hot *hot)
{
        if (!s->cpus[hot->cpu].balanced && !s->has_unbalanced)
                return PACE_QUIET; /* not to be balanced, by choice */
        if (!s->cpus[hot->cpu].balanced)
                return hot->wait_now > DEMAND_WAIT_NOISE || hot->newborn ? PACE_UNBALANCED
                                                                         : PACE_QUIET;
        return s->settings.balance.stuck_threads && hot->wait_now >= STUCK_WAIT ? PACE_BALANCED
                                                                                : PACE_QUIET;
}

static int pass_one(struct sampler *s, struct hot *hot, enum pace_trouble *trouble)
{
        int r;

        s->counts.n_samples++;
        r = sample_hot(s, hot);
        if (r == -ESRCH) {
                threads_remove(&s->threads, s->kernel, hot->thread);
                return 0;
        }
        if (r < 0)
                return r;
        s->cpus[hot->cpu].known_now += hot->run_now;
        *trouble = MAX(*trouble, trouble_of(s, hot));
        if (s->now - hot->active_at > COOL_AFTER && !hot->in_flight)
                threads_cool(&s->threads, s->kernel, hot->thread);
        return 0;
}

int watch_hot(struct sampler *s, enum pace_trouble *ret_trouble)
{
        enum pace_trouble trouble = PACE_QUIET;
        struct hot *hot, *next;

        begin_looks(s);
        for (unsigned i = 0; i < s->topology->n_cpus; i++)
                s->cpus[i].known_now = 0;
        for (hot = s->threads.hot; hot; hot = next) {
                int r;

                next = hot->next;
                r = pass_one(s, hot, &trouble);
                if (r < 0)
                        return r;
        }
        if (trouble == PACE_BALANCED && !cpuload_somewhere_idle(s))
                trouble = PACE_QUIET;
        *ret_trouble = trouble;
        return 0;
}

/* A cold thread of which nothing is known but its number. */
static int look_at_unread(struct sampler *s, struct thread *thread, bool *ret_runnable)
{
        struct kernel_thread stat;
        int r;

        r = s->kernel->ops->read_thread(s->kernel, thread->tgid, thread->tid, &stat);
        if (r < 0)
                return r;
        s->met_unread = true;
        thread->start_ticks = stat.start_ticks;
        *ret_runnable = stat.state == 'R';
        return 0;
}

/* Whether a cold thread ran or waited since it was looked at last, or does so now. Returns 1 or 0,
 * or a negative errno. */
static int is_active(struct sampler *s, struct thread *thread)
{
        struct kernel_counters counters;
        struct demand_sample sample;
        bool runnable = false;
        int r;

        if (thread->read_at == 0) {
                r = look_at_unread(s, thread, &runnable);
                if (r < 0 || runnable)
                        return r < 0 ? r : 1;
        }
        r = s->kernel->ops->read_counters_once(s->kernel, thread->tgid, thread->tid, &counters);
        if (r < 0)
                return r;
        sample = growth(s, thread, &counters);
        if (thread->read_at != 0 &&
            sample.run_sec + sample.wait_sec > ACTIVE_SHARE * sample.interval_sec)
                return 1;
        keep_counters(s, thread, &counters);
        return 0;
}

static int look_at_cold(struct sampler *s, struct thread *thread)
{
        int r;

        r = is_active(s, thread);
        if (r > 0)
                r = watch_heat(s, thread, false);
        else if (r == -ESRCH)
                threads_remove(&s->threads, s->kernel, thread);
        else if (r < 0)
                sources_note(&s->sources, KERNEL_THREAD_SCHEDSTAT, r);
        return r == -ENOMEM ? r : 0;
}

int watch_cold(struct sampler *s, unsigned n)
{
        unsigned n_cold = s->threads.n_threads - s->threads.n_hot;
        unsigned looked = 0;
        int r;

        for (; looked < MIN(n, n_cold); looked++) {
                struct thread *thread = threads_next_cold(&s->threads);

                if (!thread)
                        break;
                r = look_at_cold(s, thread);
                if (r < 0)
                        return r;
        }
        return (int)looked;
}

unsigned watch_flags(const struct sampler *s, const struct hot *hot)
{
        const struct kernel_thread *stat = &hot->stat;
        bool realtime = kernel_thread_is_realtime(stat);
        unsigned flags = 0;

        if (hot->runnable)
                flags |= THREAD_RUNNABLE;
        if (hot->newborn)
                flags |= THREAD_NEWBORN;
        if (realtime)
                flags |= THREAD_REALTIME;
        if (stat->kernel_thread || stat->policy == SCHED_DEADLINE || hot->mask_at == 0 ||
            s->masks.classes[hot->mask_class].n_cpus < 2 ||
            (realtime && !s->settings.balance.realtime) || hot->thread->tgid == s->self ||
            hot->denied || (!s->cpus[hot->cpu].balanced && !s->settings.balance.unbalanced))
                flags |= THREAD_FIXED;
        if (hot->left_alone_until > s->now)
                flags |= THREAD_LEFT_ALONE;
        if (hot->in_flight)
                flags |= THREAD_IN_FLIGHT;
        if (hot->moved_across_nodes)
                flags |= THREAD_COLD_MOVED;
        return flags;
}
