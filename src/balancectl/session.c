/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/session.h"

#include <errno.h>
#include <inttypes.h>

#include "balancectl/fields.h"
#include "balancectl/words.h"
#include "base/macro.h"

#define INTERFACE   "io.balancerd."
#define METHOD_SIZE 128

int session_tell_no_memory(void)
{
        fprintf(stderr, "balancectl: out of memory\n");
        return -ENOMEM;
}

static int tell_open_failure(const char *path, int error)
{
        switch (error) {
        case -ENOENT:
        case -ECONNREFUSED:
                fprintf(stderr,
                        "balancerd does not run (%s: %s); start it with: systemctl start "
                        "balancerd\n",
                        path, strerror(-error));
                break;
        case -EAGAIN:
                fprintf(stderr, "balancerd takes no connection (%s): it is busy, or it hangs\n",
                        path);
                break;
        default:
                fprintf(stderr, "balancectl: cannot connect to %s: %s\n", path, strerror(-error));
                break;
        }
        return error;
}

int session_open(struct session *session, const struct request *request)
{
        int r;

        *session = (struct session){
                .path = request->socket_path ? request->socket_path : BALANCER_CLIENT_PATH,
                .timeout = request->timeout,
                .raw = request->json != JSON_MODE_OFF,
        };
        r = balancer_client_open(&session->client, session->path, request->timeout);
        return r < 0 ? tell_open_failure(session->path, r) : 0;
}

void session_done(struct session *session)
{
        balancer_client_close(session->client);
        session->client = NULL;
}

static int tell_failure(const struct session *session, int error)
{
        char limit[WORDS_SIZE];

        switch (error) {
        case -ETIMEDOUT:
                fprintf(stderr, "balancerd does not answer (%s, waited %s)\n", session->path,
                        format_span(session->timeout, limit));
                break;
        case -ECONNRESET:
                fprintf(stderr, "balancerd has closed the connection (%s)\n", session->path);
                break;
        case -EBADMSG:
                fprintf(stderr,
                        "what answers at %s is no balancerd that this balancectl knows: %s\n",
                        session->path, balancer_client_fault(session->client));
                break;
        case -ENOMEM:
                return session_tell_no_memory();
        default:
                fprintf(stderr, "balancectl: cannot talk to balancerd (%s): %s\n", session->path,
                        strerror(-error));
                break;
        }
        return error;
}

int session_send(struct session *session, const char *method, json_t *parameters, bool more)
{
        json_auto_t *owned = parameters;
        char name[METHOD_SIZE];
        int r;

        (void)snprintf(name, sizeof(name), INTERFACE "%s", method);
        r = balancer_client_send(session->client, name, owned, more);
        return r < 0 ? tell_failure(session, r) : 0;
}

/* The strings of REPLY are others afterwards. */
static int clean(struct varlink_reply *reply)
{
        int r;

        r = make_printable(reply->root);
        if (r >= 0 && reply->error)
                reply->error = field_text(reply->root, "error", "");
        return r;
}

int session_receive(struct session *session, struct varlink_reply *ret)
{
        struct varlink_reply reply;
        int r;

        r = balancer_client_receive(session->client, &reply);
        if (r < 0)
                return tell_failure(session, r);
        if (reply.error || !session->raw) {
                r = clean(&reply);
                if (r < 0) {
                        varlink_reply_done(&reply);
                        return session_tell_no_memory();
                }
        }
        *ret = reply;
        return reply.error ? SESSION_REFUSED : 0;
}

bool session_is_refusal(const struct varlink_reply *reply, const char *error)
{
        size_t length = strlen(INTERFACE);

        return strncmp(reply->error, INTERFACE, length) == 0 && streq(reply->error + length, error);
}

static void tell_no_thread(const json_t *parameters)
{
        int64_t tid;

        if (field_integer(parameters, "tid", &tid))
                fprintf(stderr, "there is no thread %" PRId64 ", or it is none that you may see\n",
                        tid);
        else
                fprintf(stderr, "there is no such thread, or it is none that you may see\n");
}

