/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A machine with threads on it, made by hand or at random: what the policy's tests build snapshots
 * from, apply plans to, and print when they fail. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "model/settings.h"
#include "model/snapshot.h"
#include "policy/plan.h"

#define MACHINE_CPUS    64U
#define MACHINE_THREADS 256U

struct machine {
        unsigned n_cpus;
        struct topology_seed seeds[MACHINE_CPUS]; /* seed i is CPU i: index = id */
        struct snapshot_cpu cpus[MACHINE_CPUS];
        unsigned n_threads;
        struct snapshot_thread threads[MACHINE_THREADS]; /* mask_class: ignored */
        uint64_t masks[MACHINE_THREADS];                 /* of CPU indexes, by thread */
        struct settings settings;
        struct plan_params params;
        nsec_t now;
};

/* N_CPUS equal, unbalanced CPUs below one cache; no thread; the default settings; now = 100 s. */
void machine_init(struct machine *m, unsigned n_cpus);
/* Groups CPUs: so many by core, by cache, by node. */
void machine_group(struct machine *m, unsigned by_core, unsigned by_llc, unsigned by_node);
/* Lets the kernel balance all CPUs ("K1"), which have idled IDLE of the time. */
void machine_balance(struct machine *m, float idle);

/* Adds a thread that is ready to run, may go anywhere, and has stayed on CPU since 10 s. Its tid is
 * 100 + its number. Returns it. */
struct snapshot_thread *machine_add(struct machine *m, unsigned cpu, float demand);
/* The same with a mask. */
struct snapshot_thread *machine_add_masked(struct machine *m, unsigned cpu, float demand,
                                           uint64_t mask);
/* Sets run and wait of all threads to what fair queues would give them. */
void machine_settle(struct machine *m);

/* The machine as the policy sees it. */
struct view {
        struct topology *topology;
        struct snapshot snapshot;
        struct snapshot_thread threads[MACHINE_THREADS];
        struct snapshot_class classes[MACHINE_THREADS];
};

void view_init(struct view *view, const struct machine *m);
/* The same with threads and classes in the order that RANDOM shuffles them into. */
void view_init_shuffled(struct view *view, const struct machine *m, uint64_t *random);
void view_done(struct view *view);

/* Builds the plan for the machine; aborts if memory runs out. */
void machine_plan(const struct machine *m, struct plan *ret_plan);
/* Puts threads where the plan says, as balancerd and the clock would: moved_at, left_at, ... */
void machine_apply(struct machine *m, const struct plan *plan);

/* Threads on the CPU, and the CPUs with at least one. */
unsigned machine_count(const struct machine *m, unsigned cpu);
unsigned machine_busy(const struct machine *m);

/* Prints code that makes this machine. */
void machine_print(const struct machine *m, FILE *file);

/* Numbers that look random (splitmix64); *STATE is any number to begin with. */
uint64_t random_next(uint64_t *state);
unsigned random_below(uint64_t *state, unsigned n);
double random_share(uint64_t *state); /* 0 ... 1 */
