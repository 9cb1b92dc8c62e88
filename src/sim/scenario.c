/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/scenario.h"

#include <errno.h>

#include "base/macro.h"

#define MSEC NSEC_PER_MSEC
#define USEC NSEC_PER_USEC

static const struct task_spec hog = {.kind = TASK_HOG, .home_node = TASK_NO_HOME, .parent = -1};

static int add(struct workload *w, const struct task_spec *spec, unsigned cpu)
{
        struct task_spec placed = *spec;
        int r;

        placed.cpu = cpu;
        r = workload_add(w, &placed);
        return r < 0 ? r : 0;
}

static int add_random(struct workload *w, const struct task_spec *spec, unsigned n_cpus)
{
        return add(w, spec, random_below(&w->random, n_cpus));
}

/* N tasks like SPEC in turn on the first N_CPUS CPUs. */
static int add_many(struct workload *w, const struct task_spec *spec, unsigned n, unsigned n_cpus)
{
        for (unsigned i = 0; i < n; i++) {
                int r = add(w, spec, i % n_cpus);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_randomly(struct workload *w, const struct task_spec *spec, unsigned n,
                        unsigned n_cpus)
{
        int r = 0;

        for (unsigned i = 0; r == 0 && i < n; i++)
                r = add_random(w, spec, n_cpus);
        return r;
}

/* A task that wants DEMAND of a CPU in bursts of WORK in the mean. */
static struct task_spec sleeper(enum task_chance chance, nsec_t work, double demand)
{
        return (struct task_spec){
                .kind = TASK_SLEEPER,
                .chance = chance,
                .work = work,
                .pause = (nsec_t)((double)work * (1 - demand) / demand),
                .home_node = TASK_NO_HOME,
                .parent = -1,
        };
}

/* N sleepers that want LOW to HIGH of a CPU each, anywhere. */
static int add_sleepers(struct workload *w, unsigned n, unsigned n_cpus, enum task_chance chance,
                        double low, double high)
{
        for (unsigned i = 0; i < n; i++) {
                nsec_t work = (nsec_t)random_between(&w->random, 2e6, 20e6);
                struct task_spec spec =
                        sleeper(chance, work, random_between(&w->random, low, high));
                int r = add_random(w, &spec, n_cpus);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Hogs. */

static int fill_stacked(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, t->n_cpus, 1);
}

static int fill_3_hogs(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, 3, t->n_cpus);
}

static int fill_6_hogs(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, 6, t->n_cpus);
}

static int fill_9_hogs(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, 9, t->n_cpus);
}

static int fill_12_hogs(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, 12, t->n_cpus);
}

static int fill_one_more(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, t->n_cpus + 1, t->n_cpus);
}

/* As many hogs as cores, two on each of the first half. */
static int fill_siblings(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, t->n_cores, t->n_cores);
}

