/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration: DIR/balancerd.json, then DIR/balancerd.json.d/ *.json in the order of their
 * names' bytes, then --set; later ones win, key by key. What is wrong with it is found out
 * completely and is plain data. Nothing here is done but reading.
 */

#include <limits.h>
#include <stddef.h>

#include "balancerd/fault.h"
#include "model/settings.h"

#define CONFIG_FILE   "balancerd.json"
#define CONFIG_FOLDER "balancerd.json.d"
/* The largest file that is read. */
#define CONFIG_FILE_MAX ((size_t)1 << 20)

/* Where it comes from; owned by the caller. */
struct config_source {
        const char *dir;
        bool must_exist;   /* somebody has named the folder: it is a fault where there is none */
        char *const *sets; /* arguments of --set: "balance.tick=20ms" */
        size_t n_sets;
};

#define SET_BY_ARGUMENT UINT_MAX

struct config {
        struct settings settings; /* of use only where there is no fault */
        char **files;             /* those that there are, in order; NULL behind the last */
        size_t n_files;
        /* At the places of settings_at(), who has set it last: 0 nobody, the number of the file
         * from 1 on, or SET_BY_ARGUMENT. */
        unsigned set_by[SETTINGS_COUNT];
        struct faults faults;
};

/* Reads all of it. A file that is not there is none. Returns 0, whatever is wrong with
 * the configuration, or -ENOMEM. */
int config_load(struct config *ret, const struct config_source *source);

void config_done(struct config *config);
#define _cleanup_config_ _cleanup_(config_done)

/* Does what one argument of --set says, or notes what is wrong with it. *ret_setting, if not NULL,
 * is the one that was set, or NULL. Returns 0 or -ENOMEM. */
int config_set(struct settings *settings, const char *argument, struct faults *faults,
               const struct setting **ret_setting);

/* What somebody has set, and nothing goes by: the first from *CURSOR (at first 0) on, which moves
 * past it; NULL: there are no more. */
const struct setting *config_next_without_effect(const struct config *config, size_t *cursor);

/* In what AFTER differs from BEFORE: "balance.tick 20ms -> 10ms, observe own -> all"; empty where
 * it does not. The caller frees it; NULL: no memory. */
char *config_format_changes(const struct settings *before, const struct settings *after);
