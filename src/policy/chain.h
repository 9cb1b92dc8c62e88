/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Chains: where no thread of a CPU may go to where there is room, one may go to a CPU from which
 * another may go on (an augmenting path). Found breadth-first; only the whole path must gain.
 */

#include <stdbool.h>
#include <stdint.h>

#include "policy/arena.h"

struct planner;

enum chain_kind {
        CHAIN_UNBALANCED, /* over CPUs that the kernel leaves alone */
        CHAIN_STUCK,      /* over all CPUs, for a stuck thread (policy/stuck.h) */
};

/* How a CPU was reached. */
struct chain_hop {
        unsigned from;
        unsigned thread;
        unsigned first;       /* the thread with which the path begins */
        unsigned depth;       /* hops up to here */
        double change;        /* of the potential, by all CPUs of the path before this one */
        double weight_change; /* of half the sum of squared weights, likewise */
        double cost_sec;      /* of all hops */
        bool weight_counts;   /* all CPUs before this one are saturated and stay so */
        bool crosses;         /* some hop crosses nodes */
};

/* The thread of a class that fits best at the CPU under search. */
struct chain_fit {
        unsigned thread;
        unsigned mask_class;
        double distance;
};

struct chain_search {
        uint64_t *reached; /* sets of CPUs */
        uint64_t *domain;
        unsigned n_words;
        unsigned *queue;
        struct chain_hop *hops; /* by CPU */
        bool *closed;           /* by CPU: a search that came by found nothing */
        unsigned *opened;       /* by class: the last search in which all its CPUs were reached */
        unsigned *fit_of_class; /* by class: its place in `fits`, if it points back */
        struct chain_fit *fits;
        unsigned n_fits;
        unsigned number; /* of searches */
};

void chain_layout(struct chain_search *s, struct arena *arena, unsigned n_cpus, unsigned n_classes);
void chain_init(struct planner *p);

/* Makes the moves of a chain that takes a thread off FROM, if there is one. */
bool chain_improve(struct planner *p, unsigned from, enum chain_kind kind);
