/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sampling: from the kernel's counters to a snapshot, asking the cheapest question first (DESIGN
 * section 4). Knows no policy but the estimator, and moves nothing.
 */

#include <stdbool.h>

#include "engine/masks.h"
#include "engine/mover.h"
#include "engine/pace.h"
#include "engine/sources.h"
#include "engine/threads.h"
#include "kernel/kernel.h"
#include "model/settings.h"
#include "model/snapshot.h"

/* One CPU, by index. */
struct cpu_state {
        bool balanced;            /* by the kernel, whatever the settings say */
        struct kernel_cpu last;   /* its counters at the last look */
        nsec_t busy_at_pass_nsec; /* busy time at the last pass over the threads */
        float idle, idle_now;     /* shares */
        float waited,
                waited_now; /* run delay a second, in threads: smoothed, and of the last tick */
        float background_smoothed; /* work of no known thread; may be below 0 */
        float known_now;           /* run time of known threads in this pass, as a share */
        nsec_t rotated_at;
};

/* Stat files that may be read in one pass over the threads. */
struct look_budget {
        unsigned n_left;
        unsigned n_wanted; /* how many threads were worth one */
        unsigned stride;   /* every so many-th thread has its turn, by TID */
        unsigned turn;
};

struct sampler_counts {
        uint64_t n_ticks, n_full_passes, n_samples, n_events, n_rescans;
};

struct sampler {
        struct kernel *kernel;
        struct mover *mover; /* told of births */
        struct ledger *ledger;
        struct settings settings;
        struct sources sources;
        pid_t self; /* TGID of this process */
        uid_t uid;  /* its effective user: without KERNEL_AFFINITY its threads alone may be moved */

        struct topology *topology;
        struct cpu_state *cpus; /* topology->n_cpus */
        bool topology_seen;     /* caches, cores and nodes were, at least once */
        bool topology_flat;     /* they were not, the last time */
        bool has_unbalanced;    /* CPUs that are to be balanced here: settings permit it */
        bool domains_stale;
        bool domains_changed; /* set when other CPUs than before are balanced; the caller clears it
                               */
        struct kernel_cpus counters;
        float background_balanced; /* work of no known thread on all balanced CPUs, in CPUs */

        struct thread_table threads;
        struct mask_table masks;

        struct look_budget looks;

        nsec_t now;            /* of this tick */
        nsec_t topology_after; /* CPUs that disagree are not looked into again before this */
        nsec_t cpus_at;        /* when CPU counters were read last; 0: never */
        nsec_t pass_at;        /* when threads were */
        nsec_t interval;       /* between the last two times that they were; 0: never twice */
        nsec_t full_at;        /* when a full pass is due */
        uint64_t pressure_usec;
        uint64_t n_forks; /* by /proc/stat, at the last complete knowledge of births */
        bool has_events, rescan_due;
        bool unlisted;    /* of processes with many threads only the first is known */
        bool events_left; /* more came than one tick takes */
        pid_t *newborn;   /* met in this tick, not looked at yet */
        unsigned n_newborn, newborn_capacity;
        bool met_unread;     /* the search met threads that had never been looked at */
        unsigned sweep_left; /* cold threads still to be looked at in search of unknown work */
        nsec_t sweep_after;

        struct snapshot_cpu *snapshot_cpus;
        struct snapshot_thread *snapshot_threads;
        struct hot **snapshot_hot; /* the thread behind each of snapshot_threads */
        unsigned snapshot_capacity;
        struct sampler_counts counts;
};

/* What a tick found. */
struct sampler_outcome {
        enum pace_trouble trouble;
        bool searching;    /* work that no known thread accounts for: the next tick is to be soon */
        bool has_snapshot; /* threads were sampled; `snapshot` is valid until the next tick */
        struct snapshot snapshot;
};

/* SAMPLER is zero-initialised but for kernel, ledger, settings, self, uid and the notice function
 * of sources. Reads the topology and every thread. Returns 0 or a negative errno. */
int sampler_init(struct sampler *sampler, unsigned max_handles);
void sampler_done(struct sampler *sampler);

/* Returns 0, or a negative errno when it cannot go on: there is no memory. */
int sampler_tick(struct sampler *sampler, struct sampler_outcome *ret);

/* A snapshot of what is known now, since sampler_tick() or for want of one from there: valid until
 * the next call of either. Returns 0 or -ENOMEM. */
int sampler_build(struct sampler *sampler, struct snapshot *ret);

/* Takes effect with the next tick. */
void sampler_set_settings(struct sampler *sampler, const struct settings *settings);

/* Looks at a thread again just before it is moved. True if it is runnable, on the CPU index CPU,
 * and has the mask that its class says; what has changed is taken note of. */
bool sampler_confirm(struct sampler *sampler, struct hot *hot, unsigned cpu);

/* The mask that the thread has, in CPU numbers (owned by the sampler). */
const struct cpuset *sampler_mask(const struct sampler *sampler, const struct hot *hot);

/* Somebody else set the thread's mask: MASK is taken for its owner's choice. */
int sampler_adopt_mask(struct sampler *sampler, struct hot *hot, const struct cpuset *mask);

/* The thread is on the CPU index CPU from now on. */
void sampler_set_cpu(struct sampler *sampler, struct hot *hot, unsigned cpu);
