/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/journal.h"

#include <endian.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/time.h"

/* With its final NUL. */
#define FORMATTED_SIZE 1025

int journal_open(struct journal *journal, const char *path)
{
        struct journal opened = {.address = {.sun_family = AF_UNIX}};
        size_t length = strlen(path);

        if (length >= sizeof(opened.address.sun_path))
                return -ENAMETOOLONG;
        memcpy(opened.address.sun_path, path, length + 1);
        opened.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (opened.fd < 0)
                return -errno;
        *journal = opened;
        return 0;
}

void journal_close(struct journal *journal)
{
        closep(&journal->fd);
        journal->fd = -1;
}

static char *put(char *at, const void *data, size_t length)
{
        memcpy(at, data, length);
        return at + length;
}

/* In the larger of the two forms. */
static bool has_room(const struct journal_entry *entry, size_t name_length, size_t length)
{
        size_t left = sizeof(entry->data) - entry->length;

        return length < left && name_length + 1 + sizeof(uint64_t) + length + 1 <= left;
}

/* As text a value ends with the line; one that has lines itself goes with its length before it. */
void journal_add(struct journal_entry *entry, const char *name, const void *value, size_t length)
{
        uint64_t stored_length = htole64(length);
        size_t name_length = strlen(name);
        char *at = entry->data + entry->length;

        if (!has_room(entry, name_length, length))
                return;
        at = put(at, name, name_length);
        if (!memchr(value, '\n', length)) {
                at = put(at, "=", 1);
        } else {
                at = put(at, "\n", 1);
                at = put(at, &stored_length, sizeof(stored_length));
        }
        at = put(at, value, length);
        at = put(at, "\n", 1);
        entry->length = (size_t)(at - entry->data);
}

void journal_addf(struct journal_entry *entry, const char *name, const char *format, ...)
{
        char value[FORMATTED_SIZE];
        va_list args;
        int length;

        va_start(args, format);
        length = vsnprintf(value, sizeof(value), format, args);
        va_end(args);
        if (length >= 0)
                journal_add(entry, name, value, MIN((size_t)length, sizeof(value) - 1));
}

/* The address goes with every datagram: a journal that was started anew has another socket there.
 */
int journal_send(const struct journal *journal, const struct journal_entry *entry)
{
        ssize_t n;

        n = sendto(journal->fd, entry->data, entry->length, MSG_DONTWAIT | MSG_NOSIGNAL,
                   (const struct sockaddr *)&journal->address, sizeof(journal->address));
        return n < 0 ? -errno : 0;
}

/* There is no waiting for it but by asking. */
void journal_flush(const struct journal *journal)
{
        const nsec_t until = clock_now_nsec(CLOCK_MONOTONIC) + JOURNAL_FLUSH_MSEC * NSEC_PER_MSEC;
        const struct timespec pause = {.tv_nsec = (long)NSEC_PER_MSEC};
        int n_left;

        while (ioctl(journal->fd, SIOCOUTQ, &n_left) == 0 && n_left > 0 &&
               clock_now_nsec(CLOCK_MONOTONIC) < until)
                (void)nanosleep(&pause, NULL);
}
