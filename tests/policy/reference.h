/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Slow and plain: what the policy should reach, worked out another way and sharing none of its
 * code. */

#include "machine.h"

/* The potential of plan.h: each thread in turn put onto an empty machine, what it sees summed. */
double reference_potential(const struct machine *m);

/* Half the squared demand of each CPU up to where it is busy all the time, linear from there:
 * falls with every move that puts idle time to use, and with no other. */
double reference_waste(const struct machine *m);

/* Half the sum of squared weights. */
double reference_weight_potential(const struct machine *m);

/* The most threads that can run at a time, one a CPU: a maximum matching over the masks. */
unsigned reference_matching(const struct machine *m);
