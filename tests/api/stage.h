/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A server whose balancer watches a simulated machine: two CPUs that the kernel does not balance,
 * hogs on one of them, threads that sleep. Time stands still for it unless stage_tick() is called.
 * Aborts where memory or descriptors run out.
 */

#include "api/connection.h"
#include "api/server.h"
#include "sim/machine.h"

#define STAGE_HOGS     4U
#define STAGE_SLEEPERS 60U

struct stage {
        struct topology *topology;
        struct workload workload;
        struct machine *machine;
        struct kernel *kernel;
        struct balancer *balancer;
        sd_event *event;
        struct server *server;
        nsec_t next_at;    /* of the balancer's ticks */
        int reload_result; /* what the host's reload() says */
        unsigned n_notices;
        /* Of the last one. */
        enum notice_kind last_kind;
        pid_t last_tgid;
        char last_notice[64]; /* its detail */
};

struct stage *stage_new(void);
void stage_free(struct stage *stage);

static inline void stage_freep(struct stage **stage)
{
        stage_free(*stage);
}

/* Connects a client; returns its end, which does not block. */
int stage_connect(struct stage *stage, const struct peer *peer);
/* Lets the server do all that it can do now. */
void stage_run(struct stage *stage);
/* Puts a decision of the caller's making into the balancer's ring. */
void stage_add_decision(struct stage *stage, const struct decision *decision);
/* Lets the machine run until the balancer's next tick, and makes that. */
void stage_tick(struct stage *stage);
