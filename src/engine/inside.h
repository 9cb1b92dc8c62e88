/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a balancer consists of: for balancer.c, which runs it, and inspect.c, which only looks. */

#include "engine/balancer.h"
#include "engine/placement.h"
#include "engine/sampler.h"
#include "policy/plan.h"
#include "policy/standing.h"

/* A move that is with the mover. */
struct flight {
        bool used;
        struct decision decision;
};

struct balancer {
        struct kernel *kernel;
        struct balancer_options options;
        struct sampler sampler;
        struct mover *mover; /* NULL while observing */
        bool stopped;
        struct placement placement; /* of options.main_tid */
        struct pace pace;
        enum pace_trouble found; /* by the last sample; how often to look has a longer memory */
        struct plan plan;
        struct decisions *decisions;
        float *lags;
        unsigned lags_capacity;
        struct flight *flights; /* by the cookie of the request */
        unsigned flights_capacity;
        unsigned n_chains; /* of all plans so far: their numbers begin behind it */
        nsec_t stuck_told; /* since when the stuck move was under way that was told last */
        nsec_t interval;   /* between the last two samples; 0: there was one only */
        nsec_t slept;      /* what CLOCK_BOOTTIME is ahead of the kernel's clock */
        struct balancer_counts counts;
        uint64_t n_changes; /* of what is known of threads: ticks, reports of moves */
        /* For inspect.c: why threads are where they are, as of that change. */
        struct standings standings;
        uint64_t standings_of;
};

/* As the kernel counts: 120 + nice value, 99 - real-time priority. */
int balancer_prio(const struct kernel_thread *stat);
