/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/run.h"

#include <errno.h>
#include <math.h>

#include "base/macro.h"
#include "engine/balancer.h"
#include "sim/free.h"

/* Work below this says nothing about fairness. */
#define FAIR_WORK_NSEC ((double)(100 * NSEC_PER_MSEC))

/* What one scenario's runs share. */
struct course {
        const struct scenario *scenario;
        const struct run_options *options;
        struct topology *topology;
        struct workload free; /* as the free queue has served it */
};

static void course_done(struct course *course)
{
        workload_done(&course->free);
        topology_free(course->topology);
}

static double total_work(const struct workload *w)
{
        double sum = 0;

        for (unsigned i = 0; i < w->n_tasks; i++)
                sum += w->tasks[i].done;
        return sum;
}

static double worst_share(const struct workload *w, const struct workload *free)
{
        double worst = HUGE_VAL;

        for (unsigned i = 0; i < MIN(w->n_tasks, free->n_tasks); i++)
                if (free->tasks[i].born_at == 0 && free->tasks[i].done >= FAIR_WORK_NSEC)
                        worst = MIN(worst, w->tasks[i].done / free->tasks[i].done);
        return isfinite(worst) ? worst : 0;
}

static int make_machine(const struct course *course, enum run_mode mode, struct workload *w,
                        struct machine **ret)
{
        const struct scenario *scenario = course->scenario;
        struct machine_options options = {
                .timer_tick = scenario->timer_tick ? scenario->timer_tick : NSEC_PER_MSEC,
                .kernel_reach = mode == RUN_KERNEL ? MACHINE_ALL : scenario->kernel_reach,
        };
        int r;

        r = machine_new(ret, course->topology, w, &options);
        if (r < 0)
                return r;
        machine_set_balanced(*ret, 0, course->topology->n_cpus - 1,
                             mode == RUN_KERNEL || scenario->balanced);
        return 0;
}

static int run_alone(struct machine *machine, nsec_t duration)
{
        int r = 0;

        while (r >= 0 && machine->now < duration)
                r = machine_step(machine);
        return r;
}

/* Counts what balancerd has moved, and when. */
struct tally {
        uint64_t n_moved, n_in_first_half;
        nsec_t last_move;
};

static void tally_step(struct tally *tally, const struct machine *machine, nsec_t duration)
{
        if (machine->n_moved != tally->n_moved)
                tally->last_move = machine->now;
        tally->n_moved = machine->n_moved;
        if (machine->now <= duration / 2)
                tally->n_in_first_half = machine->n_moved;
}

