/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "balancerd/privileges.h"

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

static void print_without_effect(const struct config *config)
{
        const struct setting *setting;
        size_t cursor = 0;

        while ((setting = config_next_without_effect(config, &cursor)))
                printf("%s has no effect in this version\n", setting->key);
}

static int print_config(const struct config *config)
{
        for (size_t i = 0; i < config->n_files; i++)
                if (!is_faulty(config, config->files[i]))
                        printf("%s: OK\n", config->files[i]);
        if (config->faults.n > 0)
                return print_faults(&config->faults);
        if (config->n_files == 0)
                puts("the defaults; there is no file");
        print_changed_settings(&config->settings);
        print_without_effect(config);
        return 0;
}

/* Root reads what the service's user may not. */
static int read_as_owner_of(const char *runtime_dir)
{
        char name[LOGIN_NAME_MAX];
        int r;

        r = privileges_become_owner(runtime_dir, name);
        if (r > 0)
                printf("as user %s, who owns %s:\n", name, runtime_dir);
        return MIN(r, 0);
}

int check_config(const struct config_source *source, const char *runtime_dir)
{
        _cleanup_config_ struct config config = {0};
        int r;

        r = runtime_dir ? read_as_owner_of(runtime_dir) : 0;
        if (r == 0)
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
