/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One scenario, carried out: the machine, the unchanged engine beside it, and what they came to. */

#include "engine/decisions.h"
#include "engine/ledger.h"
#include "model/settings.h"
#include "sim/scenario.h"

enum run_mode {
        RUN_NONE,      /* the machine alone, as the scenario has it */
        RUN_KERNEL,    /* the same with every CPU balanced by the kernel, up to the whole machine */
        RUN_BALANCERD, /* as the scenario has it, with balancerd */
};

struct run_options {
        enum run_mode mode;
        uint64_t seed;
        nsec_t duration;
        struct settings settings;
        struct ledger *ledger; /* of RUN_BALANCERD */
        /* Told of each decision; may be NULL. */
        void (*on_decision)(const struct decision *decision, void *userdata);
        void *userdata;
};

/* What a run came to. The yardsticks are runs of their own over the same work. */
struct run_result {
        double eff;       /* work over that of the free queue */
        double untouched; /* the same without balancerd */
        double fixed;     /* with the best fixed placement; 0 where the scenario asks for none */
        double fair;      /* the worst thread's work over what the free queue gives it; threads born
                             underway are left out */
        unsigned n_moves; /* by balancerd */
        double moves_per_sec; /* in the second half */
        nsec_t last_move;     /* 0: none */
        unsigned n_reported;  /* moves that balancerd says it made */
        unsigned n_kernel_moves;
        unsigned n_not_given_back; /* threads whose mask is not what it was, balancerd being gone */
};

/* Returns 0 or a negative errno. */
int run_scenario(const struct scenario *scenario, const struct run_options *options,
                 struct run_result *ret);