/* As the daemon's loop: ticks when one is due, or when something ends the quiet before it. */
static int drive(struct balancer *balancer, struct kernel *kernel, struct machine *machine,
                 nsec_t duration, struct tally *tally)
{
        nsec_t next = kernel->ops->now(kernel);
        int r;

        while (machine->now < duration) {
                bool roused = sim_kernel_rouses(kernel) && balancer_is_quiet(balancer);

                if (roused || kernel->ops->now(kernel) >= next) {
                        r = balancer_tick(balancer, &next);
                        if (r < 0)
                                return r;
                }
                tally_step(tally, machine, duration);
                r = machine_step(machine);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int run_with_balancerd(const struct course *course, struct machine *machine,
                              struct tally *tally, struct run_result *result)
{
        const struct run_options *options = course->options;
        struct balancer_options balancer_options = {
                .settings = options->settings,
                .on_decision = options->on_decision,
                .userdata = options->userdata,
        };
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        _cleanup_(balancer_freep) struct balancer *balancer = NULL;
        struct balancer_counts counts;
        int r;

        /* What it meets has begun before it. */
        r = run_alone(machine, options->settings.balance.tick);
        if (r < 0)
                return r;
        r = sim_kernel_new(&kernel, machine, &course->scenario->kernel);
        if (r < 0)
                return r;
        r = balancer_new(&balancer, kernel, options->ledger, &balancer_options);
        if (r < 0)
                return r;
        r = drive(balancer, kernel, machine, options->duration, tally);
        if (r < 0)
                return r;
        balancer_get_counts(balancer, &counts);
        result->n_reported = (unsigned)counts.n_moved;
        return 0;
}

static bool has_its_mask(const struct machine *machine, unsigned thread)
{
        const struct cpuset *now = &machine->threads[thread].mask;
        const struct cpuset *wanted = &machine->workload->tasks[thread].spec.mask;

        if (cpuset_is_empty(wanted))
                return cpuset_count(now) == machine->topology->n_cpus;
        return cpuset_equal(now, wanted);
}

static unsigned count_not_given_back(const struct machine *machine)
{
        unsigned n = 0;

        for (unsigned i = 0; i < machine->n_threads; i++)
                n += !has_its_mask(machine, i);
        return n;
}

static int run_mode(const struct course *course, enum run_mode mode, struct run_result *result)
{
        const struct run_options *options = course->options;
        _cleanup_(workload_done) struct workload w = {0};
        _cleanup_(machine_freep) struct machine *machine = NULL;
        struct tally tally = {0};
        int r;

        r = scenario_make_workload(course->scenario, course->topology, options->seed, &w);
        if (r < 0)
                return r;
        r = make_machine(course, mode, &w, &machine);
        if (r < 0)
                return r;
        if (mode == RUN_BALANCERD)
                r = run_with_balancerd(course, machine, &tally, result);
        else
                r = run_alone(machine, options->duration);
        if (r < 0)
                return r;
        result->eff = total_work(&w) / total_work(&course->free);
        result->fair = worst_share(&w, &course->free);
        result->n_moves = (unsigned)machine->n_moved;
        result->n_kernel_moves = (unsigned)machine->n_kernel_moved;
        result->n_not_given_back = count_not_given_back(machine);
        result->last_move = tally.last_move;
        result->moves_per_sec = (double)(tally.n_moved - tally.n_in_first_half) /
                                nsec_to_sec(options->duration / 2);
        return 0;
}

static int run_fixed(const struct course *course, double *ret_eff)
{
        const struct run_options *options = course->options;
        _cleanup_(workload_done) struct workload w = {0};
        _cleanup_(machine_freep) struct machine *machine = NULL;
        _cleanup_free_ unsigned *cpus = NULL;
        int r;

        r = scenario_make_workload(course->scenario, course->topology, options->seed, &w);
        if (r < 0)
                return r;
        cpus = calloc(MAX(w.n_tasks, 1U), sizeof(*cpus));
        if (!cpus)
                return -ENOMEM;
        r = free_place(&w, course->topology->n_cpus, cpus);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < w.n_tasks; i++)
                w.tasks[i].spec.cpu = cpus[i];
        r = make_machine(course, RUN_NONE, &w, &machine);
        if (r < 0)
                return r;
        r = run_alone(machine, options->duration);
        if (r < 0)
                return r;
        *ret_eff = total_work(&w) / total_work(&course->free);
        return 0;
}

static int serve_free(struct course *course)
{
        int r;

        r = scenario_make_workload(course->scenario, course->topology, course->options->seed,
                                   &course->free);
        if (r < 0)
                return r;
        return free_serve(&course->free, course->topology, course->options->duration);
}

int run_scenario(const struct scenario *scenario, const struct run_options *options,
                 struct run_result *ret)
{
        _cleanup_(course_done) struct course course = {.scenario = scenario, .options = options};
        struct run_result result = {0}, untouched = {0};
        int r;

        r = scenario_make_topology(scenario, &course.topology);
        if (r < 0)
                return r;
        r = serve_free(&course);
        if (r < 0)
                return r;
        r = run_mode(&course, options->mode, &result);
        if (r < 0)
                return r;
        r = run_mode(&course, RUN_NONE, &untouched);
        if (r < 0)
                return r;
        result.untouched = untouched.eff;
        if (scenario->has_fixed) {
                r = run_fixed(&course, &result.fixed);
                if (r < 0)
                        return r;
        }
        *ret = result;
        return 0;
}
