/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/machine.h"

#include <errno.h>

#include "base/macro.h"
#include "sim/cfs.h"

/* How far behind the others a thread may wake up, and so run before them. */
#define WAKE_CREDIT ((double)MACHINE_SLICE_NSEC)

nsec_t machine_cold_cost(const struct topology *topology, unsigned from, unsigned to)
{
        const struct topology_cpu *a = &topology->cpus[from], *b = &topology->cpus[to];

        if (from == to)
                return 0;
        if (a->core == b->core)
                return 20 * NSEC_PER_USEC;
        if (a->llc == b->llc)
                return 50 * NSEC_PER_USEC;
        if (a->node == b->node)
                return 300 * NSEC_PER_USEC;
        return 1500 * NSEC_PER_USEC;
}

double machine_weight(int nice)
{
        double weight = 1;

        for (; nice > 0; nice--)
                weight /= 1.25;
        for (; nice < 0; nice++)
                weight *= 1.25;
        return weight;
}

/* Counters. */

static void show_run_time(struct machine_thread *t)
{
        t->run_nsec += t->unshown_nsec;
        t->unshown_nsec = 0;
}

/* A wait ends, by arrival or because the thread leaves the queue. The kernel's queues are stamped
 * by clocks that may lie apart within a step. */
static void account_wait(struct machine *machine, struct machine_thread *t, nsec_t at)
{
        nsec_t waited = at > t->queued_at ? at - t->queued_at : 0;

        t->wait_nsec += waited;
        machine->cpus[t->cpu].run_delay_nsec += waited;
}

/* Queues. */

static void put_in_queue(struct machine *machine, unsigned thread, unsigned cpu, nsec_t at)
{
        struct machine_thread *t = &machine->threads[thread];
        struct machine_cpu *c = &machine->cpus[cpu];

        t->state = THREAD_WAITS;
        t->cpu = cpu;
        t->queued_at = at;
        t->previous = c->last;
        t->next = -1;
        if (c->last >= 0)
                machine->threads[c->last].next = (int)thread;
        else
                c->first = (int)thread;
        c->last = (int)thread;
        c->n_queue++;
}

static void take_from_queue(struct machine *machine, unsigned thread)
{
        const struct machine_thread *t = &machine->threads[thread];
        struct machine_cpu *c = &machine->cpus[t->cpu];

        if (t->previous >= 0)
                machine->threads[t->previous].next = t->next;
        else
                c->first = t->next;
        if (t->next >= 0)
                machine->threads[t->next].previous = t->previous;
        else
                c->last = t->previous;
        c->n_queue--;
}

/* The waiting thread that is furthest behind, of equals the one that came first; -1 if there is
 * none. */
static int furthest_behind(const struct machine *machine, const struct machine_cpu *c)
{
        int best = c->first;

        for (int i = best; i >= 0; i = machine->threads[i].next)
                if (machine->threads[i].vruntime < machine->threads[best].vruntime)
                        best = i;
        return best;
}

static void advance_min_vruntime(struct machine *machine, struct machine_cpu *c)
{
        int behind = furthest_behind(machine, c);
        double least = machine->threads[c->current].vruntime;

        if (behind >= 0)
                least = MIN(least, machine->threads[behind].vruntime);
        c->min_vruntime = MAX(c->min_vruntime, least);
}

static void stop_running(struct machine *machine, struct machine_cpu *c)
{
        show_run_time(&machine->threads[c->current]);
        c->current = -1;
}

static void preempt(struct machine *machine, unsigned cpu, nsec_t at)
{
        struct machine_cpu *c = &machine->cpus[cpu];
        unsigned thread = (unsigned)c->current;

        stop_running(machine, c);
        put_in_queue(machine, thread, cpu, at);
}

