/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl history: what the daemon has decided so far, the newest last, in the lines of monitor.
 */

#include "balancectl/events.h"
#include "balancectl/print.h"
#include "balancectl/session.h"
#include "balancectl/verbs.h"

/* As many are shown to people who have not said how many they want. */
#define USUAL_COUNT 20U
/* More than any daemon remembers. */
#define LAST_MAX ((uint64_t)INT32_MAX)

/* How many of the last are asked for; 0: all that the daemon remembers. */
static uint64_t choose_count(const struct request *request)
{
        if (request->count > 0)
                return request->count;
        return request->terminal.is_terminal && request->json == JSON_MODE_OFF ? USUAL_COUNT : 0;
}

/* Returns NULL where memory is short. */
static json_t *choose(const struct request *request)
{
        json_auto_t *parameters = json_object();
        uint64_t count = choose_count(request);

        if (request->id > 0 &&
            json_object_set_new(parameters, "tid", json_integer(request->id)) < 0)
                return NULL;
        if (count > 0 && json_object_set_new(parameters, "last",
                                             json_integer((json_int_t)MIN(count, LAST_MAX))) < 0)
                return NULL;
        return json_incref(parameters);
}

static void tell_none(const struct request *request, struct session *session)
{
        fprintf(stderr, "nothing was decided yet");
        if (request->id > 0)
                fprintf(stderr, " about thread %d", request->id);
        fprintf(stderr, "%s\n", session_sees_all(session) ? "" : ", or nothing that you may see");
}

/* What is not on the screen. */
static void tell_rest(const struct request *request, size_t n)
{
        if (request->count > 0 || n < choose_count(request) || choose_count(request) == 0)
                return;
        fprintf(stderr, "these are the last %zu; all: balancectl history", n);
        if (request->id > 0)
                fprintf(stderr, " %d", request->id);
        fprintf(stderr, " | less\n");
}

static int print(const struct request *request, struct session *session, const json_t *decisions)
{
        size_t n = json_array_size(decisions);

        for (size_t i = 0; i < n; i++)
                print_decision(&request->terminal, json_array_get(decisions, i));
        if (request->legend && n == 0)
                tell_none(request, session);
        else if (request->legend)
                tell_rest(request, n);
        return 0;
}

int verb_history(const struct request *request)
{
        return session_query_list(request, "ListDecisions", choose(request), "decision", print);
}
