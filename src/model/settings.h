/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an administrator can choose, with defaults that need no choice. */

#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"

enum across_nodes {
        ACROSS_NODES_NEVER,
        ACROSS_NODES_STUCK,  /* only a thread that keeps waiting */
        ACROSS_NODES_ALWAYS, /* as within a node, at the price of the colder cache */
};

struct settings {
        struct {
                bool unbalanced;    /* balance the CPUs that the kernel leaves alone */
                bool stuck_threads; /* move stuck threads on CPUs that the kernel balances */
                nsec_t rotate;      /* one rotation a CPU pair in this time; NSEC_INFINITY: never */
                enum across_nodes across_nodes;
                bool realtime;     /* SCHED_FIFO and SCHED_RR threads may be moved too */
                nsec_t tick;       /* between samples while threads wait on unbalanced CPUs */
                nsec_t quiet_tick; /* between samples when nothing waits */
        } balance;
        bool taskstats; /* ask taskstats for the switch counts of candidates */
};

void settings_init(struct settings *settings);

/*
 * Sets what KEY names ("balance.tick") to what VALUE says ("20ms"). Returns 0, -ENOENT for a key
 * that there is not, -EINVAL for a value that is not of the key's kind, -ERANGE for one outside its
 * range; on -EINVAL and -ERANGE *ret_expected says what was expected (static text).
 */
int settings_set(struct settings *settings, const char *key, const char *value,
                 const char **ret_expected);

/* The key at place I in the order of the manual, or NULL past the last. */
const char *settings_key(size_t i);
