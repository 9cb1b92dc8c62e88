/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one list of options: the parser and the helps go by it. */

#include "base/time.h"

/* In the order in which the help has them. */
enum option_id {
        OPTION_ALL_TASKS,
        OPTION_ALL,
        OPTION_COUNT,
        OPTION_CONFIG_DIR,
        OPTION_JSON,
        OPTION_J,
        OPTION_NO_LEGEND,
        OPTION_SOCKET,
        OPTION_TIMEOUT,
        OPTION_HELP,
        OPTION_VERSION,
        _OPTION_MAX,
};

/* A set of options is the sum of these. */
#define OPTION(id) (1U << (OPTION_##id))

#define OPTIONS_OF_EVERY_VERB (OPTION(HELP) | OPTION(VERSION))

/* What --timeout is, and how the help has it. */
#define OPTION_TIMEOUT_DEFAULT (10 * NSEC_PER_SEC)
#define OPTION_TIMEOUT_TEXT    "10s"

struct option_row {
        const char *name;     /* NULL: it is a letter only */
        char letter;          /* 0: it is a name only */
        const char *argument; /* NULL: it takes none */
        const char *help;
};

extern const struct option_row option_rows[_OPTION_MAX];
