/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/mates.h"

#include "balancectl/fields.h"

/* Whether ID may be meant as the number of a process. */
static bool may_be_a_process(const struct request *request, const json_t *thread)
{
        int64_t pid;

        return request->id > 0 && !request->all_tasks && field_integer(thread, "pid", &pid) &&
               pid == request->id;
}

/* Whether the process ID has more than one thread: one reply tells, however many they are. What
 * goes wrong is not told: what was asked for has been shown. */
static bool has_mates(struct balancer_client *client, int id)
{
        json_auto_t *parameters = json_pack("{sisb}", "pid", id, "all", true);
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};

        return parameters &&
               balancer_client_send(client, BALANCER_CLIENT_INTERFACE "ListThreads", parameters,
                                    true) >= 0 &&
               balancer_client_receive(client, &reply) >= 0 && reply.continues;
}

void mates_tell(const struct request *request, struct session *session, const json_t *thread)
{
        if (!request->legend || !may_be_a_process(request, thread) ||
            !has_mates(session->client, request->id))
                return;
        fprintf(stderr, "this is thread %d alone; all threads of process %d: balancectl %s -a %d\n",
                request->id, request->id, request->verb->name, request->id);
}
