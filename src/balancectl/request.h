/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the user has asked for: a verb, its operand, and options. Knows nothing of a daemon. */

#include <stdbool.h>
#include <stdint.h>

#include "balancectl/terminal.h"
#include "base/time.h"

enum json_mode {
        JSON_MODE_OFF,
        JSON_MODE_SHORT,  /* one line an object */
        JSON_MODE_PRETTY, /* indented */
};

/* What stands behind a verb. */
enum operand {
        OPERAND_NONE,
        OPERAND_MAYBE_TID,
        OPERAND_TID,
};

struct request;

struct verb {
        const char *name;
        const char *summary; /* of the help */
        enum operand operand;
        unsigned options; /* OPTION() of those that it takes beside OPTIONS_OF_EVERY_VERB */
        /* Returns 0, or a negative errno of what has been told on standard error. */
        int (*run)(const struct request *request);
};

struct request {
        const struct verb *verb;
        bool help, version;
        const char *socket_path; /* NULL: the system's */
        const char *config_dir;  /* NULL: the daemon's own choice */
        nsec_t timeout;
        enum json_mode json;
        bool legend;
        bool all;       /* threads that are not watched too */
        bool all_tasks; /* all threads of the process ID */
        int id;         /* of a thread, or where all_tasks is set of a process; 0: none was given */
        uint64_t count; /* 0: no end */
        struct terminal terminal; /* standard output */
};

/* Reads the command line; what is wrong with it is told. VERBS end with a row without a name, and
 * the first of them is meant where none is named. Returns 0, or -EINVAL. */
int request_parse(struct request *ret, const struct verb *verbs, int argc, char **argv);

/* The help of all VERBS, or, where REQUEST names one, of that. */
void request_help(const struct request *request, const struct verb *verbs);
