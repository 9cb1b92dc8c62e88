/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the sampler saw at one instant: the only input of the policy, immutable once built. All CPUs
 * are indexes of the topology; all times are the kernel's CLOCK_MONOTONIC (a simulated one in
 * src/sim); a time of 0 means never.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "model/topology.h"

struct snapshot_cpu {
        bool balanced;     /* the kernel's load balancer serves it ("K1" in the policy study) */
        bool draining;     /* nothing may be moved onto it */
        float idle;        /* smoothed share of the time that it idled, 0 ... 1 */
        float idle_now;    /* the same over the last tick, in grains of 10 ms */
        float background;  /* demand of threads that are not in the snapshot, 0 ... 1, smoothed */
        nsec_t rotated_at; /* when a rotation last touched it */
};

enum thread_flags {
        THREAD_RUNNABLE = 1U << 0, /* state R when last looked at */
        THREAD_FIXED = 1U << 1, /* never to be moved: a kernel thread, SCHED_DEADLINE, a mask of one
                                   CPU, real-time without leave, balancerd itself */
        THREAD_REALTIME = 1U << 2,   /* SCHED_FIFO or SCHED_RR; movable only if not THREAD_FIXED;
                                        never   rotated */
        THREAD_HELD = 1U << 3,       /* a rule or window keeps its mask narrow: not to be moved */
        THREAD_LEFT_ALONE = 1U << 4, /* somebody else set its mask a moment ago: not to be moved */
        THREAD_NEWBORN = 1U << 5,    /* this is its first sample */
        THREAD_COLD_MOVED = 1U << 6, /* its last move crossed nodes: the long cooldown applies */
        THREAD_IN_FLIGHT = 1U << 7,  /* a move of it is still with the mover: not to be moved */
};

/* The flags with which a thread is never part of a plan. */
#define THREAD_IMMOVABLE (THREAD_FIXED | THREAD_HELD | THREAD_LEFT_ALONE | THREAD_IN_FLIGHT)

struct snapshot_thread {
        pid_t tid;
        unsigned flags; /* enum thread_flags */
        unsigned cpu;
        unsigned mask_class; /* index into snapshot.classes */
        unsigned home_node;  /* where its memory is thought to be */
        float demand;        /* CPUs that it would use with no competition, 0 ... 1 */
        float run;           /* share of the last tick that it ran, 0 ... 1 */
        float run_smoothed;  /* "er" of the policy study */
        float wait;          /* "v": smoothed share of the time that it waited, 0 ... 1 */
        float weight;    /* of its nice value; 1 for nice 0 (kernel: sched_prio_to_weight / 1024) */
        float lag_sec;   /* work that fairness owes it (policy/lag.h), -5 ... 5 */
        nsec_t moved_at; /* balancerd's last move of it that counted (rotations do not) */
        nsec_t left_at;  /* when it was last moved off `left_cpu` */
        unsigned left_cpu;
        nsec_t cpu_since; /* on this CPU, this cache, this node without a break since then */
        nsec_t llc_since;
        nsec_t node_since;
};

/* Threads with the same affinity share a class. */
struct snapshot_class {
        struct cpuset cpus; /* indexes, online CPUs only, never empty */
        unsigned n_cpus;    /* members of `cpus` */
};

struct snapshot {
        nsec_t now;
        nsec_t interval; /* since the previous snapshot */
        const struct topology *topology;
        const struct snapshot_cpu *cpus; /* topology->n_cpus of them */
        const struct snapshot_thread *threads;
        unsigned n_threads;
        const struct snapshot_class *classes;
        unsigned n_classes;
};
