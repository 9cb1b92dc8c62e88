/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Varlink's two kinds of messages, as JSON objects (varlink.org, "Protocol"). Reading is strict:
 * UTF-8, no key twice, no key that Varlink does not know, no NUL within strings.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/macro.h"
#include "varlink/stream.h"

/* The errors that every service has (org.varlink.service). */
#define VARLINK_ERROR_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND       "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define VARLINK_ERROR_INVALID_PARAMETER      "org.varlink.service.InvalidParameter"
#define VARLINK_ERROR_PERMISSION_DENIED      "org.varlink.service.PermissionDenied"
#define VARLINK_ERROR_EXPECTED_MORE          "org.varlink.service.ExpectedMore"

/* What a client sends. Strings and parameters live as long as `root`, which the call owns. */
struct varlink_call {
        json_t *root;
        const char *method; /* "io.balancerd.GetStatus" */
        json_t *parameters; /* an object; NULL: none were given */
        bool more, oneway, upgrade;
};

/* What a service answers. `continues`: more replies follow. */
struct varlink_reply {
        json_t *root;
        const char *error;  /* NULL: it worked */
        json_t *parameters; /* an object; NULL: none were given */
        bool continues;
};

void varlink_call_done(struct varlink_call *call);
void varlink_reply_done(struct varlink_reply *reply);

/* TEXT is one message without its NUL. Return 0, -ENOMEM, or -EBADMSG: *ret_fault then says what is
 * wrong with it (static text). */
int varlink_call_parse(const char *text, size_t length, struct varlink_call *ret,
                       const char **ret_fault);
int varlink_reply_parse(const char *text, size_t length, struct varlink_reply *ret,
                        const char **ret_fault);

/* Put a message behind what waits to be sent; PARAMETERS stay the caller's and may be NULL. Return
 * 0 or a negative errno of varlink_stream_reserve(). */
int varlink_call_put(struct varlink_stream *stream, const struct varlink_call *call);
int varlink_reply_put(struct varlink_stream *stream, const struct varlink_reply *reply);
