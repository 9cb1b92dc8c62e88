/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which of the CPUs that have no scheduling domain are to have none for good. Whenever the kernel
 * makes domains anew, after a change of the cpusets or of the CPUs online, it first takes from each
 * CPU concerned, often all of them, the one that it had (kernel/sched/topology.c,
 * partition_sched_domains()): for some milliseconds the machine looks as if no CPU were balanced.
 * Does no reading and knows no clock.
 */

#include "base/cpuset.h"
#include "base/time.h"

/* Longer than the kernel takes. */
#define DOMAINLESS_SETTLE (100 * NSEC_PER_MSEC)
/* Looks in a row, so that as many of the kernel's moments, far from each other, must be met by
 * chance to be taken for good. */
#define DOMAINLESS_LOOKS 4U

struct domainless {
        struct cpuset settled; /* for the caller to read */
        struct cpuset doubted; /* without a domain at DOUBTED_AT and ever since it was looked */
        nsec_t doubted_at;
        unsigned n_looks; /* since then, that one included */
        nsec_t begun_at;
        bool begun;
};

void domainless_done(struct domainless *d);

/*
 * Takes the CPUs that were seen without a domain at NOW. What is seen first is settled at once: who
 * starts on isolated CPUs need not wait. It may have been the kernel's moment, so it is in doubt
 * for DOMAINLESS_SETTLE all the same. Later a CPU is settled when it was seen so for
 * DOMAINLESS_SETTLE and in DOMAINLESS_LOOKS looks; one that joins others in doubt begins when these
 * are settled, so that it may take twice as long. It is no longer settled as soon as it has a
 * domain. Returns 0, 1 when some are in doubt, to be looked at again soon, or -ENOMEM.
 */
int domainless_take(struct domainless *d, const struct cpuset *seen, nsec_t now);
