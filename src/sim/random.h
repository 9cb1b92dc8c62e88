/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Chance that repeats: one stream of numbers a seed, the same on every machine. */

#include <stdint.h>

struct random {
        uint64_t state;
};

/* Streams with different SEED or NUMBER have nothing to do with each other. */
void random_init(struct random *random, uint64_t seed, uint64_t number);

double random_unit(struct random *random);                             /* 0 <= x < 1 */
double random_between(struct random *random, double low, double high); /* low <= x < high */
unsigned random_below(struct random *random, unsigned n);              /* 0 ... n - 1 */
double random_exponential(struct random *random, double mean);
