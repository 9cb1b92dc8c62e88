/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/workload.h"

#include <errno.h>
#include <math.h>

#include "base/macro.h"

/* Less than this is done: what is left over from adding fractions. */
#define WORK_EPSILON_NSEC 0.5

void workload_init(struct workload *workload, uint64_t seed)
{
        *workload = (struct workload){.seed = seed, .next_birth = NSEC_INFINITY};
        random_init(&workload->random, seed, UINT64_MAX);
}

void workload_done(struct workload *workload)
{
        for (unsigned i = 0; i < workload->n_tasks; i++)
                cpuset_done(&workload->tasks[i].spec.mask);
        free(workload->tasks);
        free(workload->woken);
        *workload = (struct workload){0};
}

static double draw(struct task *task, nsec_t mean)
{
        switch (task->spec.chance) {
        case TASK_EXACT:
                return (double)mean;
        case TASK_REGULAR:
                return random_between(&task->random, 0.9 * (double)mean, 1.1 * (double)mean);
        case TASK_SPREAD:
                return random_between(&task->random, 0.5 * (double)mean, 1.5 * (double)mean);
        case TASK_EXPONENTIAL:
                return random_exponential(&task->random, (double)mean);
        }
        abort();
}

static void sleep_until(struct workload *workload, struct task *task, nsec_t at)
{
        task->state = TASK_ASLEEP;
        task->wake_at = at;
        workload->next_wake = MIN(workload->next_wake, at);
}

/* Sleepers start somewhere in their cycle. */
static void start(struct workload *workload, struct task *task, nsec_t now)
{
        double cycle = (double)task->spec.pause;

        task->born_at = now;
        switch (task->spec.kind) {
        case TASK_HOG:
                task->left = HUGE_VAL;
                return;
        case TASK_BARRIER:
        case TASK_ONCE:
                task->left = draw(task, task->spec.work);
                return;
        case TASK_SLEEPER:
                cycle += (double)task->spec.work;
                break;
        case TASK_OPEN:
        case TASK_PERIODIC:
                break;
        }
        sleep_until(workload, task, now + (nsec_t)random_between(&task->random, 0, cycle));
}

static int grow(struct workload *workload)
{
        unsigned n = MAX(64U, 2 * workload->n_allocated);
        struct task *tasks;
        unsigned *woken;

        if (workload->n_tasks < workload->n_allocated)
                return 0;
        tasks = realloc(workload->tasks, n * sizeof(*tasks));
        if (!tasks)
                return -ENOMEM;
        workload->tasks = tasks;
        woken = realloc(workload->woken, n * sizeof(*woken));
        if (!woken)
                return -ENOMEM;
        workload->woken = woken;
        workload->n_allocated = n;
        return 0;
}

static int add(struct workload *workload, const struct task_spec *spec, nsec_t now)
{
        _cleanup_cpuset_ struct cpuset mask = {0};
        struct task *task;
        int r;

        r = cpuset_copy(&mask, &spec->mask);
        if (r < 0)
                return r;
        r = grow(workload);
        if (r < 0)
                return r;
        task = &workload->tasks[workload->n_tasks];
        *task = (struct task){.spec = *spec, .state = TASK_READY};
        task->spec.mask = TAKE_CPUSET(mask);
        random_init(&task->random, workload->seed, workload->n_tasks);
        start(workload, task, now);
        return (int)workload->n_tasks++;
}

int workload_add(struct workload *workload, const struct task_spec *spec)
{
        return add(workload, spec, 0);
}

static void plan_birth(struct workload *workload, nsec_t after)
{
        workload->next_birth =
                after + (nsec_t)random_exponential(&workload->random, workload->birth_mean_nsec);
}

void workload_add_births(struct workload *workload, const struct task_spec *spec, double per_sec)
{
        workload->birth = *spec;
        workload->birth.mask = (struct cpuset){0};
        workload->birth_mean_nsec = (double)NSEC_PER_SEC / per_sec;
        plan_birth(workload, 0);
}

