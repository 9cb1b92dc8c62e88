/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the program says to its administrator: to the journal when standard error is connected to it
 * (JOURNAL_STREAM of systemd.exec(5)), to standard error otherwise, where the program's name stands
 * in front of each line; the journal knows it. Errors are logged once, where they are handled;
 * base, model, policy and kernel never log.
 *
 * Nobody who does not read it can stop the program: a line that the journal or standard error does
 * not take at once (a journal that stands still, a full pipe, a terminal that was stopped) is
 * dropped, and how many were is told in front of the next one that is taken. The caller ignores
 * SIGPIPE. [one thread]
 */

#include <syslog.h>

#include "base/journal.h"
#include "base/macro.h"

/* The message id of the entry that tells how many lines were dropped, in BALANCERD_DROPPED=. */
#define LOG_DROPPED_MESSAGE_ID "370ed9ccbc0244d4a872bd47f37424d1"

/* Chooses the target. Messages less urgent than MAX_LEVEL (LOG_ERR ... LOG_DEBUG) are dropped. */
void log_init(int max_level);
/* From now on to the journal whose socket is PATH, wherever standard error leads. Returns 0 or a
 * negative errno, the target unchanged. */
int log_to_journal(const char *path);

/* One line, no newline at its end. */
void log_line(int level, const char *format, ...) _printf_(2, 3);

/* The same line with fields for the journal, which FIELDS holds already (but for MESSAGE, PRIORITY
 * and SYSLOG_IDENTIFIER); it is used up. */
void log_fields(int level, struct journal_entry *fields, const char *line);
/* The same without a name in front anywhere: a line of a form that other programs read. */
void log_record(int level, struct journal_entry *fields, const char *line);

/* Before the process ends: as journal_flush() says. */
void log_flush(void);

#define log_error(...)   log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)

/* Logs the line with ": " and the text of ERROR (a negative errno) behind it, and returns ERROR. */
int log_error_errno(int error, const char *format, ...) _printf_(2, 3);
