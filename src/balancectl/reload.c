/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl reload: makes the daemon read its configuration again, and says what is in effect. */

#include "balancectl/session.h"
#include "balancectl/verbs.h"

static int print(const struct request *request, const json_t *answer)
{
        const json_t *files = json_object_get(answer, "configuration");

        (void)request;
        if (json_array_size(files) == 0)
                printf("in effect: the defaults; there is no configuration file\n");
        else
                printf("in effect:\n");
        for (size_t i = 0; i < json_array_size(files); i++) {
                const char *file = json_string_value(json_array_get(files, i));

                printf("  %s\n", file ? file : "-");
        }
        return 0;
}

int verb_reload(const struct request *request)
{
        return session_query(request, "Reload", print);
}
