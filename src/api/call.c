/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/call.h"

#include <errno.h>
#include <limits.h>

#include "api/interface.h"
#include "api/methods.h"

/* Of what a client wrote no more than this is repeated to it. */
#define ECHO_MAX 255U

int call_reply(const struct call *call, json_t *parameters)
{
        return connection_reply(call->connection, parameters, false);
}

int call_refuse(const struct call *call, const char *error, json_t *parameters)
{
        return connection_refuse(call->connection, error, parameters);
}

/* TEXT, cut where it is too long, but not within a character. */
static json_t *echo(const char *text)
{
        size_t length = strnlen(text, ECHO_MAX + 1);

        if (length > ECHO_MAX)
                do
                        length--;
                while ((text[length] & 0xC0) == 0x80);
        return json_stringn(text, length);
}

int call_refuse_text(const struct call *call, const char *error, const char *name, const char *text)
{
        return call_refuse(call, error, json_pack("{s:o}", name, echo(text)));
}

int call_refuse_parameter(const struct call *call, const char *parameter)
{
        return call_refuse_text(call, VARLINK_ERROR_INVALID_PARAMETER, "parameter", parameter);
}

int call_produce(const struct call *call, struct producer *producer)
{
        call->connection->producer = producer;
        return 0;
}

static bool take(const struct parameter *parameter, const json_t *value)
{
        bool counts = json_is_integer(value) && json_integer_value(value) > 0 &&
                      json_integer_value(value) <= INT_MAX;

        if (parameter->ret_pid && counts) {
                *parameter->ret_pid = (pid_t)json_integer_value(value);
                return true;
        }
        if (parameter->ret_count && counts) {
                *parameter->ret_count = (unsigned)json_integer_value(value);
                return true;
        }
        if (parameter->ret_flag && json_is_boolean(value)) {
                *parameter->ret_flag = json_is_true(value);
                return true;
        }
        if (parameter->ret_text && json_is_string(value)) {
                *parameter->ret_text = json_string_value(value);
                return true;
        }
        return false;
}

/* The name of a parameter that the method does not have, or NULL. */
static const char *find_unknown(json_t *given, const struct parameter *parameters, size_t n)
{
        const char *name;
        json_t *value;

        json_object_foreach(given, name, value)
        {
                bool known = false;

                for (size_t i = 0; i < n && !known; i++)
                        known = streq(parameters[i].name, name);
                if (!known)
                        return name;
        }
        return NULL;
}

/* The name of a parameter that is missing or wrong, or NULL. An optional one may be null. */
static const char *find_wrong(const json_t *given, const struct parameter *parameters, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const json_t *value = json_object_get(given, parameters[i].name);
                bool absent = !value || json_is_null(value);

                if (absent ? parameters[i].required : !take(&parameters[i], value))
                        return parameters[i].name;
        }
        return NULL;
}

bool call_read(const struct call *call, const struct parameter *parameters, size_t n,
               int *ret_error)
{
        const char *wrong;

        wrong = find_unknown(call->parameters, parameters, n);
        if (!wrong)
                wrong = find_wrong(call->parameters, parameters, n);
        if (!wrong)
                return true;
        *ret_error = call_refuse_parameter(call, wrong);
        return false;
}

/* What of the call is wrong before its parameters are looked at: returns whether it may be made. */
static bool is_permitted(const struct call *call, const struct method *method, bool upgrade,
                         int *ret_error)
{
        if (upgrade)
                *ret_error = call_refuse_text(call, VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, "method",
                                              call->method);
        else if (method->privileged && !call->connection->peer.privileged)
                *ret_error = call_refuse(call, VARLINK_ERROR_PERMISSION_DENIED, json_object());
        else if (method->many && !call->more)
                *ret_error = call_refuse(call, VARLINK_ERROR_EXPECTED_MORE, json_object());
        else
                return true;
        return false;
}

static int dispatch(const struct call *call, bool upgrade)
{
        const char *dot = strrchr(call->method, '.');
        const struct method *method;
        int r;

        if (!dot || !interface_find(call->method, (size_t)(dot - call->method))) {
                _cleanup_free_ char *interface = strndup(
                        call->method, dot ? (size_t)(dot - call->method) : strlen(call->method));

                if (!interface)
                        return -ENOMEM;
                return call_refuse_text(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface",
                                        interface);
        }
        method = method_find(call->method);
        if (!method)
                return call_refuse_text(call, VARLINK_ERROR_METHOD_NOT_FOUND, "method",
                                        call->method);
        return is_permitted(call, method, upgrade, &r) ? method->call(call) : r;
}

int call_dispatch(struct connection *connection, const struct varlink_call *message)
{
        const struct call call = {
                .server = connection->server,
                .connection = connection,
                .method = message->method,
                .parameters = message->parameters,
                .more = message->more,
        };

        connection->mute = message->oneway;
        return dispatch(&call, message->upgrade);
}
