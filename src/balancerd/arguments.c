/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "balancerd/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "balancerd/configuration.h"
#include "base/macro.h"

enum {
        OPTION_CHECK = 256,
        OPTION_CONFIG_DIR,
        OPTION_OBSERVE,
        OPTION_RESTORE,
        OPTION_RUNTIME_DIR,
        OPTION_SET,
        OPTION_VERSION
};

static const struct option options[] = {
        {"check", no_argument, NULL, OPTION_CHECK},
        {"config-dir", required_argument, NULL, OPTION_CONFIG_DIR},
        {"help", no_argument, NULL, 'h'},
        {"observe", no_argument, NULL, OPTION_OBSERVE},
        {"restore", no_argument, NULL, OPTION_RESTORE},
        {"runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR},
        {"set", required_argument, NULL, OPTION_SET},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0},
};

#define BIT(option) (1U << ((option)-OPTION_CHECK))

/* The lines of the manual's synopsis. The one option that chooses a mode is named first. */
static const struct {
        int option;
        unsigned permitted;
} modes[_MODE_MAX] = {
        [MODE_RUN] = {0, BIT(OPTION_CONFIG_DIR) | BIT(OPTION_RUNTIME_DIR) | BIT(OPTION_SET) |
                                 BIT(OPTION_OBSERVE)},
        [MODE_CHECK] = {OPTION_CHECK, BIT(OPTION_CHECK) | BIT(OPTION_CONFIG_DIR) |
                                              BIT(OPTION_RUNTIME_DIR) | BIT(OPTION_SET)},
        [MODE_RESTORE] = {OPTION_RESTORE, BIT(OPTION_RESTORE) | BIT(OPTION_RUNTIME_DIR)},
};

static void help(void)
{
        printf("balancerd [OPTION...]\n\n"
               "Balance threads over CPUs where the kernel does not, and give back every mask.\n\n"
               "      --check            Say what is wrong with the configuration, and end\n"
               "      --config-dir DIR   Read the configuration there [%s]\n"
               "      --observe          Decide and tell, but move nothing\n"
               "      --restore          Give back what a daemon that was killed left narrow, and "
               "end\n"
               "      --runtime-dir DIR  Keep the ledger there [%s]\n"
               "      --set KEY=VALUE    Change a setting (see balancerd.json(5))\n"
               "  -h, --help             Show this help\n"
               "      --version          Show the version\n",
               PACKAGE_SYSCONF, PACKAGE_LOCALSTATE_RUN);
}

/* Whether it can be followed; that is done together with the configuration. */
static int add_set(struct arguments *a, char *argument)
{
        _cleanup_faults_ struct faults faults = {0};
        _cleanup_free_ char *line = NULL;
        struct settings scratch;
        char **sets;
        int r;

        settings_init(&scratch);
        r = config_set(&scratch, argument, &faults, NULL);
        if (r < 0)
                return r;
        if (faults.n > 0) {
                line = fault_format(&faults.all[0]);
                fprintf(stderr, "balancerd: %s\n", line ? line : argument);
                return -EINVAL;
        }
        sets = reallocarray(a->sets, a->n_sets + 1, sizeof(*sets));
        if (!sets)
                return -ENOMEM;
        a->sets = sets;
        a->sets[a->n_sets++] = argument;
        return 0;
}

/* Returns as arguments_parse() does. */
static int take(struct arguments *a, int option)
{
        int r;

        switch (option) {
        case 'h':
                help();
                return 0;
        case OPTION_VERSION:
                printf("%s\n", PACKAGE_STRING);
                return 0;
        case OPTION_CONFIG_DIR:
                a->config_dir = optarg;
                a->names_config_dir = true;
                return 1;
        case OPTION_RUNTIME_DIR:
                a->runtime_dir = optarg;
                a->names_runtime_dir = true;
                return 1;
        case OPTION_SET:
                r = add_set(a, optarg);
                return r < 0 ? r : 1;
        case OPTION_CHECK:
        case OPTION_OBSERVE:
        case OPTION_RESTORE:
                return 1; /* which were given is all that matters of them */
        default:
                return -EINVAL;
        }
}

static const char *name_of(int value)
{
        for (const struct option *option = options; option->name; option++)
                if (option->val == value)
                        return option->name;
        abort();
}

/* Returns 0, or -EINVAL where an option was GIVEN that does not go with the mode. */
static int judge(enum mode mode, unsigned given)
{
        for (int option = OPTION_CHECK; option < OPTION_VERSION; option++)
                if (given & BIT(option) & ~modes[mode].permitted) {
                        fprintf(stderr, "balancerd: --%s does not go with --%s\n", name_of(option),
                                name_of(modes[mode].option));
                        return -EINVAL;
                }
        return 0;
}

static enum mode mode_of(unsigned given)
{
        if (given & BIT(OPTION_RESTORE))
                return MODE_RESTORE;
        return (given & BIT(OPTION_CHECK)) ? MODE_CHECK : MODE_RUN;
}

static int parse(struct arguments *a, int argc, char **argv)
{
        unsigned given = 0;
        int option, r;

        while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                r = take(a, option);
                if (r <= 0)
                        return r;
                given |= BIT(option);
        }
        if (optind < argc) {
                fprintf(stderr, "balancerd: unexpected argument \"%s\"\n", argv[optind]);
                return -EINVAL;
        }
        a->mode = mode_of(given);
        a->observe = given & BIT(OPTION_OBSERVE);
        r = judge(a->mode, given);
        return r < 0 ? r : 1;
}

int arguments_parse(struct arguments *ret, int argc, char **argv)
{
        struct arguments a = {
                .config_dir = PACKAGE_SYSCONF,
                .runtime_dir = PACKAGE_LOCALSTATE_RUN,
        };
        int r;

        r = parse(&a, argc, argv);
        if (r <= 0)
                arguments_done(&a);
        else
                *ret = a;
        return r;
}

void arguments_done(struct arguments *arguments)
{
        free(arguments->sets);
}