static int fill_on_slow(struct workload *w, const struct topology *t)
{
        unsigned half = t->n_cpus / 2;

        for (unsigned i = 0; i < 6; i++) {
                int r = add(w, &hog, half + i % half);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* A heavy and a light one for each CPU, anywhere. */
static int fill_nice(struct workload *w, const struct topology *t)
{
        int r = 0;

        for (unsigned i = 0; r == 0 && i < 2 * t->n_cpus; i++) {
                struct task_spec spec = hog;

                spec.nice = i % 2 ? 5 : 0;
                r = add_random(w, &spec, t->n_cpus);
        }
        return r;
}

/* Masks. */

static int add_masked(struct workload *w, const struct task_spec *spec, unsigned cpu,
                      const unsigned *cpus, unsigned n)
{
        _cleanup_cpuset_ struct cpuset mask = {0};
        struct task_spec masked = *spec;

        for (unsigned i = 0; i < n; i++) {
                int r = cpuset_add(&mask, cpus[i]);

                if (r < 0)
                        return r;
        }
        masked.mask = mask;
        return add(w, &masked, cpu);
}

/* Each may run where it is and on the next CPU; two stand on the first CPU, nobody on the last. */
static int fill_chain(struct workload *w, const struct topology *t)
{
        unsigned first[] = {0};
        int r;

        r = add_masked(w, &hog, 0, first, 1);
        for (unsigned k = 0; r == 0 && k + 1 < t->n_cpus; k++) {
                unsigned two[] = {k, k + 1};

                r = add_masked(w, &hog, k, two, 2);
        }
        return r;
}

static int add_with_random_mask(struct workload *w, const struct task_spec *spec, unsigned n_cpus)
{
        unsigned cpus[3];

        for (unsigned i = 0; i < ARRAY_SIZE(cpus); i++)
                cpus[i] = random_below(&w->random, n_cpus);
        return add_masked(w, spec, cpus[0], cpus, ARRAY_SIZE(cpus));
}

/* Hogs and sleepers, each with three CPUs. */
static int fill_random_masks(struct workload *w, const struct topology *t)
{
        int r = 0;

        for (unsigned i = 0; r == 0 && i < 2 * t->n_cpus; i++) {
                nsec_t work = (nsec_t)random_between(&w->random, 2e6, 20e6);
                double demand = random_between(&w->random, 0.1, 0.7);
                struct task_spec spec = sleeper(TASK_SPREAD, work, demand);

                if (i % 8 == 0)
                        spec = hog;
                r = add_with_random_mask(w, &spec, t->n_cpus);
        }
        return r;
}

/* Sleepers. */

static int fill_sleepers(struct workload *w, const struct topology *t)
{
        return add_sleepers(w, 40, t->n_cpus, TASK_REGULAR, 0.1, 0.6);
}

static int fill_sleepers_exponential(struct workload *w, const struct topology *t)
{
        return add_sleepers(w, 40, t->n_cpus, TASK_EXPONENTIAL, 0.1, 0.6);
}

/* Periods of 10 to 80 ms, 2.5 tasks a CPU, together three quarters of the machine. */
static int fill_open(struct workload *w, const struct topology *t)
{
        unsigned n = 5 * t->n_cpus / 2;

        for (unsigned i = 0; i < n; i++) {
                double period = random_between(&w->random, 10e6, 80e6);
                double demand = random_between(&w->random, 0.1, 0.5);
                struct task_spec spec = {
                        .kind = TASK_PERIODIC,
                        .chance = TASK_REGULAR,
                        .work = (nsec_t)(period * demand),
                        .pause = (nsec_t)period,
                        .home_node = TASK_NO_HOME,
                        .parent = -1,
                };
                int r = add_random(w, &spec, t->n_cpus);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Four alike on every CPU: nothing that could be better, and much that looks so for a moment. */
static int fill_noisy(struct workload *w, const struct topology *t)
{
        struct task_spec spec = sleeper(TASK_EXPONENTIAL, 5 * MSEC, 0.185);

        return add_many(w, &spec, 4 * t->n_cpus, t->n_cpus);
}

static int fill_long_bursts(struct workload *w, const struct topology *t)
{
        struct task_spec spec = sleeper(TASK_SPREAD, 1000 * MSEC, 1.0 / 3);

        return add_randomly(w, &spec, 14, t->n_cpus);
}

static int fill_short_bursts(struct workload *w, const struct topology *t)
{
        struct task_spec spec = sleeper(TASK_SPREAD, 200 * MSEC, 1.0 / 3);

        return add_randomly(w, &spec, 14, t->n_cpus);
}

/* Births, groups, nodes. */

static int fill_forks(struct workload *w, const struct topology *t)
{
        struct task_spec parent = sleeper(TASK_REGULAR, 100 * USEC, 0.01);
        struct task_spec child = {.kind = TASK_ONCE,
                                  .chance = TASK_EXPONENTIAL,
                                  .work = 200 * MSEC,
                                  .home_node = TASK_NO_HOME,
                                  .parent = 0};

        (void)t;
        workload_add_births(w, &child, 60);
        return add(w, &parent, 0);
}

static int fill_barrier(struct workload *w, const struct topology *t)
{
        struct task_spec spec = {.kind = TASK_BARRIER,
                                 .chance = TASK_REGULAR,
                                 .work = 10 * MSEC,
                                 .home_node = TASK_NO_HOME,
                                 .parent = -1};

        return add_many(w, &spec, t->n_cpus, t->n_cpus / 2);
}

/* Sleepers whose memory lies on their node, all on its first CPU. */
static int fill_own_memory(struct workload *w, const struct topology *t)
{
        int r = 0;

        for (unsigned i = 0; r == 0 && i < 26; i++) {
                unsigned node = i % t->n_nodes;
                nsec_t work = (nsec_t)random_between(&w->random, 2e6, 20e6);
                struct task_spec spec =
                        sleeper(TASK_REGULAR, work, random_between(&w->random, 0.1, 0.6));

                spec.home_node = (int)node;
                r = add(w, &spec, t->nodes[node].first);
        }
        return r;
}

static int fill_one_node(struct workload *w, const struct topology *t)
{
        return add_many(w, &hog, t->n_cpus - 2, t->nodes[0].count);
}

/* Something of everything: 63 threads that the kernel serves well. */
static int fill_mix(struct workload *w, const struct topology *t)
{
        struct task_spec bursts = sleeper(TASK_EXPONENTIAL, 500 * MSEC, 0.25);
        struct task_spec group = {.kind = TASK_BARRIER,
                                  .chance = TASK_SPREAD,
                                  .work = 5 * MSEC,
                                  .home_node = TASK_NO_HOME,
                                  .parent = -1};
        int r;

        r = add_sleepers(w, 43, t->n_cpus, TASK_EXPONENTIAL, 0.02, 0.3);
        for (unsigned i = 0; r == 0 && i < 4; i++)
                r = add_random(w, &hog, t->n_cpus);
        for (unsigned i = 0; r == 0 && i < 8; i++)
                r = add_random(w, &bursts, t->n_cpus);
        for (unsigned i = 0; r == 0 && i < 8; i++)
                r = add_random(w, &group, t->n_cpus);
        return r;
}

#define FLAT(n)                                                                                    \
        {                                                                                          \
                .n_nodes = 1, .n_llcs = 1, .n_cores = (n), .n_siblings = 1                         \
        }
#define NODES(n, cores)                                                                            \
        {                                                                                          \
                .n_nodes = (n), .n_llcs = 1, .n_cores = (cores), .n_siblings = 1                   \
        }
#define CACHES(n, cores)                                                                           \
        {                                                                                          \
                .n_nodes = 1, .n_llcs = (n), .n_cores = (cores), .n_siblings = 1                   \
        }
#define HYBRID                                                                                     \
        {                                                                                          \
                .n_nodes = 1, .n_llcs = 1, .n_cores = 8, .n_siblings = 1, .n_slow = 4,             \
                .slow_capacity = 0.6F                                                              \
        }
#define NONE           SCENARIO_UNKNOWN
#define EXACTLY(n, by) .has_moves = true, .n_moves = (n), .done_by = (by)
#define AT_MOST(n)     .calm = true, .moves_per_sec = (n)

static const struct scenario table[] = {
        {
                .name = "stacked-8",
                .what = "8 hogs on 1 of 8 CPUs",
                .shape = FLAT(8),
                .has_fixed = true,
                .fill = fill_stacked,
                .study = {.125, 1, .999, NONE, 0},
                .goal = {.eff = .998, .fair = .99, EXACTLY(7, 60 * MSEC)},
        },
        {
                .name = "stacked-64",
                .what = "64 hogs on 1 of 64 CPUs",
                .shape = CACHES(8, 8),
                .has_fixed = true,
                .fill = fill_stacked,
                .study = {.016, 1, .999, NONE, 0},
                .goal = {.eff = .998, .fair = .99, EXACTLY(63, 100 * MSEC)},
        },
        {
                .name = "sleepers",
                .what = "40 sleepers, 10-60%, 16 CPUs",
                .shape = FLAT(16),
                .has_fixed = true,
                .fill = fill_sleepers,
                .study = {.748, .865, .863, NONE, 0},
                .goal = {.eff_of_fixed = .99, AT_MOST(.1 * 16)},
        },
        {
                .name = "sleepers-exponential",
                .what = "the same, exponential",
                .shape = FLAT(16),
                .has_fixed = true,
                .fill = fill_sleepers_exponential,
                .study = {.751, .870, .862, NONE, 28},
                .goal = {.eff_of_fixed = .99, AT_MOST(2 * 16)},
        },
        {
                .name = "open-periodic",
                .what = "open periodic, 75%, 16 CPUs",
                .shape = FLAT(16),
                .has_fixed = true,
                .fill = fill_open,
                .study = {.786, .985, .955, NONE, 1},
                .goal = {.eff = .95, AT_MOST(.1 * 16)},
        },
        {
                .name = "noisy",
                .what = "already balanced, noisy, 8 CPUs",
                .shape = FLAT(8),
                .has_fixed = true,
                .fill = fill_noisy,
                .study = {.896, .896, .893, NONE, 5},
                .goal = {.eff_of_untouched = .995, AT_MOST(8)},
        },
        {
                .name = "chain-16",
                .what = "masks in a chain of 16",
                .shape = FLAT(16),
                .fill = fill_chain,
                .study = {.938, NONE, 1.0, NONE, 0},
                .goal = {.eff = .999, .fair = .99, EXACTLY(15, 60 * MSEC)},
        },
        {
                .name = "random-masks",
                .what = "random 3-CPU masks, 16 CPUs",
                .shape = FLAT(16),
                .has_fixed = true,
                .fill = fill_random_masks,
                .study = {.775, .892, .886, NONE, NONE},
                .goal = {.eff_of_fixed = .99},
        },
        {
                .name = "smt",
                .what = "8 hogs on 4 of 8 SMT cores",
                .shape = {.n_nodes = 1, .n_llcs = 1, .n_cores = 8, .n_siblings = 2},
                .fill = fill_siblings,
                .study = {.620, NONE, 1.0, NONE, 0},
                .goal = {.eff = .999, .fair = .99, AT_MOST(0)},
        },
        {
                .name = "own-memory",
                .what = "2 nodes, own memory, sleepers stacked",
                .shape = NODES(2, 8),
                .has_fixed = true,
                .fill = fill_own_memory,
                .study = {.211, .896, .921, NONE, NONE},
                .goal = {.eff_of_fixed = .99},
        },
        {
                .name = "bursts-1s",
                .what = "bursts 1 s on, 2 s off, 8 CPUs",
                .shape = FLAT(8),
                .fill = fill_long_bursts,
                .study = {.829, NONE, .983, NONE, NONE},
                .goal = {.eff = .985, AT_MOST(.5 * 8)},
        },
        {
                .name = "bursts-200ms",
                .what = "bursts 0.2 s on, 0.4 s off, 8 CPUs",
                .shape = FLAT(8),
                .fill = fill_short_bursts,
                .study = {.834, NONE, .918, NONE, NONE},
                .goal = {.eff = .93, AT_MOST(2 * 8)},
        },
        {
                .name = "forks",
                .what = "forks, 60/s, mean 0.2 s, 16 CPUs",
                .shape = FLAT(16),
                .fill = fill_forks,
                .study = {.084, NONE, .999, NONE, NONE},
                .goal = {.eff = .998, AT_MOST(1.15 * 60)},
        },
        {
                .name = "barrier",
                .what = "barrier group of 8 on 4 of 8 CPUs",
                .shape = FLAT(8),
                .has_fixed = true,
                .fill = fill_barrier,
                .study = {.520, 1, .999, NONE, 0},
                .goal = {.eff = .999, AT_MOST(0)},
        },
        {
                .name = "hybrid",
                .what = "6 hogs on the slow half of 4x1.0 + 4x0.6",
                .shape = HYBRID,
                .has_fixed = true,
                .fill = fill_on_slow,
                .study = {.462, .846, 1.0, NONE, NONE},
                .goal = {.eff = .999, AT_MOST(4)},
        },
        {
                .name = "rotate-3-on-2",
                .what = "3 hogs on 2 CPUs take turns",
                .shape = FLAT(2),
                .fill = fill_3_hogs,
                .study = {1, NONE, 1, .998, 1},
                .goal = {.eff = .999, .fair = .97, AT_MOST(1)},
        },
        {
                .name = "rotate-9-on-8",
                .what = "9 hogs on 8 CPUs",
                .shape = FLAT(8),
                .fill = fill_9_hogs,
                .study = {1, NONE, 1, .975, 1},
                .goal = {.eff = .999, .fair = .97, AT_MOST(1)},
        },
        {
                .name = "rotate-12-on-8",
                .what = "12 hogs on 8 CPUs",
                .shape = FLAT(8),
                .fill = fill_12_hogs,
                .study = {1, NONE, 1, 1.0, 4},
                .goal = {.eff = .999, .fair = .97, AT_MOST(4)},
        },
        {
                .name = "rotate-hybrid",
                .what = "6 hogs on 4x1.0 + 4x0.6 take turns",
                .shape = HYBRID,
                .fill = fill_6_hogs,
                .study = {NONE, NONE, 1.0, .998, 4},
                .goal = {.eff = .998, .fair = .97, AT_MOST(4)},
        },
        {
                .name = "rotate-65-on-64",
                .what = "65 hogs on 64 CPUs",
                .shape = CACHES(8, 8),
                .fill = fill_one_more,
                .study = {NONE, NONE, NONE, .982, 1},
                .goal = {.eff = .999, .fair = .97, AT_MOST(1)},
        },
        {
                .name = "nice",
                .what = "4 hogs of nice 0 and 4 of nice 5, anywhere on 4 CPUs",
                .shape = FLAT(4),
                .fill = fill_nice,
                .study = {NONE, NONE, NONE, .968, NONE},
                .goal = {.eff = .999, .fair = .96, AT_MOST(0)},
        },
        {
                .name = "k1-mix",
                .what = "kernel balances: healthy mix, 63 threads, 16 CPUs",
                .shape = CACHES(2, 8),
                .balanced = true,
                .kernel_reach = MACHINE_ALL,
                .fill = fill_mix,
                .study = {1.0, NONE, 1.0, NONE, 0},
                .goal = {.eff_of_untouched = .999, EXACTLY(0, 0)},
        },
        {
                .name = "k1-sleepers",
                .what = "kernel balances: 40 sleepers, 10-60%",
                .shape = FLAT(16),
                .balanced = true,
                .kernel_reach = MACHINE_ALL,
                .fill = fill_sleepers,
                .study = {.989, NONE, .988, NONE, 0},
                .goal = {.eff_of_untouched = .999, EXACTLY(0, 0)},
        },
        {
                .name = "k1-bursts",
                .what = "kernel balances: bursts 1 s on, 2 s off",
                .shape = FLAT(8),
                .balanced = true,
                .kernel_reach = MACHINE_ALL,
                .fill = fill_long_bursts,
                .study = {1.0, NONE, 1.0, NONE, 0},
                .goal = {.eff_of_untouched = .999, EXACTLY(0, 0)},
        },
        {
                .name = "k1-forks",
                .what = "kernel balances: forks, 60/s, mean 0.2 s",
                .shape = FLAT(16),
                .balanced = true,
                .kernel_reach = MACHINE_ALL,
                .fill = fill_forks,
                .study = {1.0, NONE, 1.0, NONE, 0},
                .goal = {.eff_of_untouched = .999, EXACTLY(0, 0)},
        },
        {
                .name = "k1-nodes",
                .what = "kernel balances within nodes: 14 hogs on 1 of 2 nodes",
                .shape = NODES(2, 8),
                .balanced = true,
                .kernel_reach = MACHINE_NODE,
                .fill = fill_one_node,
                .study = {.571, NONE, .994, NONE, 0},
                .goal = {.eff = .99, EXACTLY(6, 2000 * MSEC)},
        },
        {
                .name = "k1-chain",
                .what = "kernel balances: masks in a chain of 16",
                .shape = FLAT(16),
                .balanced = true,
                .kernel_reach = MACHINE_ALL,
                .fill = fill_chain,
                .study = {.921, NONE, .998, NONE, 0},
                .goal = {.eff = .99, AT_MOST(0)},
        },
        {
                .name = "k1-random-masks",
                .what = "kernel balances: random 3-CPU masks",
                .shape = FLAT(16),
                .balanced = true,
                .kernel_reach = MACHINE_ALL,
                .fill = fill_random_masks,
                .study = {.907, NONE, .908, NONE, .2},
                .goal = {.eff_of_untouched = .999, AT_MOST(1)},
        },
        {
                .name = "no-pressure",
                .what = "8 hogs on 1 of 8 CPUs, no /proc/pressure",
                .shape = FLAT(8),
                .kernel = {.no_pressure = true},
                .fill = fill_stacked,
                .study = {.125, 1, .999, NONE, 0},
                .goal = {.eff = .998, EXACTLY(7, 60 * MSEC)},
        },
        {
                .name = "no-schedstat",
                .what = "8 hogs on 1 of 8 CPUs, no /proc/schedstat",
                .shape = FLAT(8),
                .kernel = {.no_schedstat = true},
                .fill = fill_stacked,
                .study = {.125, 1, .999, NONE, 0},
                .goal = {.eff = .998, EXACTLY(7, 60 * MSEC)},
        },
        {
                .name = "bare-64",
                .what = "64 hogs on 1 of 64 CPUs; no pressure, schedstat, events; 250 Hz",
                .shape = CACHES(8, 8),
                .timer_tick = 4 * MSEC,
                .kernel = {.no_pressure = true, .no_schedstat = true, .no_events = true},
                .fill = fill_stacked,
                .study = {.016, 1, .999, NONE, 0},
                .goal = {.eff = .998, EXACTLY(63, 100 * MSEC)},
        },
        {
                .name = "bare-bursts",
                .what = "bursts 0.2/0.4 s; no pressure, schedstat, events; 250 Hz",
                .shape = FLAT(8),
                .timer_tick = 4 * MSEC,
                .kernel = {.no_pressure = true, .no_schedstat = true, .no_events = true},
                .fill = fill_short_bursts,
                .study = {.834, NONE, .918, NONE, NONE},
                .goal = {.eff = .90, AT_MOST(2 * 8)},
        },
        {
                .name = "bare-forks",
                .what = "forks, 60/s; no pressure, schedstat, events; 250 Hz",
                .shape = FLAT(16),
                .timer_tick = 4 * MSEC,
                .kernel = {.no_pressure = true, .no_schedstat = true, .no_events = true},
                .fill = fill_forks,
                .study = {.084, NONE, .999, NONE, NONE},
                .goal = {.eff = .99, AT_MOST(1.15 * 60)},
        },
};

const struct scenario *scenario_get(unsigned i)
{
        return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}

const struct scenario *scenario_find(const char *name)
{
        for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
                if (streq(table[i].name, name))
                        return &table[i];
        return NULL;
}

/* SMT siblings are numbered as on most PCs: first one CPU of every core, then the others. */
int scenario_make_topology(const struct scenario *scenario, struct topology **ret)
{
        const struct shape *shape = &scenario->shape;
        unsigned n_cores = shape->n_nodes * shape->n_llcs * shape->n_cores;
        unsigned n_cpus = n_cores * shape->n_siblings;
        _cleanup_free_ struct topology_seed *seeds = NULL;

        seeds = calloc(n_cpus, sizeof(*seeds));
        if (!seeds)
                return -ENOMEM;
        for (unsigned id = 0; id < n_cpus; id++) {
                unsigned core = id % n_cores;
                bool slow = core >= n_cores - shape->n_slow;

                seeds[id] = (struct topology_seed){
                        .id = id,
                        .core = core,
                        .llc = core / shape->n_cores,
                        .node = core / (shape->n_cores * shape->n_llcs),
                        .capacity = slow ? shape->slow_capacity : 1,
                };
        }
        return topology_new(ret, seeds, n_cpus);
}

int scenario_make_workload(const struct scenario *scenario, const struct topology *topology,
                           uint64_t seed, struct workload *ret)
{
        int r;

        workload_init(ret, seed);
        r = scenario->fill(ret, topology);
        if (r < 0)
                workload_done(ret);
        return r;
}
