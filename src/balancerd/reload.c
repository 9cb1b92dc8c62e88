/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/reload.h"

#include <errno.h>

#include "balancerd/news.h"

static void tell_fault(const struct fault *fault)
{
        _cleanup_free_ char *line = fault_format(fault);
        struct journal_entry fields;

        journal_entry_init(&fields);
        journal_addf(&fields, "BALANCERD_FILE", "%s", fault->file);
        if (fault->line > 0) {
                journal_addf(&fields, "BALANCERD_LINE", "%u", fault->line);
                journal_addf(&fields, "BALANCERD_COLUMN", "%u", fault->column);
        }
        if (fault->pointer)
                journal_addf(&fields, "BALANCERD_POINTER", "%s", fault->pointer);
        journal_addf(&fields, "BALANCERD_EXPECTED", "%s", fault->expected);
        news_tell(NEWS_CONFIGURATION_REFUSED, LOG_ERR, &fields, "%s", line ? line : fault->file);
}

static void tell_faults(const struct faults *faults)
{
        for (size_t i = 0; i < faults->n; i++)
                tell_fault(&faults->all[i]);
        if (faults->more)
                log_error("... and more");
}

/* NONE: what to say where nothing is different. */
static void tell_changes(const char *what, const struct settings *before,
                         const struct settings *after, const char *none)
{
        _cleanup_free_ char *changes = config_format_changes(before, after);

        if (changes)
                news_tell(NEWS_CONFIGURATION_LOADED, LOG_INFO, NULL, "%s: %s", what,
                          *changes ? changes : none);
}

static void tell_without_effect(const struct config *config)
{
        const struct setting *setting;
        size_t cursor = 0;

        while ((setting = config_next_without_effect(config, &cursor)))
                log_notice("%s has no effect in this version", setting->key);
}

/* Returns as reconfigure() does; LEFT: what becomes of the daemon where it is of no use. */
static int load(struct config *ret, const struct config_source *source, const char *left)
{
        int r;

        r = config_load(ret, source);
        if (r < 0)
                return log_error_errno(r, "cannot read the configuration");
        if (ret->faults.n == 0)
                return 0;
        tell_faults(&ret->faults);
        log_error("the configuration cannot be used: %s", left);
        return -EBADMSG;
}

int configure(struct config *ret, const struct config_source *source)
{
        _cleanup_config_ struct config config = {0};
        struct settings defaults;
        int r;

        r = load(&config, source, "not started");
        if (r < 0)
                return r;
        settings_init(&defaults);
        if (config.n_files > 0)
                tell_changes("configuration read", &defaults, &config.settings,
                             "every setting has its default");
        tell_without_effect(&config);
        *ret = config;
        config = (struct config){0};
        return 0;
}

int reconfigure(struct config *config, const struct config_source *source,
                struct faults *ret_faults)
{
        _cleanup_config_ struct config next = {0};
        struct config last;
        int r;

        r = load(&next, source, "every setting stays as it was");
        if (r == -EBADMSG) {
                *ret_faults = next.faults;
                next.faults = (struct faults){0};
        }
        if (r < 0)
                return r;
        tell_changes("configuration read again", &config->settings, &next.settings,
                     "no setting has changed");
        tell_without_effect(&next);
        last = *config;
        *config = next;
        next = last;
        return 0;
}
