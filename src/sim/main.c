/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancerd-sim: carries out scenarios and prints what they came to beside the policy study. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "base/log.h"
#include "base/macro.h"
#include "base/parse.h"
#include "engine/decisions.h"
#include "sim/run.h"
#include "sim/scenario.h"
#include "sim/verdict.h"

/* As the daemon's own. */
#define LEDGER_RECORDS 4096U

static bool arg_all, arg_list, arg_moves;
static uint64_t arg_seed = 1, arg_seeds = 1;
static nsec_t arg_duration = 30 * NSEC_PER_SEC;
static enum run_mode arg_mode = RUN_BALANCERD;
static struct settings arg_settings;

static int help(void)
{
        puts("balancerd-sim [OPTIONS] SCENARIO...\n\n"
             "Drives balancerd's engine through simulated machines.\n\n"
             "  --all              every scenario\n"
             "  --list             say which there are\n"
             "  --duration=TIME    of each run (30s)\n"
             "  --mode=MODE        none, kernel (balances every CPU) or balancerd\n"
             "  --moves            print each decision\n"
             "  --seed=N           of the first run (1)\n"
             "  --seeds=N          runs of each scenario, whose mean is printed (1)\n"
             "  --set=KEY=VALUE    a setting of the daemon\n"
             "  --help\n\n"
             "eff: work over that of a free global queue; none: the same without balancerd;\n"
             "static: best fixed placement; fair: the worst thread's work over its share of the\n"
             "free queue; mv/s: moves a second in the second half; in brackets what the policy\n"
             "study has. Exit status 1 if a goal is missed.");
        return 0;
}

static int parse_mode(const char *text, enum run_mode *ret)
{
        if (streq(text, "none"))
                *ret = RUN_NONE;
        else if (streq(text, "kernel"))
                *ret = RUN_KERNEL;
        else if (streq(text, "balancerd"))
                *ret = RUN_BALANCERD;
        else
                return -EINVAL;
        return 0;
}

static int parse_setting(const char *text)
{
        const char *equals = strchr(text, '='), *expected = "KEY=VALUE with a key of balancerd";
        char key[64];
        int r = -EINVAL;

        if (equals && (size_t)(equals - text) < sizeof(key)) {
                memcpy(key, text, (size_t)(equals - text));
                key[equals - text] = '\0';
                r = settings_set(&arg_settings, key, equals + 1, &expected);
        }
        if (r < 0)
                return log_error_errno(r, "--set=%s: expected %s", text, expected);
        return 0;
}

enum option_code {
        OPTION_ALL = 256,
        OPTION_DURATION,
        OPTION_HELP,
        OPTION_LIST,
        OPTION_MODE,
        OPTION_MOVES,
        OPTION_SEED,
        OPTION_SEEDS,
        OPTION_SET,
};

static const struct option options[] = {
        {"all", no_argument, NULL, OPTION_ALL},
        {"duration", required_argument, NULL, OPTION_DURATION},
        {"help", no_argument, NULL, OPTION_HELP},
        {"list", no_argument, NULL, OPTION_LIST},
        {"mode", required_argument, NULL, OPTION_MODE},
        {"moves", no_argument, NULL, OPTION_MOVES},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"seeds", required_argument, NULL, OPTION_SEEDS},
        {"set", required_argument, NULL, OPTION_SET},
        {0},
};

static int parse_option(int code)
{
        int r = 0;

        switch (code) {
        case OPTION_ALL:
                arg_all = true;
                break;
        case OPTION_LIST:
                arg_list = true;
                break;
        case OPTION_MOVES:
                arg_moves = true;
                break;
        case OPTION_DURATION:
                r = parse_nsec(optarg, &arg_duration);
                if (r == 0 && (arg_duration < NSEC_PER_MSEC || arg_duration > 3600 * NSEC_PER_SEC))
                        r = -ERANGE;
                break;
        case OPTION_MODE:
                r = parse_mode(optarg, &arg_mode);
                break;
        case OPTION_SEED:
                r = parse_u64(optarg, &arg_seed);
                break;
        case OPTION_SEEDS:
                r = parse_u64(optarg, &arg_seeds);
                if (r == 0 && (arg_seeds == 0 || arg_seeds > 10000))
                        r = -ERANGE;
                break;
        case OPTION_SET:
                return parse_setting(optarg);
        default: /* getopt_long() has said why */
                return -EINVAL;
        }
        if (r < 0)
                return log_error_errno(r, "Cannot take %s", optarg);
        return 0;
}

