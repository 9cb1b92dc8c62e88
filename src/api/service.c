/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.varlink.service: the server describes itself. */

#include "config.h"

#include <errno.h>

#include "api/interface.h"
#include "api/methods.h"

static json_t *interface_names(void)
{
        json_auto_t *names = json_array();

        for (const struct interface *i = interfaces; i->name; i++)
                if (json_array_append_new(names, json_string(i->name)) < 0)
                        return NULL;
        return json_incref(names);
}

int method_get_info(const struct call *call)
{
        int r;

        if (!call_read(call, NULL, 0, &r))
                return r;
        return call_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:o}", "vendor", "balancerd",
                                          "product", PACKAGE_NAME, "version", PACKAGE_VERSION,
                                          "url", PACKAGE_URL, "interfaces", interface_names()));
}

int method_get_interface_description(const struct call *call)
{
        const char *name;
        const struct parameter parameters[] = {
                {.name = "interface", .required = true, .ret_text = &name}};
        const struct interface *interface;
        int r;

        if (!call_read(call, parameters, ARRAY_SIZE(parameters), &r))
                return r;
        interface = interface_find(name, strlen(name));
        if (!interface)
                return call_refuse_text(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", name);
        return call_reply(call, json_pack("{s:s}", "description", interface->text));
}
