/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A machine that exists only in memory: CPUs with a weighted fair queue each, threads that carry
 * out the tasks of a workload, and the counters that Linux would keep about them, with its habits:
 * a thread's run delay stands still while it waits and jumps when it arrives on a CPU or leaves a
 * queue. Time goes in steps of a millisecond; within a step a CPU may serve several threads.
 *
 * CPUs are indexes of the topology here. Nothing in this file knows of balancerd.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "model/topology.h"
#include "sim/workload.h"

#define MACHINE_STEP_NSEC  NSEC_PER_MSEC
#define MACHINE_SLICE_NSEC (3 * NSEC_PER_MSEC)

/* Speed of a CPU whose SMT sibling is busy too, and of one whose thread has its memory on another
 * node. */
#define MACHINE_SMT_SPEED    0.62
#define MACHINE_REMOTE_SPEED 0.77

/* What lies between two CPUs, and up to where the kernel's load balancer reaches. */
enum machine_level {
        MACHINE_CORE,
        MACHINE_LLC,
        MACHINE_NODE,
        MACHINE_ALL,
        _MACHINE_LEVEL_MAX,
};

struct machine_cpu {
        bool balanced;    /* the kernel's load balancer serves it */
        int current;      /* thread that runs, or -1 */
        int first, last;  /* threads that wait, in the order in which they came, or -1 */
        unsigned n_queue; /* so many of them */
        double min_vruntime;
        nsec_t slice_left;
        bool waited;  /* somebody waited here in this step */
        bool crowded; /* an SMT sibling is busy in this step */

        nsec_t idle_nsec, busy_nsec, run_delay_nsec;

        /* Of the kernel's balancer, by level. */
        nsec_t next_balance[_MACHINE_LEVEL_MAX];
        unsigned n_failed[_MACHINE_LEVEL_MAX];
};

enum thread_state {
        THREAD_RUNS,
        THREAD_WAITS,
        THREAD_SLEEPS,
        THREAD_DEAD,
};

struct machine_thread {
        enum thread_state state;
        unsigned cpu;  /* where it is, or was last */
        double weight; /* 1 for nice 0 */
        double vruntime;
        nsec_t cold_nsec;    /* to run without work done, until its cache is warm */
        nsec_t queued_at;    /* THREAD_WAITS: since when */
        nsec_t run_nsec;     /* as the kernel shows it: up to the last timer tick or switch */
        nsec_t unshown_nsec; /* run since then */
        nsec_t wait_nsec;
        uint64_t n_slices;
        int previous, next; /* THREAD_WAITS: in its CPU's queue, or -1 */
        struct cpuset mask; /* where it may run; never empty */
};

struct machine_options {
        nsec_t timer_tick; /* of the kernel, CONFIG_HZ: a running thread's time shows then */
        enum machine_level kernel_reach; /* the widest level at which the kernel balances */
};

struct machine {
        const struct topology *topology;
        struct workload *workload;
        struct machine_options options;
        nsec_t now;
        struct machine_cpu *cpus;       /* topology->n_cpus */
        struct machine_thread *threads; /* one a task, by the task's number */
        unsigned n_threads, n_allocated;
        unsigned *dead; /* threads that are gone, in that order */
        unsigned n_dead;
        struct random random; /* of the kernel's own habits */
        double pressure_nsec; /* "some" total of /proc/pressure/cpu */
        uint64_t n_forks;
        uint64_t n_moved;        /* threads taken off a CPU by machine_set_mask() */
        uint64_t n_kernel_moved; /* by the kernel's own balancer, wake-ups included */
};

/* TOPOLOGY and WORKLOAD must outlive the machine, which starts at `now` = 0 with the threads that
 * WORKLOAD has by then, and with no CPU balanced. OPTIONS may be NULL. Returns 0, or -ENOMEM. */
int machine_new(struct machine **ret, const struct topology *topology, struct workload *workload,
                const struct machine_options *options);
void machine_free(struct machine *machine);

static inline void machine_freep(struct machine **machine)
{
        machine_free(*machine);
}

/* The kernel balances CPUs FIRST ... LAST, or leaves them alone. */
void machine_set_balanced(struct machine *machine, unsigned first, unsigned last, bool balanced);

/* One millisecond. Returns 0, or -ENOMEM. */
int machine_step(struct machine *machine);

/* As sched_setaffinity(2): a thread that runs or waits on a CPU outside of MASK goes to one of MASK
 * at once; one that sleeps only gets the mask. Returns 0, -EINVAL if MASK has no CPU, or -ENOMEM.
 */
int machine_set_mask(struct machine *machine, unsigned thread, const struct cpuset *mask);

/* Nanoseconds without work that a move from CPU FROM to CPU TO costs. */
nsec_t machine_cold_cost(const struct topology *topology, unsigned from, unsigned to);

/* The weight of a nice value, 1 for nice 0 (kernel: sched_prio_to_weight / 1024). */
double machine_weight(int nice);

/* For the kernel's balancer (sim/cfs.h): takes a waiting thread to CPU at the time AT. */
void machine_migrate(struct machine *machine, unsigned thread, unsigned cpu, nsec_t at);
