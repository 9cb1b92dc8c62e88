/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/session.h"

#include <errno.h>
#include <unistd.h>

#include "balancectl/fields.h"
#include "balancectl/print.h"
#include "balancectl/refusal.h"
#include "balancectl/words.h"
#include "base/macro.h"

#define METHOD_SIZE 128

/* Whether PATH is what the system's service listens at, and systemd is what starts services here
 * (sd_booted(3)). */
static bool is_a_service(const char *path)
{
        return streq(path, BALANCER_CLIENT_PATH) && access("/run/systemd/system", F_OK) == 0;
}

static void tell_absent(const char *path)
{
        fprintf(stderr, "balancerd does not run (%s: %s)%s\n", path, strerror(ENOENT),
                is_a_service(path) ? "; start it with: systemctl start balancerd" : "");
}

/* A daemon that ends takes its socket with it. */
static void tell_killed(const char *path)
{
        fprintf(stderr,
                "balancerd was killed (%s: %s); its next start gives back what it left narrow, or: "
                "balancerd --restore%s\n",
                path, strerror(ECONNREFUSED),
                streq(path, BALANCER_CLIENT_PATH) ? "" : " --runtime-dir DIR");
}

/* The name of systemd's socket outlives the service, and that of a daemon which was started by hand
 * and killed looks the same. */
static void tell_refused(const char *path)
{
        if (is_a_service(path))
                fprintf(stderr,
                        "balancerd does not run (%s: %s); start it with: systemctl start "
                        "balancerd; that gives back what one that was killed left narrow, as does: "
                        "balancerd --restore\n",
                        path, strerror(ECONNREFUSED));
        else
                tell_killed(path);
}

static int tell_open_failure(const char *path, int error)
{
        switch (error) {
        case -ENOENT:
                tell_absent(path);
                break;
        case -ECONNREFUSED:
                tell_refused(path);
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
                .id = request->id,
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
                return tell_no_memory();
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

        (void)snprintf(name, sizeof(name), BALANCER_CLIENT_INTERFACE "%s", method);
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
                        return tell_no_memory();
                }
        }
        *ret = reply;
        return reply.error ? SESSION_REFUSED : 0;
}

bool session_sees_all(struct session *session)
{
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};

        return balancer_client_call(session->client, BALANCER_CLIENT_INTERFACE "GetStatus", NULL,
                                    &reply) >= 0 &&
               field_flag(reply.parameters, "seesAll");
}

int session_refuse(struct session *session, const struct varlink_reply *reply)
{
        return refusal_tell(reply, session->id,
                            refusal_is(reply, "NoSuchThread") && session_sees_all(session));
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
                r = session_refuse(session, &reply);
                varlink_reply_done(&reply);
                return r;
        }
        *ret = reply;
        return 0;
}

int session_query(const struct request *request, const char *method,
                  int (*print)(const struct request *request, const json_t *answer))
{
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};
        _cleanup_session_ struct session session = {0};
        int r;

        r = session_open(&session, request);
        if (r < 0)
                return r;
        r = session_call(&session, method, NULL, &reply);
        if (r < 0)
                return r;
        return request->json != JSON_MODE_OFF ? print_json(reply.parameters, request->json)
                                              : print(request, reply.parameters);
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
                if ((may_be_none && refusal_is(&reply, "NoSuchThread")) ||
                    refusal_is(&reply, "NoDecisions"))
                        return 0;
                return session_refuse(session, &reply);
        }
        item = json_object_get(reply.parameters, key);
        if (json_is_object(item) && json_array_append(list, item) < 0)
                return tell_no_memory();
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
                return tell_no_memory();
        do
                r = receive_item(session, may_be_none, key, list);
        while (r > 0);
        if (r == 0)
                *ret = TAKE_PTR(list);
        return r;
}

int session_query_list(const struct request *request, const char *method, json_t *parameters,
                       const char *key,
                       int (*print)(const struct request *request, struct session *session,
                                    const json_t *list))
{
        _cleanup_session_ struct session session = {0};
        json_auto_t *owned = parameters, *list = NULL;
        int r;

        if (!owned)
                return tell_no_memory();
        r = session_open(&session, request);
        if (r < 0)
                return r;
        r = session_list(&session, method, TAKE_PTR(owned), key, &list);
        if (r < 0)
                return r;
        return request->json != JSON_MODE_OFF ? print_json(list, request->json)
                                              : print(request, &session, list);
}
