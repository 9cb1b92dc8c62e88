/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether a run met its scenario's goal. */

#include "sim/run.h"
#include "sim/scenario.h"

#define VERDICT_TEXT_SIZE 160

/* Writes the goal as words: "eff >= .998, 7 moves by 60 ms". Returns RET. */
char *verdict_goal(const struct goal *goal, char ret[static VERDICT_TEXT_SIZE]);

/* Whether RESULT meets GOAL; if not, RET says what it missed, otherwise it is empty. */
bool verdict_met(const struct goal *goal, const struct run_result *result,
                 char ret_missed[static VERDICT_TEXT_SIZE]);
