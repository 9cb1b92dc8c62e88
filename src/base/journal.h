/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Entries for the journal in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram
 * each. sd_journal_send(3) waits while the journal does not read; nothing here does.
 */

#include <stddef.h>
#include <sys/un.h>

#include "base/macro.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal {
        int fd; /* -1: not open */
        struct sockaddr_un address;
};

/* Entries go to the socket at PATH, whoever has it when they are sent: it need not be there yet.
 * Returns 0, -ENAMETOOLONG, or the error of socket(2). */
int journal_open(struct journal *journal, const char *path);
void journal_close(struct journal *journal);

/* The room that an entry has. Larger ones would be possible, and are not needed. */
#define JOURNAL_ENTRY_SIZE 8192U

struct journal_entry {
        size_t length;
        char data[JOURNAL_ENTRY_SIZE];
};

/* Makes it empty; its room is not touched. */
static inline void journal_entry_init(struct journal_entry *entry)
{
        entry->length = 0;
}

/* Appends a field; one that finds no room is left out. NAME consists of capitals, digits and
 * underscores, and begins with a capital; VALUE may be any bytes. */
void journal_add(struct journal_entry *entry, const char *name, const void *value, size_t length);
/* The same with a formatted value, which is cut where it is longer than 1 KiB. */
void journal_addf(struct journal_entry *entry, const char *name, const char *format, ...)
        _printf_(3, 4);

/* Sends it at once or not at all. Returns 0 or a negative errno: -EAGAIN when the journal does not
 * read, -ENOENT or -ECONNREFUSED when there is none. */
int journal_send(const struct journal *journal, const struct journal_entry *entry);

#define JOURNAL_FLUSH_MSEC 500U

/* Waits until the journal has received all that was sent, JOURNAL_FLUSH_MSEC at most. Of a process
 * that has ended it cannot tell any more which unit it belonged to. It looks that up a moment after
 * it has received an entry, which nobody can wait for: the last one may lose its unit still, but
 * seldom. */
void journal_flush(const struct journal *journal);