/* Returns 1 to go on, 0 when all is said, or a negative errno. */
static int parse_argv(int argc, char *argv[])
{
        int code, r;

        while ((code = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (code == OPTION_HELP)
                        return help();
                r = parse_option(code);
                if (r < 0)
                        return r;
        }
        if (!arg_all && !arg_list && optind == argc) {
                log_error("Which scenario? --list names them, --all takes every one.");
                return -EINVAL;
        }
        return 1;
}

static int list(void)
{
        const struct scenario *scenario;

        for (unsigned i = 0; (scenario = scenario_get(i)); i++)
                printf("%-22s %s\n", scenario->name, scenario->what);
        return 0;
}

/* The ledger is a real one, in a folder of its own that is gone afterwards. */
static int open_ledger(struct ledger **ret)
{
        char path[] = "/tmp/balancerd-sim-XXXXXX";
        _cleanup_close_ int fd = -1;
        int r;

        if (!mkdtemp(path))
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = ledger_open(ret, fd, LEDGER_RECORDS, CPUSET_MAX);
        (void)unlinkat(fd, "ledger", 0);
        (void)rmdir(path);
        return r;
}

static void print_decision(const struct decision *decision, void *userdata)
{
        char line[DECISION_LINE_SIZE];

        (void)userdata;
        decision_format(decision, line);
        printf("  %.3f %s\n", nsec_to_sec(decision->at), line);
}

static void add_result(struct run_result *sum, const struct run_result *result)
{
        sum->eff += result->eff;
        sum->untouched += result->untouched;
        sum->fixed += result->fixed;
        sum->fair += result->fair;
        sum->moves_per_sec += result->moves_per_sec;
}

/* Means, but for what must hold in every single run: of that, the run that went furthest wrong. */
static void add_exact(struct run_result *sum, const struct run_result *result,
                      const struct goal *goal, bool first)
{
        sum->last_move = MAX(sum->last_move, result->last_move);
        sum->n_not_given_back += result->n_not_given_back;
        if (first || (goal->has_moves && result->n_moves != goal->n_moves) ||
            result->n_moves != result->n_reported) {
                sum->n_moves = result->n_moves;
                sum->n_reported = result->n_reported;
        }
}

static int run_seeds(const struct scenario *scenario, struct ledger *ledger,
                     struct run_result *ret_mean)
{
        struct run_options run_options = {
                .mode = arg_mode,
                .duration = arg_duration,
                .settings = arg_settings,
                .ledger = ledger,
                .on_decision = arg_moves ? print_decision : NULL,
        };
        struct run_result mean = {0};
        double n = (double)arg_seeds;

        for (uint64_t i = 0; i < arg_seeds; i++) {
                struct run_result result;
                int r;

                run_options.seed = arg_seed + i;
                r = run_scenario(scenario, &run_options, &result);
                if (r < 0)
                        return log_error_errno(r, "%s, seed %" PRIu64, scenario->name,
                                               run_options.seed);
                add_result(&mean, &result);
                add_exact(&mean, &result, &scenario->goal, i == 0);
        }
        mean.eff /= n;
        mean.untouched /= n;
        mean.fixed /= n;
        mean.fair /= n;
        mean.moves_per_sec /= n;
        *ret_mean = mean;
        return 0;
}

#define FIGURE_SIZE 24

/* ".998 (.999)": what it came to, and what the study has. */
static const char *figure(double value, double study, char text[static FIGURE_SIZE])
{
        if (study < 0)
                snprintf(text, FIGURE_SIZE, "%.3f", value);
        else
                snprintf(text, FIGURE_SIZE, "%.3f (%.3f)", value, study);
        return text;
}

static void print_head(void)
{
        printf("%-21s %-14s %-14s %-14s %-14s %-13s %5s %8s  %s\n", "scenario", "eff (study)",
               "none", "static", "fair", "mv/s", "moves", "last", "goal");
}

/* Returns whether the goal was met. */
static bool print_result(const struct scenario *scenario, const struct run_result *result)
{
        char text[5][FIGURE_SIZE], goal[VERDICT_TEXT_SIZE], missed[VERDICT_TEXT_SIZE];
        const struct study *study = &scenario->study;
        bool met = verdict_met(&scenario->goal, result, missed);

        printf("%-21s %-14s %-14s %-14s %-14s %-13s %5u %8.3f  %s%s%s\n", scenario->name,
               figure(result->eff, study->eff, text[0]),
               figure(result->untouched, study->untouched, text[1]),
               scenario->has_fixed ? figure(result->fixed, study->fixed, text[2]) : "-",
               figure(result->fair, study->fair, text[3]),
               figure(result->moves_per_sec, study->moves_per_sec, text[4]), result->n_moves,
               nsec_to_sec(result->last_move), verdict_goal(&scenario->goal, goal),
               met ? ": met" : ": MISSED: ", missed);
        fflush(stdout);
        return met;
}

/* Returns the number of goals missed, or a negative errno. */
static int run_one(const struct scenario *scenario, struct ledger *ledger)
{
        struct run_result result = {0};
        int r;

        r = run_seeds(scenario, ledger, &result);
        if (r < 0)
                return r;
        return !print_result(scenario, &result);
}

static int run_all(struct ledger *ledger)
{
        const struct scenario *scenario;
        int n_missed = 0, r;

        for (unsigned i = 0; (scenario = scenario_get(i)); i++) {
                r = run_one(scenario, ledger);
                if (r < 0)
                        return r;
                n_missed += r;
        }
        return n_missed;
}

static int run_named(char *names[], struct ledger *ledger)
{
        int n_missed = 0, r;

        for (; *names; names++) {
                const struct scenario *scenario = scenario_find(*names);

                if (!scenario) {
                        log_error("There is no scenario %s; --list names them.", *names);
                        return -ENOENT;
                }
                r = run_one(scenario, ledger);
                if (r < 0)
                        return r;
                n_missed += r;
        }
        return n_missed;
}

int main(int argc, char *argv[])
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        int r;

        log_init(LOG_INFO);
        settings_init(&arg_settings);
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;
        if (arg_list)
                return list();
        r = open_ledger(&ledger);
        if (r < 0) {
                log_error_errno(r, "Cannot make a ledger");
                return 2;
        }
        print_head();
        r = arg_all ? run_all(ledger) : run_named(argv + optind, ledger);
        if (r < 0)
                return 2;
        return r > 0 && arg_mode == RUN_BALANCERD ? EXIT_FAILURE : EXIT_SUCCESS;
}