/* FILE:LINE:COLUMN: EXPECTED, or FILE: POINTER: expected EXPECTED. */
static void tell_configuration(const json_t *parameters)
{
        const char *pointer = field_text(parameters, "pointer", NULL);
        int64_t line, column;

        fprintf(stderr, "%s:", field_text(parameters, "file", "the configuration"));
        if (field_integer(parameters, "line", &line))
                fprintf(stderr, "%" PRId64 ":", line);
        if (field_integer(parameters, "column", &column))
                fprintf(stderr, "%" PRId64 ":", column);
        if (pointer)
                fprintf(stderr, " %s:", *pointer ? pointer : "as a whole");
        fprintf(stderr, " expected %s\nthe settings stay as they were\n",
                field_text(parameters, "expected", "something else"));
}

static void tell_connections(const json_t *parameters)
{
        int64_t limit;

        if (field_integer(parameters, "limit", &limit))
                fprintf(stderr,
                        "balancerd has %" PRId64 " connections already, which is as many as "
                        "it takes; close some, or try again later\n",
                        limit);
        else
                fprintf(stderr, "balancerd has as many connections as it takes; close some, or try "
                                "again later\n");
}

static void tell_message(const json_t *parameters)
{
        fprintf(stderr, "balancerd did not understand: %s\n",
                field_text(parameters, "reason", "it does not say why"));
}

static void tell_permission(const json_t *parameters)
{
        (void)parameters;
        fprintf(stderr, "this is for root and the group balancerd only\n");
}

static void tell_parameter(const json_t *parameters)
{
        fprintf(stderr,
                "balancerd refuses the parameter \"%s\"; is it another version than "
                "balancectl?\n",
                field_text(parameters, "parameter", "?"));
}

static void tell_unknown(const json_t *parameters)
{
        fprintf(stderr,
                "this balancerd does not know \"%s\"; is it another version than "
                "balancectl?\n",
                field_text(parameters, "method", field_text(parameters, "interface", "?")));
}

int session_tell_refusal(const struct varlink_reply *reply)
{
        static const struct {
                const char *error;
                void (*tell)(const json_t *parameters);
        } known[] = {
                {INTERFACE "NoSuchThread", tell_no_thread},
                {INTERFACE "InvalidConfiguration", tell_configuration},
                {INTERFACE "InvalidMessage", tell_message},
                {INTERFACE "TooManyConnections", tell_connections},
                {VARLINK_ERROR_PERMISSION_DENIED, tell_permission},
                {VARLINK_ERROR_INVALID_PARAMETER, tell_parameter},
                {VARLINK_ERROR_METHOD_NOT_FOUND, tell_unknown},
                {VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, tell_unknown},
                {VARLINK_ERROR_INTERFACE_NOT_FOUND, tell_unknown},
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(reply->error, known[i].error)) {
                        known[i].tell(reply->parameters);
                        return -EREMOTEIO;
                }
        fprintf(stderr, "balancerd refuses: %s\n", reply->error);
        return -EREMOTEIO;
}

int session_call(struct session *session, const char *method, json_t *parameters,
                 struct varlink_reply *ret)
{
        struct varlink_reply reply;
        int r;

        r = session_send(session, method, parameters, false);
        if (r < 0)
                return r;
        r = session_receive(session, &reply);
        if (r < 0)
                return r;
        if (r == SESSION_REFUSED) {
                r = session_tell_refusal(&reply);
                varlink_reply_done(&reply);
                return r;
        }
        *ret = reply;
        return 0;
}

/* Returns 1 when more follow, 0 at the end, or an error that has been told. */
static int receive_item(struct session *session, bool may_be_none, const char *key, json_t *list)
{
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};
        json_t *item;
        int r;

        r = session_receive(session, &reply);
        if (r < 0)
                return r;
        if (r == SESSION_REFUSED) {
                if (may_be_none && session_is_refusal(&reply, "NoSuchThread"))
                        return 0;
                return session_tell_refusal(&reply);
        }
        item = json_object_get(reply.parameters, key);
        if (json_is_object(item) && json_array_append(list, item) < 0)
                return session_tell_no_memory();
        return reply.continues;
}

int session_list(struct session *session, const char *method, json_t *parameters, const char *key,
                 json_t **ret)
{
        bool may_be_none =
                !json_object_get(parameters, "tid") && !json_object_get(parameters, "pid");
        json_auto_t *list = json_array();
        int r;

        r = session_send(session, method, parameters, true);
        if (r < 0)
                return r;
        if (!list)
                return session_tell_no_memory();
        do
                r = receive_item(session, may_be_none, key, list);
        while (r > 0);
        if (r == 0)
                *ret = TAKE_PTR(list);
        return r;
}
