/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.balancerd.GetStatus: from what is in memory; nothing is read. */

#include "config.h"

#include <errno.h>

#include "api/encode.h"
#include "api/methods.h"
#include "engine/inspect.h"

static const char *trouble_name(enum pace_trouble trouble)
{
        switch (trouble) {
        case PACE_QUIET:
                return "quiet";
        case PACE_BALANCED:
                return "balanced";
        case PACE_UNBALANCED:
                return "unbalanced";
        }
        abort();
}

static json_t *missing_sources(const struct balancer_state *state)
{
        json_auto_t *names = json_array();

        for (unsigned i = 0; i < _KERNEL_SOURCE_MAX; i++)
                if (state->missing[i] &&
                    json_array_append_new(names, json_string(kernel_source_to_string(i))) < 0)
                        return NULL;
        return json_incref(names);
}

/* A count since the start. */
static json_int_t count(uint64_t n)
{
        return (json_int_t)n;
}

static json_t *encode(const struct call *call, const struct balancer_state *state)
{
        const struct balancer_counts *c = &state->counts;
        const struct server *server = call->server;
        const struct peer *peer = &call->connection->peer;

        return json_pack(
                "{s:s, s:i, s:I, s:b, s:s, s:I, s:o, s:o, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, "
                "s:I,"
                " s:o, s:o, s:i, s:b, s:b}",
                "version", PACKAGE_VERSION, "pid", (int)server->pid, "startedUSec",
                encode_time(server->started_at, &server->calendar), "observing", state->observing,
                "trouble", trouble_name(state->trouble), "intervalUSec",
                count(state->interval / NSEC_PER_USEC), "onlineCpus", encode_cpus(&state->online),
                "unbalancedCpus", encode_cpus(&state->unbalanced), "threads", (int)c->n_threads,
                "watched", (int)c->n_hot, "narrow", (int)state->n_narrow, "keptForChildren",
                (int)state->n_kept, "samples", count(c->n_ticks), "plans", count(c->n_plans),
                "moves", count(c->n_moved), "missedMoves", count(c->n_asleep + c->n_foreign),
                "failedMoves", count(c->n_failed), "missingSources", missing_sources(state),
                "configuration", encode_configuration(server), "connections",
                (int)server->limits.n_connections, "privileged", peer->privileged, "seesAll",
                server_shows_all(server, peer));
}

int method_get_status(const struct call *call)
{
        _cleanup_(balancer_state_done) struct balancer_state state = {0};
        int r;

        if (!call_read(call, NULL, 0, &r))
                return r;
        r = balancer_inspect(call->server->host.balancer, &state);
        if (r < 0)
                return r;
        return call_reply(call, encode(call, &state));
}
