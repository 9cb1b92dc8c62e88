/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl status: how the daemon is, in words. */

#include <errno.h>

#include "balancectl/cells.h"
#include "balancectl/fields.h"
#include "balancectl/print.h"
#include "balancectl/session.h"
#include "balancectl/verbs.h"
#include "base/cpuset.h"

static void print_daemon(const struct terminal *terminal, const json_t *status)
{
        char pid[WORDS_SIZE];

        print_card(terminal, "Daemon", "balancerd %s, PID %s%s", field_text(status, "version", "-"),
                   cell_integer(status, "pid", pid),
                   field_flag(status, "observing") ? ", observing only: it moves nothing" : "");
}

/* The daemon tells its start by the clock as it is set now: later than now it is only where the
 * clock was set back between its answer and this reading, and then it tells nothing. */
static void print_age(const struct terminal *terminal, const json_t *status)
{
        nsec_t now = clock_now_nsec(CLOCK_REALTIME), started;
        char span[WORDS_SIZE], date[WORDS_SIZE];

        if (!field_span(status, "startedUSec", &started) || started > now)
                return;
        print_card(terminal, "Running", "for %s, since %s", format_age(now - started, span),
                   format_date((int64_t)(started / NSEC_PER_USEC), date));
}

/* Lists in words: "balancing 0-1 itself; the kernel balances 2-7". OTHERS: those that are online
 * and not UNBALANCED. */
static void print_division(const struct terminal *terminal, const char *unbalanced,
                           const char *others)
{
        if (!*unbalanced)
                print_card(terminal, "CPUs", "the kernel balances %s", others);
        else if (!*others)
                print_card(terminal, "CPUs", "balancing %s itself", unbalanced);
        else
                print_card(terminal, "CPUs", "balancing %s itself; the kernel balances %s",
                           unbalanced, others);
}

static int print_cpus(const struct terminal *terminal, const json_t *status)
{
        const char *online = field_text(status, "onlineCpus", "-");
        const char *unbalanced = field_text(status, "unbalancedCpus", "-");
        _cleanup_cpuset_ struct cpuset set = {0}, others = {0};
        _cleanup_free_ char *list = NULL;
        int r;

        r = cpuset_parse_list(online, strlen(online), &others);
        if (r >= 0)
                r = cpuset_parse_list(unbalanced, strlen(unbalanced), &set);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                print_card(terminal, "CPUs", "%s, not balanced by the kernel: %s", online,
                           unbalanced);
                return 0;
        }
        cpuset_subtract(&others, &set);
        r = cpuset_format_list(&others, &list);
        if (r >= 0)
                print_division(terminal, unbalanced, list);
        return r;
}

static void print_trouble(const struct terminal *terminal, const json_t *status)
{
        static const struct {
                const char *trouble, *words;
        } known[] = {
                {"quiet", "nothing waits that balancerd should move"},
                {"balanced", "threads wait, but only where the kernel balances"},
                {"unbalanced", "threads wait where the kernel does not balance"},
        };
        const char *trouble = field_text(status, "trouble", "-");
        char interval[WORDS_SIZE];
        nsec_t between;

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(trouble, known[i].trouble))
                        trouble = known[i].words;
        if (!field_span(status, "intervalUSec", &between) || between > 0)
                print_card(terminal, "Now", "%s; looks every %s", trouble,
                           cell_span(status, "intervalUSec", interval));
        else
                print_card(terminal, "Now", "%s", trouble); /* there was one sample only */
}

static void print_threads(const struct terminal *terminal, const json_t *status)
{
        char known[WORDS_SIZE], watched[WORDS_SIZE], narrow[WORDS_SIZE];
        char kept[WORDS_SIZE];

        print_card(terminal, "Threads",
                   "%s known, %s watched, %s narrow at this moment, %s kept for children",
                   cell_integer(status, "threads", known), cell_integer(status, "watched", watched),
                   cell_integer(status, "narrow", narrow),
                   cell_integer(status, "keptForChildren", kept));
}

static void print_counts(const struct terminal *terminal, const json_t *status)
{
        char moves[WORDS_SIZE], missed[WORDS_SIZE], failed[WORDS_SIZE];
        char samples[WORDS_SIZE], plans[WORDS_SIZE];

        print_card(terminal, "Moves", "%s, %s missed, %s failed",
                   cell_count(status, "moves", "move", moves),
                   cell_integer(status, "missedMoves", missed),
                   cell_integer(status, "failedMoves", failed));
        print_card(terminal, "Work", "%s, %s", cell_count(status, "samples", "sample", samples),
                   cell_count(status, "plans", "plan", plans));
}

/* What is lost without a source of the kernel. */
static const char *cost_of(const char *source)
{
        static const struct {
                const char *source, *cost;
        } known[] = {
                {"pressure", "whether anything waited is told from the threads, which costs more"},
                {"schedstat", "where threads waited is told from the threads, which costs more"},
                {"stat", "idle CPUs cannot be seen, so stuck threads are not moved"},
                {"threadSchedstat", "how long threads waited cannot be seen: nothing is balanced"},
                {"events", "new threads are found later"},
                {"taskstats", "switch counts are read from status files"},
                {"cgroup", "CPUs count as balanced unless the kernel lists them as isolated"},
                {"hwloc", "CPUs are taken to be equal and to share a cache"},
                {"processes", "other users' threads are not seen (hidepid= of /proc)"},
                {"affinity", "other users' threads are not moved (CAP_SYS_NICE)"},
                {"realtime", "a move may wait for busy CPUs (CAP_SYS_NICE)"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(source, known[i].source))
                        return known[i].cost;
        return "it is not known here what that costs";
}

static void print_missing(const struct terminal *terminal, const json_t *sources)
{
        const char *key = "Missing";

        for (size_t i = 0; i < json_array_size(sources); i++) {
                const char *source = json_string_value(json_array_get(sources, i));

                if (!source)
                        continue;
                print_card(terminal, key, "%s: %s", source, cost_of(source));
                key = NULL;
        }
}

static void print_configuration(const struct terminal *terminal, const json_t *files)
{
        const char *key = "Configuration";

        if (json_is_array(files) && json_array_size(files) == 0)
                print_card(terminal, key, "the defaults; there is no file");
        for (size_t i = 0; i < json_array_size(files); i++) {
                const char *file = json_string_value(json_array_get(files, i));

                print_card(terminal, i == 0 ? key : NULL, "%s", file ? file : "-");
        }
}

static void print_access(const struct terminal *terminal, const json_t *status)
{
        const char *words = field_flag(status, "privileged") ? "you may do everything"
                            : field_flag(status, "seesAll")  ? "you see everybody's threads"
                                                             : "you see your own threads";
        char connections[WORDS_SIZE];

        print_card(terminal, "Access", "%s; connections: %s", words,
                   cell_integer(status, "connections", connections));
}

static int print(const struct request *request, const json_t *status)
{
        const struct terminal *terminal = &request->terminal;
        int r;

        print_daemon(terminal, status);
        print_age(terminal, status);
        r = print_cpus(terminal, status);
        if (r < 0)
                return tell_no_memory();
        print_trouble(terminal, status);
        print_counts(terminal, status);
        print_threads(terminal, status);
        print_missing(terminal, json_object_get(status, "missingSources"));
        print_configuration(terminal, json_object_get(status, "configuration"));
        print_access(terminal, status);
        return 0;
}

int verb_status(const struct request *request)
{
        return session_query(request, "GetStatus", print);
}
