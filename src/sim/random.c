/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/random.h"

#include <math.h>

/* The increment and the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom
 * Number Generators", OOPSLA 2014). */
#define GOLDEN 0x9e3779b97f4a7c15U

static uint64_t mix(uint64_t z)
{
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
}

void random_init(struct random *random, uint64_t seed, uint64_t number)
{
        random->state = mix(mix(seed + GOLDEN) + GOLDEN * (number + 1));
}

double random_unit(struct random *random)
{
        random->state += GOLDEN;
        return (double)(mix(random->state) >> 11) * 0x1p-53;
}

double random_between(struct random *random, double low, double high)
{
        return low + (high - low) * random_unit(random);
}

unsigned random_below(struct random *random, unsigned n)
{
        return (unsigned)(random_unit(random) * n);
}

double random_exponential(struct random *random, double mean)
{
        return -mean * log(1 - random_unit(random));
}
