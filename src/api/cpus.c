/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.balancerd.ListCpus */

#include <errno.h>

#include "api/encode.h"
#include "api/methods.h"

/* CPUs told in one turn: the threads on each are counted. */
#define CPUS_PER_TURN 16U

struct cpu_list {
        struct producer producer;
        struct cpu_view held; /* to be told next: whether it is the last is known then */
        unsigned next;        /* what comes behind it, in the order of the topology */
};

static void cpu_list_free(struct producer *producer)
{
        free(CONTAINER_OF(producer, struct cpu_list, producer));
}

static int cpu_list_produce(struct producer *producer, struct connection *connection)
{
        struct cpu_list *list = CONTAINER_OF(producer, struct cpu_list, producer);
        const struct balancer *balancer = connection->server->host.balancer;

        for (unsigned i = 0; i < CPUS_PER_TURN; i++) {
                struct cpu_view next;
                bool continues = balancer_inspect_cpu(balancer, list->next, &next);
                int r;

                r = connection_reply(connection, json_pack("{s:o}", "cpu", encode_cpu(&list->held)),
                                     continues);
                if (r < 0)
                        return r;
                if (!continues)
                        return PROGRESS_END;
                list->held = next;
                list->next++;
        }
        return PROGRESS_MORE;
}

int method_list_cpus(const struct call *call)
{
        struct cpu_list *list;
        int r;

        if (!call_read(call, NULL, 0, &r))
                return r;
        list = calloc(1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        list->producer = (struct producer){.produce = cpu_list_produce, .free = cpu_list_free};
        /* There is one at least: the daemon runs on it. */
        (void)balancer_inspect_cpu(call->server->host.balancer, list->next++, &list->held);
        return call_produce(call, &list->producer);
}
