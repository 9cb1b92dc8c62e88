/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a plan costs: plan_build() for 1,024 CPUs, by threads, mask classes and moves. Prints a
 * table; each figure is the median of several machines and runs. Usage: bench-plan [SEED
 * [THREADS]]: one row only
 */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "policy/plan.h"

#define CPUS     1024U
#define SIBLINGS 2U
#define BY_LLC   16U
#define BY_NODE  256U

#define MACHINES 3U
#define RUNS     5U

struct bench {
        uint64_t random;
        struct topology *topology;
        struct snapshot snapshot;
        struct snapshot_cpu cpus[CPUS];
        struct snapshot_thread *threads;
        struct snapshot_class *classes;
};

static unsigned below(struct bench *b, unsigned n)
{
        uint64_t z = (b->random += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (unsigned)((z ^ (z >> 31)) % n);
}

static void require(bool condition)
{
        if (!condition) {
                fprintf(stderr, "out of memory\n");
                exit(EXIT_FAILURE);
        }
}

static void make_topology(struct bench *b)
{
        struct topology_seed seeds[CPUS];

        for (unsigned k = 0; k < CPUS; k++)
                seeds[k] = (struct topology_seed){k, k / SIBLINGS, k / BY_LLC, k / BY_NODE, 1};
        require(topology_new(&b->topology, seeds, CPUS) == 0);
}

/* The first may run anywhere; others on some random CPUs, on a cache, on a node, or on two of
 * these. */
static void make_class(struct bench *b, struct snapshot_class *mask, unsigned number)
{
        unsigned width = number == 0 ? CPUS : (unsigned[]){1, BY_LLC, BY_NODE}[below(b, 3)];
        unsigned n_parts = number == 0 ? 1 : width == 1 ? 2 + below(b, 7) : 1 + below(b, 2);

        for (unsigned i = 0; i < n_parts; i++) {
                unsigned first = below(b, CPUS / width) * width;

                require(cpuset_add_range(&mask->cpus, first, first + width - 1) == 0);
        }
        mask->n_cpus = cpuset_count(&mask->cpus);
}

static unsigned random_cpu_of(struct bench *b, const struct snapshot_class *mask)
{
        int cpu = cpuset_next(&mask->cpus, below(b, CPUS));

        return (unsigned)(cpu < 0 ? cpuset_next(&mask->cpus, 0) : cpu);
}

static float random_demand(struct bench *b)
{
        return below(b, 4) == 0 ? 1 : (float)(1 + below(b, 1000)) / 1000;
}

static void make_threads(struct bench *b, unsigned n_threads, unsigned n_classes)
{
        static const float weights[] = {1, 1, 1, 1, 1, 1, 0.5F, 2};

        for (unsigned i = 0; i < n_threads; i++) {
                unsigned mask_class = below(b, n_classes);
                unsigned cpu = random_cpu_of(b, &b->classes[mask_class]);

                b->threads[i] = (struct snapshot_thread){
                        .tid = (pid_t)(1000 + i),
                        .flags = THREAD_RUNNABLE,
                        .cpu = cpu,
                        .mask_class = mask_class,
                        .home_node = b->topology->cpus[cpu].node,
                        .demand = random_demand(b),
                        .weight = weights[below(b, ARRAY_SIZE(weights))],
                        .wait = 0.5F,
                        .run_smoothed = 0.1F,
                        .cpu_since = NSEC_PER_SEC,
                        .llc_since = NSEC_PER_SEC,
                        .node_since = NSEC_PER_SEC,
                };
        }
}

static void bench_init(struct bench *b, uint64_t seed, unsigned n_threads, unsigned n_classes)
{
        *b = (struct bench){.random = seed};
        make_topology(b);
        b->threads = calloc(n_threads, sizeof(*b->threads));
        b->classes = calloc(n_classes, sizeof(*b->classes));
        require(b->threads && b->classes);
        for (unsigned i = 0; i < n_classes; i++)
                make_class(b, &b->classes[i], i);
        make_threads(b, n_threads, n_classes);
        b->snapshot = (struct snapshot){
                .now = 100 * NSEC_PER_SEC,
                .interval = 20 * NSEC_PER_MSEC,
                .topology = b->topology,
                .cpus = b->cpus,
                .threads = b->threads,
                .n_threads = n_threads,
                .classes = b->classes,
                .n_classes = n_classes,
        };
}

static void bench_done(struct bench *b)
{
        for (unsigned i = 0; i < b->snapshot.n_classes; i++)
                cpuset_done(&b->classes[i].cpus);
        free(b->classes);
        free(b->threads);
        topology_free(b->topology);
}

static int compare_times(const void *a, const void *b)
{
        nsec_t x = *(const nsec_t *)a, y = *(const nsec_t *)b;

        return (x > y) - (x < y);
}

/* Median milliseconds of N_RUNS plans (at most RUNS) with BUDGET moves; *ret_n_moves: of the last
 * one. */
static double measure(uint64_t seed, unsigned n_threads, unsigned n_classes, unsigned budget,
                      unsigned n_runs, unsigned *ret_n_moves)
{
        nsec_t times[MACHINES * RUNS];
        unsigned n = 0;

        for (unsigned i = 0; i < MACHINES; i++) {
                struct settings settings;
                struct plan_params params;
                struct plan plan = {0};
                struct bench b;

                bench_init(&b, seed + i, n_threads, n_classes);
                settings_init(&settings);
                plan_params_init(&params);
                params.budget = budget;
                /* The first one gets the memory, as the daemon's first tick does. */
                require(plan_build(&b.snapshot, &settings, &params, &plan) == 0);
                for (unsigned run = 0; run < n_runs; run++) {
                        nsec_t start = clock_now_nsec(CLOCK_THREAD_CPUTIME_ID);

                        require(plan_build(&b.snapshot, &settings, &params, &plan) == 0);
                        times[n++] = clock_now_nsec(CLOCK_THREAD_CPUTIME_ID) - start;
                }
                *ret_n_moves = plan.n_moves;
                plan_done(&plan);
                bench_done(&b);
        }
        qsort(times, n, sizeof(*times), compare_times);
        return nsec_to_sec(times[n / 2]) * 1000;
}

static void print_row(uint64_t seed, unsigned n_threads, double previous[3])
{
        static const unsigned n_classes[] = {1, 300, 4000};

        printf("%9u", n_threads);
        for (unsigned i = 0; i < ARRAY_SIZE(n_classes); i++) {
                unsigned n_moves, n_all;
                double some = measure(seed, n_threads, n_classes[i], 256, RUNS, &n_moves);
                double all = measure(seed, n_threads, n_classes[i], n_threads, 1, &n_all);

                printf(" | %7.2f", some);
                if (previous[i] > 0)
                        printf(" x%.2f", some / previous[i]);
                else
                        printf("      ");
                printf(" %8.2f %6u", all, n_all);
                previous[i] = some;
        }
        printf("\n");
        fflush(stdout);
}

int main(int argc, char **argv)
{
        static const unsigned n_threads[] = {1000,  2000,  4000,   8000,  16000,
                                             25000, 50000, 100000, 200000};
        uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
        double previous[3] = {0};

        printf("plan_build(), %u CPUs (%u by core, %u by cache, %u by node), seed %" PRIu64
               ", median ms of %u runs on %u machines\n",
               CPUS, SIBLINGS, BY_LLC, BY_NODE, seed, RUNS, MACHINES);
        printf("          |          1 class                 |        300 classes               |"
               "       4,000 classes\n");
        printf("  threads |  256 moves    to the end  moves  |  256 moves    to the end  moves  |"
               "  256 moves    to the end  moves\n");
        if (argc > 2) {
                print_row(seed, (unsigned)strtoul(argv[2], NULL, 0), previous);
                return 0;
        }
        for (unsigned i = 0; i < ARRAY_SIZE(n_threads); i++)
                print_row(seed, n_threads[i], previous);
        return 0;
}
