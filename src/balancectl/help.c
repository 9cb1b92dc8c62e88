/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What --help prints. */

#include "balancectl/options.h"
#include "balancectl/request.h"
#include "base/macro.h"

/* Room for what stands on the left. */
#define LEFT_SIZE 64

static const char *operand_text(enum operand operand)
{
        switch (operand) {
        case OPERAND_NONE:
                return "";
        case OPERAND_MAYBE_TID:
                return " [TID]";
        case OPERAND_TID:
                return " TID";
        }
        abort();
}

static void print_row(const char *left, const char *right)
{
        printf("  %-22s %s\n", left, right);
}

static void print_option(const struct option_row *row)
{
        char left[LEFT_SIZE];

        (void)snprintf(left, sizeof(left), "%c%c%c %s%s%s%s", row->letter ? '-' : ' ',
                       row->letter ? row->letter : ' ', row->letter && row->name ? ',' : ' ',
                       row->name ? "--" : "", row->name ? row->name : "", row->argument ? " " : "",
                       row->argument ? row->argument : "");
        print_row(left, row->help);
}

static void print_options(unsigned set)
{
        (void)putchar('\n');
        for (enum option_id id = 0; id < _OPTION_MAX; id++)
                if (set & (1U << id))
                        print_option(&option_rows[id]);
}

static void print_verb(const struct verb *verb)
{
        char left[LEFT_SIZE];

        (void)snprintf(left, sizeof(left), "%s%s", verb->name, operand_text(verb->operand));
        print_row(left, verb->summary);
}

static void help_all(const struct verb *verbs)
{
        printf("balancectl [OPTION...] [COMMAND]\n\nSee what balancerd does, and why.\n\n");
        for (const struct verb *verb = verbs; verb->name; verb++)
                print_verb(verb);
        print_options((1U << _OPTION_MAX) - 1);
        printf("\nWithout a command: %s. Which options a command takes: balancectl COMMAND "
               "--help\n",
               verbs->name);
}

static void help_one(const struct verb *verb)
{
        printf("balancectl %s [OPTION...]%s\n\n%s.\n", verb->name, operand_text(verb->operand),
               verb->summary);
        print_options(verb->options | OPTIONS_OF_EVERY_VERB);
}

void request_help(const struct request *request, const struct verb *verbs)
{
        if (request->verb)
                help_one(request->verb);
        else
                help_all(verbs);
}
