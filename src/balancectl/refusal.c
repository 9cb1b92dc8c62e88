/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/refusal.h"

#include <errno.h>
#include <inttypes.h>

#include "balancectl/fields.h"
#include "base/macro.h"
#include "libbalancer/client.h"

bool refusal_is(const struct varlink_reply *reply, const char *error)
{
        size_t length = strlen(BALANCER_CLIENT_INTERFACE);

        return strncmp(reply->error, BALANCER_CLIENT_INTERFACE, length) == 0 &&
               streq(reply->error + length, error);
}

/* Without a number it was the process ID that was asked for. */
static void tell_no_thread(const json_t *parameters, int id, bool sees_all)
{
        int64_t tid;

        if (field_integer(parameters, "tid", &tid))
                fprintf(stderr, "there is no thread %" PRId64, tid);
        else
                fprintf(stderr, "there is no process %d", id);
        fprintf(stderr, "%s\n", sees_all ? "" : ", or it is none that you may see");
}

static bool is_below(const char *path, const char *folder)
{
        size_t length = strlen(folder);

        return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* As balancerd --check has it: FILE:LINE:COLUMN: expected ..., or FILE: POINTER: expected ... */
static void tell_configuration(const json_t *parameters)
{
        const char *file = field_text(parameters, "file", "the configuration");
        const char *pointer = field_text(parameters, "pointer", "");
        int64_t line, column;

        fprintf(stderr, "%s:", file);
        if (field_integer(parameters, "line", &line))
                fprintf(stderr, "%" PRId64 ":", line);
        if (field_integer(parameters, "column", &column))
                fprintf(stderr, "%" PRId64 ":", column);
        if (*pointer)
                fprintf(stderr, " %s:", pointer);
        fprintf(stderr,
                " expected %s\nthe settings stay as they were; there may be more: balancerd "
                "--check%s\n",
                field_text(parameters, "expected", "something else"),
                is_below(file, PACKAGE_SYSCONF) ? "" : " --config-dir DIR");
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

int refusal_tell(const struct varlink_reply *reply, int id, bool sees_all)
{
        static const struct {
                const char *error;
                void (*tell)(const json_t *parameters);
        } known[] = {
                {BALANCER_CLIENT_INTERFACE "InvalidConfiguration", tell_configuration},
                {BALANCER_CLIENT_INTERFACE "InvalidMessage", tell_message},
                {BALANCER_CLIENT_INTERFACE "TooManyConnections", tell_connections},
                {VARLINK_ERROR_PERMISSION_DENIED, tell_permission},
                {VARLINK_ERROR_INVALID_PARAMETER, tell_parameter},
                {VARLINK_ERROR_METHOD_NOT_FOUND, tell_unknown},
                {VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, tell_unknown},
                {VARLINK_ERROR_INTERFACE_NOT_FOUND, tell_unknown},
        };

        if (refusal_is(reply, "NoSuchThread")) {
                tell_no_thread(reply->parameters, id, sees_all);
                return -EREMOTEIO;
        }
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(reply->error, known[i].error)) {
                        known[i].tell(reply->parameters);
                        return -EREMOTEIO;
                }
        fprintf(stderr, "balancerd refuses: %s\n", reply->error);
        return -EREMOTEIO;
}
