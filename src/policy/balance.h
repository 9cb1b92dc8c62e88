/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The balance pass: on CPUs that the kernel leaves alone, the best single move off the most loaded
 * CPU, again and again; where there is none, a chain. */

#include <stdbool.h>

struct planner;

/* Until the plan has BUDGET moves (a chain that was begun is finished), or nothing gains. */
void balance_pass(struct planner *p, unsigned budget);

/* Whether THREAD by itself gains enough by going anywhere, as things are before the pass. */
bool balance_gains(struct planner *p, unsigned thread);
