/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/request.h"

#include <errno.h>
#include <getopt.h>

#include "base/macro.h"
#include "base/parse.h"
#include "libbalancer/client.h"

/* getopt_long() returns this and the option's id for options that are no letter. */
#define LONG_OPTION 256

#define USUAL_TIMEOUT (10 * NSEC_PER_SEC)
#define USUAL_TEXT    "10s"

/* The one list of options: the parser, both helps and the tests go by it. */
static const struct {
        const char *name; /* NULL: a letter only */
        char letter;      /* 0: a name only */
        const char *argument;
        const char *help;
} options[_OPTION_MAX] = {
        [OPTION_ALL_TASKS] = {"all-tasks", 'a', NULL, "All threads of the process PID"},
        [OPTION_ALL] = {"all", 0, NULL, "Threads that are not watched too"},
        [OPTION_COUNT] = {"count", 'n', "COUNT", "End after so many events"},
        [OPTION_CONFIG_DIR] = {"config-dir", 0, "DIR", "Check what is there"},
        [OPTION_JSON] = {"json", 0, "MODE", "Print JSON: short, pretty or off"},
        [OPTION_J] = {NULL, 'j', NULL, "--json=pretty on a terminal, --json=short elsewhere"},
        [OPTION_NO_LEGEND] = {"no-legend", 0, NULL, "No headers, no hints"},
        [OPTION_SOCKET] = {"socket", 0, "PATH",
                           "Where balancerd listens [" BALANCER_CLIENT_PATH "]"},
        [OPTION_TIMEOUT] = {"timeout", 0, "TIME", "Wait so long for an answer [" USUAL_TEXT "]"},
        [OPTION_HELP] = {"help", 'h', NULL, "Show this help"},
        [OPTION_VERSION] = {"version", 0, NULL, "Show the version"},
};

static const char *operand_text(enum operand operand)
{
        switch (operand) {
        case OPERAND_NONE:
                return "";
        case OPERAND_MAYBE_PID:
                return " [PID]";
        case OPERAND_PID:
                return " PID";
        }
        abort();
}

static void help_option(enum option_id id)
{
        char left[64], letter[8] = "   ";

        if (options[id].letter)
                (void)snprintf(letter, sizeof(letter), "-%c%s", options[id].letter,
                               options[id].name ? "," : "");
        (void)snprintf(left, sizeof(left), "%-3s %s%s%s%s", letter, options[id].name ? "--" : "",
                       options[id].name ? options[id].name : "", options[id].argument ? " " : "",
                       options[id].argument ? options[id].argument : "");
        printf("  %-22s %s\n", left, options[id].help);
}

static void help_options(unsigned set)
{
        printf("\n");
        for (enum option_id id = 0; id < _OPTION_MAX; id++)
                if (set & (1U << id))
                        help_option(id);
}

#define EVERY_VERB (OPTION(HELP) | OPTION(VERSION))

void request_help(const struct request *request, const struct verb *verbs)
{
        const struct verb *one = request->verb;

        if (one) {
                printf("balancectl %s [OPTION...]%s\n\n%s.\n", one->name,
                       operand_text(one->operand), one->summary);
                help_options(one->options | EVERY_VERB);
                return;
        }
        printf("balancectl [OPTION...] [COMMAND]\n\n"
               "See what balancerd does, and why.\n\n");
        for (const struct verb *verb = verbs; verb->name; verb++) {
                char left[64];

                (void)snprintf(left, sizeof(left), "%s%s", verb->name, operand_text(verb->operand));
                printf("  %-22s %s\n", left, verb->summary);
        }
        help_options((1U << _OPTION_MAX) - 1);
        printf("\nWithout a command: %s. Which options a command takes: balancectl COMMAND "
               "--help\n",
               verbs->name);
}

static int complain(const char *what, const char *value, const char *expected)
{
        fprintf(stderr, "balancectl: %s %s: expected %s\n", what, value, expected);
        return -EINVAL;
}

static int parse_json(const char *text, enum json_mode *ret)
{
        static const char *const modes[] = {
                [JSON_MODE_OFF] = "off",
                [JSON_MODE_SHORT] = "short",
                [JSON_MODE_PRETTY] = "pretty",
        };

        for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
                if (streq(text, modes[i])) {
                        *ret = (enum json_mode)i;
                        return 0;
                }
        return complain("--json", text, "short, pretty or off");
}

