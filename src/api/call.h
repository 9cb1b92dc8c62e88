/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call on its way to its method, and what methods answer with. */

#include "api/connection.h"

struct call {
        struct server *server;
        struct connection *connection;
        const char *method;
        json_t *parameters; /* an object, or NULL */
        bool more;
};

/* Answers the message, or begins to (connection->producer). Returns 0, or a negative errno that
 * ends the connection. */
int call_dispatch(struct connection *connection, const struct varlink_call *message);

/* The following answer CALL, unless it wants no answer. PARAMETERS' reference is taken; NULL stands
 * for lack of memory. Return 0, or a negative errno that ends the connection. */
int call_reply(const struct call *call, json_t *parameters);
int call_refuse(const struct call *call, const char *error, json_t *parameters);
/* The same with one parameter, NAME, which is TEXT as far as it is short enough to be repeated. */
int call_refuse_text(const struct call *call, const char *error, const char *name,
                     const char *text);
int call_refuse_parameter(const struct call *call, const char *parameter);
/* The call, which has `more` and so wants replies, is answered by PRODUCER from now on. */
int call_produce(const struct call *call, struct producer *producer);

/* One parameter that a method has. The target that fits its type is set; absent, it stays. */
struct parameter {
        const char *name;
        bool required;
        pid_t *ret_pid;      /* from 1 on */
        unsigned *ret_count; /* likewise */
        bool *ret_flag;
        const char **ret_text;
};

/* Whether the call has just these parameters, N of them. Where it has not, it is refused, and
 * *RET_ERROR is what call_refuse() returned. */
bool call_read(const struct call *call, const struct parameter *parameters, size_t n,
               int *ret_error);
