/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/options.h"

#include <stddef.h>

#include "libbalancer/client.h"

const struct option_row option_rows[_OPTION_MAX] = {
        [OPTION_ALL_TASKS] = {"all-tasks", 'a', NULL, "TID is a process: all its threads"},
        [OPTION_ALL] = {"all", 0, NULL, "Threads that are not watched too"},
        [OPTION_COUNT] = {"count", 'n', "COUNT",
                          "End after so many events; history: the last so many"},
        [OPTION_CONFIG_DIR] = {"config-dir", 0, "DIR", "Check what is there"},
        [OPTION_JSON] = {"json", 0, "MODE", "Print JSON: short, pretty or off"},
        [OPTION_J] = {NULL, 'j', NULL, "--json=pretty on a terminal, --json=short elsewhere"},
        [OPTION_NO_LEGEND] = {"no-legend", 0, NULL, "No headers, no hints"},
        [OPTION_SOCKET] = {"socket", 0, "PATH",
                           "Where balancerd listens [" BALANCER_CLIENT_PATH "]"},
        [OPTION_TIMEOUT] = {"timeout", 0, "TIME",
                            "Wait so long for an answer [" OPTION_TIMEOUT_TEXT "]"},
        [OPTION_HELP] = {"help", 'h', NULL, "Show this help"},
        [OPTION_VERSION] = {"version", 0, NULL, "Show the version"},
};
