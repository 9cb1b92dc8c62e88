/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/cells.h"

#include <inttypes.h>
#include <stdio.h>

#include "balancectl/fields.h"
#include "base/macro.h"

#define MISSING "-"

const char *cell_integer(const json_t *object, const char *key, char buffer[static WORDS_SIZE])
{
        int64_t value;

        if (!field_integer(object, key, &value))
                return MISSING;
        (void)snprintf(buffer, WORDS_SIZE, "%" PRId64, value);
        return buffer;
}

const char *cell_count(const json_t *object, const char *key, const char *noun,
                       char buffer[static WORDS_SIZE])
{
        int64_t value;

        if (!field_integer(object, key, &value))
                (void)snprintf(buffer, WORDS_SIZE, MISSING " %ss", noun);
        else
                (void)snprintf(buffer, WORDS_SIZE, "%" PRId64 " %s%s", value, noun,
                               value == 1 ? "" : "s");
        return buffer;
}

const char *cell_number(const json_t *object, const char *key, char buffer[static WORDS_SIZE])
{
        double value;

        return field_number(object, key, &value) ? format_number(value, buffer) : MISSING;
}

const char *cell_share(const json_t *object, const char *key, char buffer[static WORDS_SIZE])
{
        double value;

        return field_number(object, key, &value) ? format_share(value, buffer) : MISSING;
}

const char *cell_span(const json_t *object, const char *key, char buffer[static WORDS_SIZE])
{
        nsec_t value;

        return field_span(object, key, &value) ? format_span(value, buffer) : MISSING;
}

const char *cell_verdict(const json_t *thread)
{
        static const struct {
                const char *verdict, *words;
        } known[] = {
                {"unwatched", "not watched"},  {"kernelThread", "kernel thread"},
                {"deadline", "deadline"},      {"pinned", "pinned"},
                {"realtime", "real-time"},     {"self", "balancerd itself"},
                {"denied", "not permitted"},   {"leftAlone", "left alone"},
                {"moving", "being moved"},     {"asleep", "asleep"},
                {"content", "content"},        {"settling", "settling"},
                {"patient", "waits a little"}, {"nowhereBetter", "nowhere better"},
                {"candidate", "to be moved"},  {"switchedOff", "switched off"},
        };
        const char *verdict = field_text(thread, "verdict", MISSING);

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(verdict, known[i].verdict))
                        return known[i].words;
        return verdict;
}
