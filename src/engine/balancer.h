/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The balancer owns the engine: sampler, policy state, mover, ring of decisions. It has no clock
 * and no loop of its own: whoever drives it (the daemon's event loop, the simulator) calls
 * balancer_tick() when it is due, balancer_collect() when moves are done.
 */

#include <stdbool.h>

#include "base/time.h"
#include "engine/decisions.h"
#include "engine/ledger.h"
#include "kernel/kernel.h"
#include "model/notice.h"
#include "model/settings.h"

struct balancer;

struct balancer_options {
        struct settings settings;
        bool observe;       /* decide and tell, but move nothing */
        unsigned n_workers; /* of the mover; 0 carries moves out within the tick */

        /* Told of each decision when it is made (observing) or carried out; may be NULL. */
        void (*on_decision)(const struct decision *decision, void *userdata);
        /* Told of what an administrator should know: a source that is missing, a foreign writer.
         * May be NULL. */
        void (*on_notice)(const struct notice *notice, void *userdata);
        void *userdata;
        /* The thread that is kept on the CPUs where balancerd itself is to run, as the mover's are:
         * those that the kernel balances, or all that are online where it balances none. 0: none.
         */
        pid_t main_tid;
};

/* KERNEL and LEDGER must outlive the balancer. Reads the topology and every thread there is.
 * Returns 0 or a negative errno. */
int balancer_new(struct balancer **ret, struct kernel *kernel, struct ledger *ledger,
                 const struct balancer_options *options);

/* Finishes what is under way, for a second at most, and tells of all that has come to an end. No
 * tick may follow. */
void balancer_stop(struct balancer *balancer);

/*
 * Stops it, unless balancer_stop() has, and gives back every mask. Returns 0; or -EBUSY when a move
 * is stuck in the kernel, whose threads go on using KERNEL and LEDGER: they must not be freed then,
 * and ledger_restore() of a later process gives back what is left.
 */
int balancer_free(struct balancer *balancer);

static inline void balancer_freep(struct balancer **balancer)
{
        (void)balancer_free(*balancer);
}

/*
 * Samples, decides, hands moves to the mover. *ret_next_at is when the next tick is due (the
 * kernel's clock); calling early is allowed. Returns 0, or a negative errno when the engine cannot
 * go on (memory); a source that fails is noticed and done without.
 */
int balancer_tick(struct balancer *balancer, nsec_t *ret_next_at);

/* Takes the mover's reports; to be called when balancer_mover_fd() is readable. */
int balancer_collect(struct balancer *balancer);
int balancer_mover_fd(const struct balancer *balancer);

/* Whether all is quiet, so that a birth (events_fd of the kernel is readable) or pressure
 * (pressure_fd) should end the wait for the next tick. While it says false, events wait in their
 * socket for that tick. */
bool balancer_is_quiet(const struct balancer *balancer);

/* The CPUs that the kernel does not balance may have changed; read again at the next tick. */
void balancer_domains_changed(struct balancer *balancer);

/* Takes effect with the next tick, all at once. Sources that SETTINGS ask for and that have failed
 * are tried again. */
void balancer_set_settings(struct balancer *balancer, const struct settings *settings);

struct balancer_counts {
        unsigned n_threads; /* known */
        unsigned n_hot;     /* sampled every tick */
        unsigned n_handles; /* descriptors kept on threads */
        uint64_t n_ticks, n_full_passes, n_samples, n_events, n_rescans;
        uint64_t n_plans, n_moved, n_asleep, n_foreign, n_failed;
};

void balancer_get_counts(const struct balancer *balancer, struct balancer_counts *ret);
const struct decisions *balancer_decisions(const struct balancer *balancer);
