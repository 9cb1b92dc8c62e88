/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the command line says. Nothing here is done but reading it. */

#include <stdbool.h>
#include <stddef.h>

enum mode {
        MODE_RUN,
        MODE_CHECK,
        MODE_RESTORE,
        _MODE_MAX,
};

struct arguments {
        enum mode mode;
        const char *config_dir, *runtime_dir; /* the defaults, where none was named */
        bool names_config_dir, names_runtime_dir;
        bool observe;
        char **sets; /* arguments of --set, each good by itself; the strings are argv's */
        size_t n_sets;
};

/* Returns 1 to go on; 0 where all is done, which --help and --version are; -EINVAL for arguments
 * that are wrong or do not go together, which has been told, or -ENOMEM. */
int arguments_parse(struct arguments *ret, int argc, char **argv);
void arguments_done(struct arguments *arguments);
#define _cleanup_arguments_ _cleanup_(arguments_done)
