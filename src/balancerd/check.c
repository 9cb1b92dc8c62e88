/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/check.h"

#include <errno.h>
#include <stdio.h>

static bool is_faulty(const struct config *config, const char *file)
{
        for (size_t i = 0; i < config->faults.n; i++)
                if (streq(config->faults.all[i].file, file))
                        return true;
        return false;
}

static int print_faults(const struct faults *faults)
{
        for (size_t i = 0; i < faults->n; i++) {
                _cleanup_free_ char *line = fault_format(&faults->all[i]);

                if (!line)
                        return -ENOMEM;
                puts(line);
        }
        if (faults->more)
                puts("... and more");
        return 0;
}

/* As --set takes them. */
static void print_changed_settings(const struct settings *settings)
{
        struct settings defaults;

        settings_init(&defaults);
        for (size_t i = 0; settings_at(i); i++) {
                char value[SETTING_TEXT_SIZE], usual[SETTING_TEXT_SIZE];

                settings_get(settings, settings_at(i), value);
                if (!streq(value, settings_get(&defaults, settings_at(i), usual)))
                        printf("%s=%s\n", settings_at(i)->key, value);
        }
}

static int print_config(const struct config *config)
{
        for (size_t i = 0; i < config->n_files; i++)
                if (!is_faulty(config, config->files[i]))
                        printf("%s: OK\n", config->files[i]);
        if (config->faults.n == 0)
                print_changed_settings(&config->settings);
        return print_faults(&config->faults);
}

int check_config(const struct config_source *source)
{
        _cleanup_config_ struct config config = {0};
        int r;

        r = config_load(&config, source);
        if (r == 0)
                r = print_config(&config);
        if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
                r = errno > 0 ? -errno : -EIO;
        if (r < 0) {
                fprintf(stderr, "balancerd: cannot check the configuration: %s\n",
                        strerrordesc_np(-r));
                return r;
        }
        return config.faults.n > 0 ? -EINVAL : 0;
}
