/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.balancerd.Reload */

#include <errno.h>

#include "api/encode.h"
#include "api/methods.h"

static json_t *positive(unsigned number)
{
        return number > 0 ? json_integer(number) : json_null();
}

static int refuse(const struct call *call, const struct api_fault *fault)
{
        json_auto_t *parameters =
                json_pack("{s:s, s:o, s:o, s:s*, s:s}", "file", fault->file, "line",
                          positive(fault->line), "column", positive(fault->column), "pointer",
                          fault->pointer, "expected", fault->expected);

        if (fault->line == 0)
                (void)json_object_del(parameters, "line");
        if (fault->column == 0)
                (void)json_object_del(parameters, "column");
        return call_refuse(call, "io.balancerd.InvalidConfiguration", json_incref(parameters));
}

int method_reload(const struct call *call)
{
        const struct api_host *host = &call->server->host;
        _cleanup_(api_fault_done) struct api_fault fault = {0};
        int r;

        if (!call_read(call, NULL, 0, &r))
                return r;
        r = host->reload(&fault, host->userdata);
        if (r == -EBADMSG)
                return refuse(call, &fault);
        if (r == -EOPNOTSUPP)
                return call_refuse_text(call, VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, "method",
                                        call->method);
        if (r < 0)
                return r;
        return call_reply(call,
                          json_pack("{s:o}", "configuration", encode_configuration(call->server)));
}
