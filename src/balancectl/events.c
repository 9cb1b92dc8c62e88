/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/events.h"

#include <syslog.h>

#include "balancectl/cells.h"
#include "balancectl/fields.h"
#include "base/macro.h"

static const char *moment(const json_t *event, char buffer[static WORDS_SIZE])
{
        int64_t usec;

        return format_moment(field_integer(event, "timeUSec", &usec) ? usec : -1, buffer);
}

static const char *describe_result(const char *result)
{
        static const struct {
                const char *result, *words;
        } known[] = {
                {"asleep", "it fell asleep"},
                {"gone", "it has ended"},
                {"foreign", "somebody else has set its affinity"},
                {"denied", "permission denied"},
                {"invalid", "its cpuset forbids that"},
                {"noRoom", "the ledger is full"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(result, known[i].result))
                        return known[i].words;
        return result;
}

static void print_outcome(const json_t *decision)
{
        const char *result = field_text(decision, "result", NULL);
        const char *error = field_text(decision, "error", NULL);
        char from[WORDS_SIZE], to[WORDS_SIZE], took[WORDS_SIZE];

        printf("%s from CPU %s to %s",
               !result                  ? "would be moved"
               : streq(result, "moved") ? "moved"
                                        : "not moved",
               cell_integer(decision, "from", from), cell_integer(decision, "to", to));
        if (result && streq(result, "moved"))
                printf(" in %s", cell_span(decision, "durationUSec", took));
        else if (result)
                printf(" (%s%s%s)", describe_result(result), error ? ", " : "", error ? error : "");
}

/* Whether there are as many competitors there or more: what decided is their weight, or how fast
 * the CPUs are. */
static bool is_by_weight(const json_t *decision)
{
        double from, to;

        return field_number(decision, "loadFrom", &from) && field_number(decision, "loadTo", &to) &&
               to >= from;
}

/* The gain means something else for each reason (struct move). */
static void print_gain(const json_t *decision)
{
        const char *reason = field_text(decision, "reason", "-");
        char buffer[WORDS_SIZE];
        const char *gain = cell_number(decision, "gain", buffer);

        if (streq(reason, "rotate"))
                printf(", taking turns: one is %ss behind", gain);
        else if (streq(reason, "chain"))
                printf(", %s competitors fewer in all", gain);
        else if (is_by_weight(decision))
                printf(", as good as %s competitors fewer by weight or speed", gain);
        else
                printf(", %s competitors fewer", gain);
}

static void print_reason(const json_t *decision)
{
        char chain[WORDS_SIZE], from[WORDS_SIZE], to[WORDS_SIZE];

        printf("%s", field_text(decision, "reason", "-"));
        if (json_object_get(decision, "chain"))
                printf(" %s", cell_integer(decision, "chain", chain));
        print_gain(decision);
        printf(" (load %s, there %s)", cell_number(decision, "loadFrom", from),
               cell_number(decision, "loadTo", to));
}

static enum colour colour_of(const json_t *decision)
{
        const char *result = field_text(decision, "result", "moved");

        return streq(result, "moved") ? COLOUR_NONE : COLOUR_BAD;
}

void print_decision(const struct terminal *terminal, const json_t *decision)
{
        enum colour colour = colour_of(decision);
        char time[WORDS_SIZE], tid[WORDS_SIZE];

        printf("%s%s %s[%s] ", terminal_on(terminal, colour), moment(decision, time),
               field_text(decision, "comm", "-"), cell_integer(decision, "tid", tid));
        print_outcome(decision);
        printf(": ");
        print_reason(decision);
        printf("%s\n", terminal_off(terminal, colour));
}

static const char *level_name(const json_t *notice)
{
        static const char *const names[] = {
                [LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",     [LOG_CRIT] = "critical",
                [LOG_ERR] = "error",       [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
                [LOG_INFO] = "info",       [LOG_DEBUG] = "debug",
        };
        int64_t level;

        if (!field_integer(notice, "level", &level) || (uint64_t)level >= ARRAY_SIZE(names))
                return "notice";
        return names[level];
}

void print_notice(const struct terminal *terminal, const json_t *notice)
{
        int64_t level;
        enum colour colour = field_integer(notice, "level", &level) && level <= LOG_WARNING
                                     ? COLOUR_BAD
                                     : COLOUR_NONE;
        char time[WORDS_SIZE];

        printf("%s%s %s: %s%s\n", terminal_on(terminal, colour), moment(notice, time),
               level_name(notice), field_text(notice, "text", "-"), terminal_off(terminal, colour));
}

void print_lost(const struct terminal *terminal, const json_t *reply)
{
        char count[WORDS_SIZE];

        printf("%s%s came too fast to be shown%s\n", terminal_on(terminal, COLOUR_BAD),
               cell_count(reply, "lost", "event", count), terminal_off(terminal, COLOUR_BAD));
}