/* What a task does once it is awake: `wake_at` becomes the time when more falls due. */
static void wake(struct task *task)
{
        switch (task->spec.kind) {
        case TASK_OPEN:
                task->left += draw(task, task->spec.work);
                task->wake_at += task->spec.pause;
                break;
        case TASK_PERIODIC:
                task->left = draw(task, task->spec.work);
                task->wake_at += task->spec.pause;
                break;
        case TASK_HOG:
        case TASK_SLEEPER:
        case TASK_BARRIER:
        case TASK_ONCE:
                task->left = draw(task, task->spec.work);
                break;
        }
        task->state = TASK_READY;
}

static int bear(struct workload *workload, nsec_t now)
{
        while (workload->next_birth <= now) {
                int r = add(workload, &workload->birth, now);

                if (r < 0)
                        return r;
                plan_birth(workload, workload->next_birth);
        }
        return 0;
}

/* Work of an open task falls due even while it runs. */
static bool is_due(const struct task *task, nsec_t now)
{
        if (task->state == TASK_ASLEEP)
                return task->wake_at <= now;
        return task->state == TASK_READY && task->spec.kind == TASK_OPEN && task->wake_at <= now;
}

static bool keeps_time(const struct task *task)
{
        return task->state == TASK_ASLEEP ||
               (task->state == TASK_READY && task->spec.kind == TASK_OPEN);
}

static void wake_due(struct workload *workload, nsec_t now)
{
        workload->next_wake = NSEC_INFINITY;
        for (unsigned i = 0; i < workload->n_tasks; i++) {
                struct task *task = &workload->tasks[i];

                if (is_due(task, now)) {
                        if (task->state == TASK_ASLEEP)
                                workload->woken[workload->n_woken++] = i;
                        wake(task);
                }
                if (keeps_time(task))
                        workload->next_wake = MIN(workload->next_wake, task->wake_at);
        }
}

int workload_advance(struct workload *workload, nsec_t now)
{
        workload->n_woken = 0;
        if (workload->next_wake <= now)
                wake_due(workload, now);
        return bear(workload, now);
}

static bool group_arrived(const struct workload *workload, unsigned group)
{
        for (unsigned i = 0; i < workload->n_tasks; i++) {
                const struct task *task = &workload->tasks[i];

                if (task->spec.kind == TASK_BARRIER && task->spec.group == group &&
                    task->state != TASK_AT_BARRIER)
                        return false;
        }
        return true;
}

static void arrive(struct workload *workload, struct task *task, nsec_t at)
{
        task->state = TASK_AT_BARRIER;
        if (!group_arrived(workload, task->spec.group))
                return;
        for (unsigned i = 0; i < workload->n_tasks; i++) {
                struct task *mate = &workload->tasks[i];

                if (mate->spec.kind == TASK_BARRIER && mate->spec.group == task->spec.group)
                        sleep_until(workload, mate, at);
        }
}

static void finish(struct workload *workload, struct task *task, nsec_t at)
{
        task->left = 0;
        switch (task->spec.kind) {
        case TASK_HOG:
                break;
        case TASK_SLEEPER:
                sleep_until(workload, task, at + (nsec_t)draw(task, task->spec.pause));
                break;
        case TASK_PERIODIC:
                while (task->wake_at < at)
                        task->wake_at += task->spec.pause;
                sleep_until(workload, task, task->wake_at);
                break;
        case TASK_OPEN:
                sleep_until(workload, task, task->wake_at);
                break;
        case TASK_BARRIER:
                arrive(workload, task, at);
                break;
        case TASK_ONCE:
                task->state = TASK_GONE;
                break;
        }
}

void workload_give(struct workload *workload, unsigned task, double work, nsec_t at)
{
        struct task *t = &workload->tasks[task];

        t->done += work;
        t->left -= work;
        if (t->left < WORK_EPSILON_NSEC)
                finish(workload, t, at);
}

double task_demand(const struct task *task)
{
        const struct task_spec *spec = &task->spec;
        double work = (double)spec->work, pause = (double)spec->pause;

        switch (spec->kind) {
        case TASK_HOG:
        case TASK_BARRIER:
        case TASK_ONCE:
                return 1;
        case TASK_SLEEPER:
                return work / (work + pause);
        case TASK_OPEN:
        case TASK_PERIODIC:
                return MIN(1.0, work / pause);
        }
        abort();
}
