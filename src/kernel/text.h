/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parsers of kernel text share: the kernel ends every line that it writes, so one without
 * its newline was cut off and is no line at all. */

#include <stdbool.h>
#include <stdint.h>

#include "base/parse.h"

/* Takes a line without its newline; false at the end, and where the newline is missing. */
bool text_line(struct scanner *s, struct scanner *ret_line);

/* Takes a decimal number and the one blank behind it. False, and nothing is taken, where there is
 * none, it is too large, or neither a blank nor the end follows it. The kernel writes one blank:
 * two of them have lost a number, and all that follows would be taken for its neighbour. */
bool text_number(struct scanner *s, uint64_t *ret);

/* Takes the numbers to the end of S. False where there is anything else, or fewer than LEAST. */
bool text_only_numbers(struct scanner *s, unsigned least);
