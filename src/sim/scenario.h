/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The scenarios of the policy study: a machine, what runs on it, what the study's own simulation of
 * the policy came to, and the goal.
 */

#include <stdbool.h>

#include "model/topology.h"
#include "sim/kernel.h"
#include "sim/machine.h"
#include "sim/workload.h"

/* A machine of equal parts; its last `n_slow` CPUs are slower. */
struct shape {
        unsigned n_nodes, n_llcs; /* caches of a node */
        unsigned n_cores;         /* of a cache */
        unsigned n_siblings;      /* CPUs of a core */
        unsigned n_slow;
        float slow_capacity;
};

/* The study's figures; SCENARIO_UNKNOWN where it has none. */
#define SCENARIO_UNKNOWN (-1.0)

struct study {
        double untouched; /* eff without balancerd */
        double fixed;     /* eff of the best placement that is never changed ("static") */
        double eff, fair, moves_per_sec;
};

/* What is asked for; 0 asks for nothing. */
struct goal {
        double eff;
        double eff_of_fixed;
        double eff_of_untouched;
        double fair;
        bool has_moves; /* exactly `n_moves` in all ... */
        unsigned n_moves;
        nsec_t done_by;       /* ... and none from then on */
        bool calm;            /* `moves_per_sec` is asked for */
        double moves_per_sec; /* at most, in the second half */
};

struct scenario {
        const char *name;
        const char *what;
        struct shape shape;
        bool balanced;                   /* the kernel balances the CPUs ... */
        enum machine_level kernel_reach; /* ... up to this level */
        nsec_t timer_tick;
        struct sim_kernel_options kernel;
        bool has_fixed; /* a placement that never changes is worth a look */
        int (*fill)(struct workload *workload, const struct topology *topology);
        struct study study;
        struct goal goal;
};

/* The scenario at place I, or NULL past the last; the one called NAME, or NULL. */
const struct scenario *scenario_get(unsigned i);
const struct scenario *scenario_find(const char *name);

/* Return 0, or -ENOMEM. WORKLOAD is initialised here, for SEED, and the caller's to take down. */
int scenario_make_topology(const struct scenario *scenario, struct topology **ret);
int scenario_make_workload(const struct scenario *scenario, const struct topology *topology,
                           uint64_t seed, struct workload *ret);
