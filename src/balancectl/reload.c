/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl reload: makes the daemon read its configuration again, and says what is in effect. */

#include "balancectl/print.h"
#include "balancectl/session.h"
#include "balancectl/verbs.h"

static void print(const json_t *files)
{
        if (json_array_size(files) == 0)
                printf("in effect: the defaults; there is no configuration file\n");
        else
                printf("in effect:\n");
        for (size_t i = 0; i < json_array_size(files); i++) {
                const char *file = json_string_value(json_array_get(files, i));

                printf("  %s\n", file ? file : "-");
        }
}

int verb_reload(const struct request *request)
{
        _cleanup_(varlink_reply_done) struct varlink_reply reply = {0};
        _cleanup_session_ struct session session = {0};
        int r;

        r = session_open(&session, request);
        if (r < 0)
                return r;
        r = session_call(&session, "Reload", NULL, &reply);
        if (r < 0)
                return r;
        if (request->json != JSON_MODE_OFF)
                return print_json(reply.parameters, request->json);
        print(json_object_get(reply.parameters, "configuration"));
        return 0;
}
