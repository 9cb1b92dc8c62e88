/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text of /proc/pressure/cpu (Documentation/accounting/psi.rst). Does no reading. */

#include <stddef.h>
#include <stdint.h>

/* The time for which some thread waited for a CPU, weighted by the kernel's own rules: of use only
 * to see whether it grew. Returns 0, or -EPROTO. */
int pressure_parse(const char *text, size_t length, uint64_t *ret_some_total_usec);
