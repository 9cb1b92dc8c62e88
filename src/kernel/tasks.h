/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The folders PID/task/TID below a proc root: walking them and reading their files, in as few
 * system calls and bytes as there can be, for there are many. What the texts mean is thread.h's.
 *
 * A thread that has gone gives -ESRCH; -ENOENT is left for a file that this kernel has not got.
 * Texts that are not understood give -EPROTO. Thread-safe.
 */

#include "kernel/kernel.h"

/* As list_threads and list_process of struct kernel_ops say. */
int tasks_list_processes(int proc_fd, kernel_thread_fn fn, void *userdata);
int tasks_list(int proc_fd, kernel_thread_fn fn, void *userdata);
int tasks_list_process(int proc_fd, pid_t tgid, kernel_thread_fn fn, void *userdata);

/* A descriptor on the folder of the process's threads, and the next that it tells, as next_threads
 * says. */
int tasks_open_process(int proc_fd, pid_t tgid);
int tasks_next(int fd, pid_t *ret_tids, unsigned n);

/* A descriptor on the thread's schedstat, which ends with the thread; and its text. */
int task_open_counters(int proc_fd, pid_t tgid, pid_t tid);
int task_read_counters(int fd, struct kernel_counters *ret);

int task_read_stat(int proc_fd, pid_t tgid, pid_t tid, struct kernel_thread *ret);
int task_read_allowed(int proc_fd, pid_t tgid, pid_t tid, struct cpuset *ret);
int task_read_switches(int proc_fd, pid_t tgid, pid_t tid, struct kernel_switches *ret);
/* As read_owner and find_process of struct kernel_ops say. */
int task_read_owner(int proc_fd, pid_t tgid, pid_t tid, uid_t *ret);
int task_find_process(int proc_fd, pid_t tid, pid_t *ret_tgid);
