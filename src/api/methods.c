/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/methods.h"

const struct method methods[] = {
        {.name = "org.varlink.service.GetInfo", .call = method_get_info},
        {.name = "org.varlink.service.GetInterfaceDescription",
         .call = method_get_interface_description},
        {.name = "io.balancerd.GetStatus", .call = method_get_status},
        {.name = "io.balancerd.ListCpus", .call = method_list_cpus, .many = true},
        {.name = "io.balancerd.ListThreads", .call = method_list_threads, .many = true},
        {.name = "io.balancerd.Explain", .call = method_explain},
        {.name = "io.balancerd.ListDecisions", .call = method_list_decisions, .many = true},
        {.name = "io.balancerd.Monitor", .call = method_monitor, .many = true},
        {.name = "io.balancerd.Reload", .call = method_reload, .privileged = true},
        {.name = NULL},
};

const struct method *method_find(const char *name)
{
        for (const struct method *method = methods; method->name; method++)
                if (streq(method->name, name))
                        return method;
        return NULL;
}
