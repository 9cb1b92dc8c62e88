/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The estimator: how many CPUs a thread would use with no competition, told from counters that the
 * kernel freezes while the thread waits (its run_delay jumps when it next arrives on a CPU).
 */

#include <stdbool.h>

struct demand {
        float run;  /* smoothed share of the time that it ran */
        float wait; /* smoothed share that it waited; may exceed 1 for a moment before the clamp */
        float owed_sec; /* waiting counted already while the counters stood still */
};

struct demand_sample {
        double interval_sec; /* since the previous sample of this thread; more than 0 */
        double run_sec;      /* growth of its counters in that time */
        double wait_sec;
        bool runnable; /* state R now */
};

/* Waiting for no more than this share of the time is noise. */
#define DEMAND_WAIT_NOISE 0.03F

/* Half-lives of the smoothing, in seconds. */
#define DEMAND_HALF_LIFE_UNBALANCED 0.1
#define DEMAND_HALF_LIFE_BALANCED   0.5

/* A thread seen for the first time: one that is ready to run is taken for a hog at once. */
void demand_init(struct demand *demand, bool runnable);

void demand_update(struct demand *demand, const struct demand_sample *sample, double half_life_sec);

/* 0 ... 1 */
float demand_value(const struct demand *demand);
/* Smoothed share of the time that it waited, clamped: 0 ... 1. */
float demand_wait(const struct demand *demand);