static bool pick_next(struct machine *machine, unsigned cpu, nsec_t at)
{
        struct machine_cpu *c = &machine->cpus[cpu];
        struct machine_thread *t;

        if (c->n_queue == 0 && c->balanced)
                cfs_balance_newly_idle(machine, cpu, at);
        if (c->n_queue == 0)
                return false;
        c->current = furthest_behind(machine, c);
        take_from_queue(machine, (unsigned)c->current);
        t = &machine->threads[c->current];
        account_wait(machine, t, at);
        t->state = THREAD_RUNS;
        t->n_slices++;
        c->slice_left = MACHINE_SLICE_NSEC;
        return true;
}

/* Moving. */

static void change_cpu(struct machine *machine, struct machine_thread *t, unsigned to)
{
        nsec_t cold = machine_cold_cost(machine->topology, t->cpu, to);

        t->vruntime += machine->cpus[to].min_vruntime - machine->cpus[t->cpu].min_vruntime;
        t->cold_nsec = MAX(t->cold_nsec, cold);
        t->cpu = to;
}

void machine_migrate(struct machine *machine, unsigned thread, unsigned cpu, nsec_t at)
{
        struct machine_thread *t = &machine->threads[thread];

        take_from_queue(machine, thread);
        account_wait(machine, t, at);
        change_cpu(machine, t, cpu);
        put_in_queue(machine, thread, cpu, at);
}

static bool may_use(const struct machine_thread *t, unsigned cpu)
{
        return cpuset_contains(&t->mask, cpu);
}

static void force_off(struct machine *machine, unsigned thread, unsigned cpu)
{
        struct machine_thread *t = &machine->threads[thread];

        if (t->state == THREAD_RUNS)
                preempt(machine, t->cpu, machine->now);
        machine_migrate(machine, thread, cpu, machine->now);
        machine->n_moved++;
}

int machine_set_mask(struct machine *machine, unsigned thread, const struct cpuset *mask)
{
        struct machine_thread *t = &machine->threads[thread];
        int cpu = cpuset_next(mask, 0), r;

        if (cpu < 0 || (unsigned)cpu >= machine->topology->n_cpus)
                return -EINVAL;
        r = cpuset_copy(&t->mask, mask);
        if (r < 0)
                return r;
        if (!may_use(t, t->cpu) && (t->state == THREAD_RUNS || t->state == THREAD_WAITS))
                force_off(machine, thread, (unsigned)cpu);
        return 0;
}

/* Waking and being born. */

static bool kernel_places(const struct machine *machine, const struct machine_thread *t)
{
        return machine->cpus[t->cpu].balanced;
}

static void wake(struct machine *machine, unsigned thread)
{
        struct machine_thread *t = &machine->threads[thread];
        unsigned cpu = t->cpu;

        if (t->state != THREAD_SLEEPS)
                return;
        if (kernel_places(machine, t))
                cpu = cfs_wake_cpu(machine, thread);
        else if (!may_use(t, cpu))
                cpu = (unsigned)cpuset_next(&t->mask, 0);
        if (cpu != t->cpu) {
                change_cpu(machine, t, cpu);
                machine->n_kernel_moved++;
        }
        t->vruntime = MAX(t->vruntime, machine->cpus[cpu].min_vruntime - WAKE_CREDIT);
        put_in_queue(machine, thread, cpu, machine->now);
}

static int init_mask(struct machine *machine, struct machine_thread *t, const struct task *task)
{
        if (task->spec.parent >= 0)
                return cpuset_copy(&t->mask, &machine->threads[task->spec.parent].mask);
        if (!cpuset_is_empty(&task->spec.mask))
                return cpuset_copy(&t->mask, &task->spec.mask);
        return cpuset_add_range(&t->mask, 0, machine->topology->n_cpus - 1);
}

static int grow(struct machine *machine)
{
        unsigned n = MAX(64U, 2 * machine->n_allocated);
        struct machine_thread *threads;
        unsigned *dead;

        if (machine->n_threads < machine->n_allocated)
                return 0;
        threads = realloc(machine->threads, n * sizeof(*threads));
        if (!threads)
                return -ENOMEM;
        machine->threads = threads;
        dead = realloc(machine->dead, n * sizeof(*dead));
        if (!dead)
                return -ENOMEM;
        machine->dead = dead;
        machine->n_allocated = n;
        return 0;
}

