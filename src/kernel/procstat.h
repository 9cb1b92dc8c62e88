/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text of /proc/stat (proc_stat(5), fs/proc/stat.c). Does no reading. */

#include <stddef.h>

#include "base/time.h"
#include "kernel/kernel.h"

/*
 * Fills CPUS, growing it as needed, all but run_delay_nsec and has_run_delay, which become 0 and
 * false. CPUs without a line are offline. TICK_NSEC is the unit of the text's times (1 s /
 * sysconf(_SC_CLK_TCK)). Returns 0, -ENOMEM, or -EPROTO where the text is cut off, out of range or
 * not understood: then the values in CPUS mean nothing.
 */
int procstat_parse(const char *text, size_t length, nsec_t tick_nsec, struct kernel_cpus *cpus);
