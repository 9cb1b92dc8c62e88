/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The texts below /proc/PID/task/TID (proc_pid_stat(5) and its neighbours). They do no reading.
 * Errors are -EPROTO where the text is cut off, out of range or not understood.
 */

#include <stddef.h>

#include "base/cpuset.h"
#include "kernel/kernel.h"

/* schedstat */
int thread_parse_counters(const char *text, size_t length, struct kernel_counters *ret);

/* stat. The name in it may hold any bytes but NUL, line ends and parentheses among them. */
int thread_parse_stat(const char *text, size_t length, struct kernel_thread *ret);

/* voluntary_ctxt_switches and nonvoluntary_ctxt_switches of status. */
int thread_parse_switches(const char *text, size_t length, struct kernel_switches *ret);

/* Tgid of status. */
int thread_parse_process(const char *text, size_t length, pid_t *ret_tgid);

/* Cpus_allowed of status, never empty. Also -ENOMEM, and -ERANGE for a CPU of CPUSET_MAX or more.
 */
int thread_parse_allowed(const char *text, size_t length, struct cpuset *ret);