static int bear(struct machine *machine)
{
        unsigned thread = machine->n_threads;
        const struct task *task = &machine->workload->tasks[thread];
        struct machine_thread *t;
        int r;

        r = grow(machine);
        if (r < 0)
                return r;
        t = &machine->threads[thread];
        *t = (struct machine_thread){
                .state = THREAD_SLEEPS,
                .cpu = task->spec.cpu,
                .weight = machine_weight(task->spec.nice),
                .vruntime = machine->cpus[task->spec.cpu].min_vruntime,
        };
        r = init_mask(machine, t, task);
        if (r < 0)
                return r;
        machine->n_threads++;
        machine->n_forks++;
        if (task->state != TASK_READY)
                return 0;
        if (task->spec.parent >= 0)
                t->cpu = machine->threads[task->spec.parent].cpu;
        if (task->spec.parent >= 0 && kernel_places(machine, t))
                t->cpu = cfs_fork_cpu(machine, thread);
        t->vruntime = machine->cpus[t->cpu].min_vruntime;
        wake(machine, thread);
        return 0;
}

static int bear_new(struct machine *machine)
{
        while (machine->n_threads < machine->workload->n_tasks) {
                int r = bear(machine);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_in_work(struct machine *machine)
{
        struct workload *w = machine->workload;
        int r;

        r = workload_advance(w, machine->now);
        if (r < 0)
                return r;
        r = bear_new(machine);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < w->n_woken; i++)
                wake(machine, w->woken[i]);
        return 0;
}

/* Running. */

static double pace_on(const struct machine *machine, unsigned cpu, const struct task *task)
{
        const struct topology_cpu *place = &machine->topology->cpus[cpu];
        double pace = (double)place->capacity;

        if (machine->cpus[cpu].crowded)
                pace *= MACHINE_SMT_SPEED;
        if (task->spec.home_node >= 0 && (unsigned)task->spec.home_node != place->node)
                pace *= MACHINE_REMOTE_SPEED;
        return pace;
}

/* Lets the current thread of CPU run for at most BUDGET. Returns what it took. */
static nsec_t run_current(struct machine *machine, unsigned cpu, nsec_t at, nsec_t budget)
{
        struct machine_cpu *c = &machine->cpus[cpu];
        unsigned thread = (unsigned)c->current;
        struct machine_thread *t = &machine->threads[thread];
        const struct task *task = &machine->workload->tasks[thread];
        double pace = pace_on(machine, cpu, task);
        nsec_t span = MIN(budget, c->slice_left), cold = MIN(span, t->cold_nsec);
        double needs = task->left / pace;

        if (needs < (double)(span - cold))
                span = cold + (nsec_t)needs + 1;
        t->cold_nsec -= cold;
        t->unshown_nsec += span;
        t->vruntime += (double)span / t->weight;
        c->slice_left -= MIN(span, c->slice_left);
        workload_give(machine->workload, thread, MIN(task->left, (double)(span - cold) * pace),
                      at + span);
        return span;
}

static void die(struct machine *machine, unsigned thread)
{
        machine->threads[thread].state = THREAD_DEAD;
        machine->dead[machine->n_dead++] = thread;
}

/* After a stretch of running: whether the current thread goes on. */
static void switch_if_due(struct machine *machine, unsigned cpu, nsec_t at)
{
        struct machine_cpu *c = &machine->cpus[cpu];
        unsigned thread = (unsigned)c->current;
        enum task_state state = machine->workload->tasks[thread].state;
        int next;

        advance_min_vruntime(machine, c);
        if (state != TASK_READY) {
                machine->threads[thread].state = THREAD_SLEEPS;
                stop_running(machine, c);
                if (state == TASK_GONE)
                        die(machine, thread);
                return;
        }
        if (c->slice_left > 0)
                return;
        c->slice_left = MACHINE_SLICE_NSEC;
        next = furthest_behind(machine, c);
        if (next >= 0 && machine->threads[next].vruntime <= machine->threads[thread].vruntime)
                preempt(machine, cpu, at);
}

static void run_cpu(struct machine *machine, unsigned cpu)
{
        struct machine_cpu *c = &machine->cpus[cpu];
        nsec_t left = MACHINE_STEP_NSEC;

        while (left > 0) {
                nsec_t at = machine->now + MACHINE_STEP_NSEC - left, took;

                if (c->current < 0 && !pick_next(machine, cpu, at))
                        break;
                c->waited |= c->n_queue > 0;
                took = run_current(machine, cpu, at, left);
                left -= MIN(took, left);
                switch_if_due(machine, cpu, at + took);
        }
        c->idle_nsec += left;
        c->busy_nsec += MACHINE_STEP_NSEC - left;
}

static bool is_busy(const struct machine_cpu *c)
{
        return c->current >= 0 || c->n_queue > 0;
}

/* What a step sees of the CPUs beside it is what they were at its start: the order in which CPUs
 * are served must not matter. */
static void look_at_siblings(struct machine *machine)
{
        const struct topology *topology = machine->topology;

        for (unsigned k = 0; k < topology->n_cpus; k++) {
                const struct topology_range *core = &topology->cores[topology->cpus[k].core];
                struct machine_cpu *c = &machine->cpus[k];

                c->waited = false;
                c->crowded = false;
                for (unsigned s = core->first; s < core->first + core->count; s++)
                        c->crowded |= s != k && is_busy(&machine->cpus[s]);
        }
}

/* Grows if and only if somebody waited; how much says little, as in the kernel. */
static void account_pressure(struct machine *machine)
{
        unsigned n_waited = 0, n_busy = 0;

        for (unsigned k = 0; k < machine->topology->n_cpus; k++) {
                n_waited += machine->cpus[k].waited;
                n_busy += machine->cpus[k].waited || is_busy(&machine->cpus[k]);
        }
        if (n_waited > 0)
                machine->pressure_nsec += (double)MACHINE_STEP_NSEC * n_waited / n_busy;
}

static void timer_tick(struct machine *machine)
{
        if (machine->now % machine->options.timer_tick != 0)
                return;
        for (unsigned k = 0; k < machine->topology->n_cpus; k++)
                if (machine->cpus[k].current >= 0)
                        show_run_time(&machine->threads[machine->cpus[k].current]);
}

int machine_step(struct machine *machine)
{
        int r;

        r = take_in_work(machine);
        if (r < 0)
                return r;
        cfs_balance_periodic(machine);
        look_at_siblings(machine);
        for (unsigned k = 0; k < machine->topology->n_cpus; k++)
                run_cpu(machine, k);
        account_pressure(machine);
        machine->now += MACHINE_STEP_NSEC;
        timer_tick(machine);
        return 0;
}

/* The whole machine. */

int machine_new(struct machine **ret, const struct topology *topology, struct workload *workload,
                const struct machine_options *options)
{
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->topology = topology;
        m->workload = workload;
        random_init(&m->random, workload->seed, UINT64_MAX - 1);
        m->options = options ? *options
                             : (struct machine_options){.timer_tick = NSEC_PER_MSEC,
                                                        .kernel_reach = MACHINE_ALL};
        m->cpus = calloc(topology->n_cpus, sizeof(*m->cpus));
        if (!m->cpus)
                return -ENOMEM;
        for (unsigned k = 0; k < topology->n_cpus; k++)
                m->cpus[k].current = m->cpus[k].first = m->cpus[k].last = -1;
        r = bear_new(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

void machine_free(struct machine *machine)
{
        if (!machine)
                return;
        for (unsigned i = 0; i < machine->n_threads; i++)
                cpuset_done(&machine->threads[i].mask);
        free(machine->cpus);
        free(machine->threads);
        free(machine->dead);
        free(machine);
}

void machine_set_balanced(struct machine *machine, unsigned first, unsigned last, bool balanced)
{
        for (unsigned k = first; k <= last; k++)
                machine->cpus[k].balanced = balanced;
}
