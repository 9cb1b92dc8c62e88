/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/verdict.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/macro.h"

/* The figures are means of means: what is less than this apart is equal. */
#define EPSILON 1e-9

/* Adds to the text in TEXT, with a comma before all but the first part. */
static void _printf_(2, 3) append(char *text, const char *format, ...)
{
        size_t length = strlen(text);
        va_list arguments;

        if (length > 0 && length + 2 < VERDICT_TEXT_SIZE) {
                memcpy(text + length, ", ", 3);
                length += 2;
        }
        va_start(arguments, format);
        (void)vsnprintf(text + length, VERDICT_TEXT_SIZE - length, format, arguments);
        va_end(arguments);
}

char *verdict_goal(const struct goal *goal, char ret[static VERDICT_TEXT_SIZE])
{
        ret[0] = '\0';
        if (goal->eff > 0)
                append(ret, "eff >= %.3f", goal->eff);
        if (goal->eff_of_fixed > 0)
                append(ret, "eff >= %.3f of static", goal->eff_of_fixed);
        if (goal->eff_of_untouched > 0)
                append(ret, "eff >= %.3f of none", goal->eff_of_untouched);
        if (goal->fair > 0)
                append(ret, "fair >= %.2f", goal->fair);
        if (goal->has_moves)
                append(ret, "%u moves", goal->n_moves);
        if (goal->has_moves && goal->n_moves > 0)
                append(ret, "all by %.2f s", nsec_to_sec(goal->done_by));
        if (goal->calm)
                append(ret, "mv/s <= %.3g", goal->moves_per_sec);
        return ret;
}

static void check_least(char *missed, const char *what, double least, double got)
{
        if (least > 0 && got < least - EPSILON)
                append(missed, "%s %.4f < %.4f", what, got, least);
}

bool verdict_met(const struct goal *goal, const struct run_result *result,
                 char ret_missed[static VERDICT_TEXT_SIZE])
{
        ret_missed[0] = '\0';
        check_least(ret_missed, "eff", goal->eff, result->eff);
        check_least(ret_missed, "eff", goal->eff_of_fixed * result->fixed, result->eff);
        check_least(ret_missed, "eff", goal->eff_of_untouched * result->untouched, result->eff);
        check_least(ret_missed, "fair", goal->fair, result->fair);
        if (goal->has_moves && result->n_moves != goal->n_moves)
                append(ret_missed, "%u moves", result->n_moves);
        if (goal->has_moves && result->last_move > goal->done_by)
                append(ret_missed, "moved at %.3f s", nsec_to_sec(result->last_move));
        if (goal->calm && result->moves_per_sec > goal->moves_per_sec + EPSILON)
                append(ret_missed, "mv/s %.3g", result->moves_per_sec);
        if (result->n_reported != result->n_moves)
                append(ret_missed, "%u moves reported of %u", result->n_reported, result->n_moves);
        if (result->n_not_given_back > 0)
                append(ret_missed, "%u masks not given back", result->n_not_given_back);
        return ret_missed[0] == '\0';
}
