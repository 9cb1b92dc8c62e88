/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Deciding: one function from what was seen to what should be moved. No clock, no descriptor, no
 * memory of earlier calls; the same input gives the same plan, in whatever order threads and CPUs
 * stand.
 */

#include "model/move.h"
#include "model/settings.h"
#include "model/snapshot.h"

/* Tunables of the policy that are no settings; the values are those of the policy study, section 3.
 * plan_params_init() fills them in; the simulator and the tests vary them. */
struct plan_params {
        float least_gain, least_gain_node; /* on unbalanced CPUs */
        float least_gain_balanced, least_gain_balanced_node;
        nsec_t cooldown, cooldown_node;
        nsec_t cooldown_balanced, cooldown_balanced_node;
        nsec_t stuck;     /* a thread waits in its place for so long before it counts as stuck */
        nsec_t no_return; /* not back to the CPU that it left so shortly ago, unless it gains twice
                           */
        float smt_weight; /* what a busy sibling costs */
        float node_penalty;
        double horizon_sec; /* a move must repay its cold cache within this time */
        float rotate_lag_sec, rotate_lag_node_sec;
        unsigned budget; /* moves of a plan; 0: max(16, CPUs / 2), 4 for stuck threads */
};

void plan_params_init(struct plan_params *params);

struct plan {
        struct move *moves; /* in the order to be made */
        unsigned n_moves;
        /* The potential (sum over CPUs of half the squared demand by capacity, with the terms for
         * siblings and nodes) as seen, and as the moves leave it. */
        double potential_before, potential_after;
        /* Half the sum of squared weights: what moves between saturated CPUs of equal capacity
         * lower instead; those may raise the potential above. */
        double weight_before, weight_after;

        void *memory; /* private: of `moves` and of the search, kept for the next call */
        size_t memory_size;
};

void plan_done(struct plan *plan);

/*
 * PARAMS may be NULL for the study's values. Returns 0 or -ENOMEM. RET_PLAN is filled anew (its old
 * memory is used again) and needs plan_done() in the end.
 */
int plan_build(const struct snapshot *snapshot, const struct settings *settings,
               const struct plan_params *params, struct plan *ret_plan);
