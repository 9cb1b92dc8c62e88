/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/options.h"
#include "balancectl/request.h"

#include <errno.h>
#include <getopt.h>

#include "base/macro.h"
#include "base/parse.h"

/* getopt_long() returns this and the option's id for options that are no letter. */
#define LONG_OPTION 256
/* Letters that are no options, so that what is said of them is ours. */
#define DIGITS "0123456789"

static int complain(const char *what, const char *value, const char *expected)
{
        fprintf(stderr, "balancectl: %s %s: expected %s\n", what, value, expected);
        return -EINVAL;
}

/* For what looks like a negative number. */
static int complain_number(int digit)
{
        fprintf(stderr,
                "balancectl: there is no option -%c; threads and processes have numbers from 1 "
                "on\n",
                digit);
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
                if (!*value)
                        return complain("--socket", "\"\"", "a path");
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
                if (option_rows[id].name)
                        *ret_long++ = (struct option){option_rows[id].name,
                                                      option_rows[id].argument ? required_argument
                                                                               : no_argument,
                                                      NULL, LONG_OPTION + (int)id};
                if (option_rows[id].letter)
                        *ret_letters++ = option_rows[id].letter;
                if (option_rows[id].letter && option_rows[id].argument)
                        *ret_letters++ = ':';
        }
        *ret_long = (struct option){0};
        memcpy(ret_letters, DIGITS, sizeof(DIGITS));
}

static enum option_id option_of(int c)
{
        enum option_id id = 0;

        if (c >= LONG_OPTION)
                return (enum option_id)(c - LONG_OPTION);
        while (option_rows[id].letter != c)
                id++;
        return id;
}

/* Returns 0 and the set of options that were given. */
static int parse_options(struct request *request, int argc, char **argv, unsigned *ret_given)
{
        struct option names[_OPTION_MAX + 1];
        char letters[2 * _OPTION_MAX + sizeof(DIGITS)];
        unsigned given = 0;
        int c;

        list_options(names, letters);
        while ((c = getopt_long(argc, argv, letters, names, NULL)) >= 0) {
                enum option_id id;

                if (c == '?')
                        return -EINVAL;
                if (c >= '0' && c <= '9')
                        return complain_number(c);
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

static int complain_verb(const struct verb *verbs, const char *name)
{
        fprintf(stderr, "balancectl: there is no command \"%s\"; there are", name);
        for (const struct verb *verb = verbs; verb->name; verb++)
                fprintf(stderr, "%s %s", verb == verbs ? "" : ",", verb->name);
        (void)fputc('\n', stderr);
        return -EINVAL;
}

static int check_options(const struct verb *verb, unsigned given)
{
        for (enum option_id id = 0; id < _OPTION_MAX; id++) {
                if (!(given & ~(verb->options | OPTIONS_OF_EVERY_VERB) & (1U << id)))
                        continue;
                if (option_rows[id].name)
                        fprintf(stderr, "balancectl: %s takes no --%s\n", verb->name,
                                option_rows[id].name);
                else
                        fprintf(stderr, "balancectl: %s takes no -%c\n", verb->name,
                                option_rows[id].letter);
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
        if (n == 0 && (verb->operand == OPERAND_TID || request->all_tasks)) {
                fprintf(stderr, "balancectl: %s%s: which %s? Give its number\n", verb->name,
                        request->all_tasks ? " --all-tasks" : "",
                        request->all_tasks ? "process" : "thread");
                return -EINVAL;
        }
        if (n > 0 && parse_pid(operands[0], &request->id) < 0)
                return complain(verb->name, operands[0],
                                request->all_tasks ? "the number of a process"
                                                   : "the number of a thread");
        return 0;
}

int request_parse(struct request *ret, const struct verb *verbs, int argc, char **argv)
{
        struct request request = {.timeout = OPTION_TIMEOUT_DEFAULT, .legend = true};
        unsigned given;

        terminal_probe(&request.terminal, STDOUT_FILENO);
        if (parse_options(&request, argc, argv, &given) < 0)
                return -EINVAL;
        if (optind < argc && streq(argv[optind], "help")) {
                request.help = true;
                optind++;
        }
        if (optind < argc) {
                request.verb = find_verb(verbs, argv[optind]);
                if (!request.verb)
                        return complain_verb(verbs, argv[optind]);
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