static int set_option(struct request *request, enum option_id id, const char *value)
{
        switch (id) {
        case OPTION_ALL_TASKS:
                request->all_tasks = true;
                return 0;
        case OPTION_ALL:
                request->all = true;
                return 0;
        case OPTION_COUNT:
                if (parse_u64(value, &request->count) < 0 || request->count == 0)
                        return complain("--count", value, "a number from 1 on");
                return 0;
        case OPTION_CONFIG_DIR:
                request->config_dir = value;
                return 0;
        case OPTION_JSON:
                return parse_json(value, &request->json);
        case OPTION_J:
                request->json = request->terminal.is_terminal ? JSON_MODE_PRETTY : JSON_MODE_SHORT;
                return 0;
        case OPTION_NO_LEGEND:
                request->legend = false;
                return 0;
        case OPTION_SOCKET:
                request->socket_path = value;
                return 0;
        case OPTION_TIMEOUT:
                if (parse_nsec(value, &request->timeout) < 0)
                        return complain("--timeout", value, "a time such as 500ms or 10s");
                return 0;
        case OPTION_HELP:
                request->help = true;
                return 0;
        case OPTION_VERSION:
                request->version = true;
                return 0;
        case _OPTION_MAX:
                break;
        }
        abort();
}

/* The two forms in which getopt_long() wants the list. Both have room for what ends them. */
static void list_options(struct option *ret_long, char *ret_letters)
{
        for (enum option_id id = 0; id < _OPTION_MAX; id++) {
                if (options[id].name)
                        *ret_long++ = (struct option){options[id].name,
                                                      options[id].argument ? required_argument
                                                                           : no_argument,
                                                      NULL, LONG_OPTION + (int)id};
                if (options[id].letter)
                        *ret_letters++ = options[id].letter;
                if (options[id].letter && options[id].argument)
                        *ret_letters++ = ':';
        }
        *ret_long = (struct option){0};
        *ret_letters = '\0';
}

static enum option_id option_of(int c)
{
        enum option_id id = 0;

        if (c >= LONG_OPTION)
                return (enum option_id)(c - LONG_OPTION);
        while (options[id].letter != c)
                id++;
        return id;
}

/* Returns 0 and the set of options that were given. */
static int parse_options(struct request *request, int argc, char **argv, unsigned *ret_given)
{
        struct option names[_OPTION_MAX + 1];
        char letters[2 * _OPTION_MAX + 1];
        unsigned given = 0;
        int c;

        list_options(names, letters);
        while ((c = getopt_long(argc, argv, letters, names, NULL)) >= 0) {
                enum option_id id;

                if (c == '?')
                        return -EINVAL;
                id = option_of(c);
                if (set_option(request, id, optarg) < 0)
                        return -EINVAL;
                given |= 1U << id;
        }
        *ret_given = given;
        return 0;
}

static const struct verb *find_verb(const struct verb *verbs, const char *name)
{
        for (const struct verb *verb = verbs; verb->name; verb++)
                if (streq(verb->name, name))
                        return verb;
        return NULL;
}

static int check_options(const struct verb *verb, unsigned given)
{
        for (enum option_id id = 0; id < _OPTION_MAX; id++) {
                if (!(given & ~(verb->options | EVERY_VERB) & (1U << id)))
                        continue;
                if (options[id].name)
                        fprintf(stderr, "balancectl: %s takes no --%s\n", verb->name,
                                options[id].name);
                else
                        fprintf(stderr, "balancectl: %s takes no -%c\n", verb->name,
                                options[id].letter);
                return -EINVAL;
        }
        return 0;
}

static int parse_operands(struct request *request, int n, char **operands)
{
        const struct verb *verb = request->verb;

        if (n > (verb->operand != OPERAND_NONE)) {
                fprintf(stderr, "balancectl: %s: unexpected argument \"%s\"\n", verb->name,
                        operands[n - 1]);
                return -EINVAL;
        }
        if (n == 0 && (verb->operand == OPERAND_PID || request->all_tasks)) {
                fprintf(stderr, "balancectl: %s%s: which PID?\n", verb->name,
                        request->all_tasks ? " --all-tasks" : "");
                return -EINVAL;
        }
        if (n > 0 && parse_pid(operands[0], &request->pid) < 0)
                return complain(verb->name, operands[0], "a PID");
        return 0;
}

int request_parse(struct request *ret, const struct verb *verbs, int argc, char **argv)
{
        struct request request = {.timeout = USUAL_TIMEOUT, .legend = true};
        unsigned given;

        terminal_probe(&request.terminal, STDOUT_FILENO);
        if (parse_options(&request, argc, argv, &given) < 0)
                return -EINVAL;
        if (optind < argc) {
                request.verb = find_verb(verbs, argv[optind]);
                if (!request.verb) {
                        fprintf(stderr, "balancectl: there is no command \"%s\"\n", argv[optind]);
                        return -EINVAL;
                }
                optind++;
        }
        if (!request.help && !request.version) {
                if (!request.verb)
                        request.verb = verbs;
                if (check_options(request.verb, given) < 0 ||
                    parse_operands(&request, argc - optind, argv + optind) < 0)
                        return -EINVAL;
        }
        *ret = request;
        return 0;
}
