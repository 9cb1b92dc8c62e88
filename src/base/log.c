/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/parse.h"

/* With its newlines it is below PIPE_BUF: a pipe takes the whole line or nothing. */
#define LINE_SIZE   1024
#define PREFIX_SIZE 64

static struct {
        int max_level;
        struct journal journal; /* not open: standard error is the target */
        int own_fd; /* standard error once more, never blocking; -EBADF: there is none */
        bool cut;   /* of the last line only a part was taken */
        unsigned long n_dropped;
} log_target = {.max_level = LOG_INFO, .journal.fd = -1, .own_fd = -EBADF};

/* systemd.exec(5): JOURNAL_STREAM holds "DEVICE:INODE" of the stream that goes to the journal. */
static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        struct scanner s;
        struct stat st;
        uint64_t device, inode;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        s = (struct scanner){stream, stream + strlen(stream)};
        return scan_u64(&s, &device) && scan_char(&s, ':') && scan_u64(&s, &inode) &&
               scan_end(&s) && device == st.st_dev && inode == st.st_ino;
}

/* O_NONBLOCK belongs to the open file, which is shared with whoever started us: so terminals and
 * pipes are opened once more. For files it would be a position of its own, and they never block. */
static int open_stderr_again(void)
{
        struct stat st;

        if (fstat(STDERR_FILENO, &st) < 0)
                return -errno;
        if (!S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode))
                return -EOPNOTSUPP;
        return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_init(int max_level)
{
        log_target.max_level = max_level;
        journal_close(&log_target.journal);
        closep(&log_target.own_fd);
        log_target.own_fd = -EBADF;
        log_target.cut = false;
        log_target.n_dropped = 0;
        if (!stderr_is_journal() || log_to_journal(JOURNAL_SOCKET) < 0)
                log_target.own_fd = open_stderr_again();
}

int log_to_journal(const char *path)
{
        struct journal journal;
        int r;

        r = journal_open(&journal, path);
        if (r < 0)
                return r;
        journal_close(&log_target.journal);
        log_target.journal = journal;
        return 0;
}

/* Returns whether all of TEXT was taken. Where standard error could not be opened again (a socket,
 * another user's terminal), it is asked first: a pipe that is ready takes a line. */
static bool write_at_once(const char *text, size_t length)
{
        int fd = log_target.own_fd >= 0 ? log_target.own_fd : STDERR_FILENO;
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&room, 1, 0) <= 0 || !(room.revents & POLLOUT))
                return false;
        n = write(fd, text, length);
        if (n > 0)
                log_target.cut = (size_t)n < length;
        return n >= 0 && (size_t)n == length;
}

static bool write_line(const char *prefix, const char *line)
{
        char text[LINE_SIZE + PREFIX_SIZE + 2];
        int n;

        n = snprintf(text, sizeof(text), "%s%s%s\n", log_target.cut ? "\n" : "", prefix, line);
        return write_at_once(text, (size_t)n);
}

static bool send_line(int level, struct journal_entry *fields, const char *line)
{
        journal_addf(fields, "MESSAGE", "%s", line);
        journal_addf(fields, "PRIORITY", "%d", level);
        journal_addf(fields, "SYSLOG_IDENTIFIER", "%s", program_invocation_short_name);
        return journal_send(&log_target.journal, fields) == 0;
}

/* BARE: without a prefix on standard error. */
static bool deliver(int level, struct journal_entry *fields, const char *line, bool bare)
{
        char prefix[PREFIX_SIZE] = "";

        if (log_target.journal.fd >= 0)
                return send_line(level, fields, line);
        if (!bare)
                (void)snprintf(prefix, sizeof(prefix), "%s: ", program_invocation_short_name);
        return write_line(prefix, line);
}

static bool tell_dropped(void)
{
        struct journal_entry fields;
        char line[80];

        if (log_target.n_dropped == 0)
                return true;
        (void)snprintf(line, sizeof(line), "%lu lines were dropped: nobody took them",
                       log_target.n_dropped);
        journal_entry_init(&fields);
        journal_addf(&fields, "MESSAGE_ID", "%s", LOG_DROPPED_MESSAGE_ID);
        journal_addf(&fields, "BALANCERD_DROPPED", "%lu", log_target.n_dropped);
        if (!deliver(LOG_WARNING, &fields, line, false))
                return false;
        log_target.n_dropped = 0;
        return true;
}

static void log_any(int level, struct journal_entry *fields, const char *line, bool bare)
{
        if (level > log_target.max_level)
                return;
        if (!tell_dropped() || !deliver(level, fields, line, bare))
                log_target.n_dropped++;
}

void log_fields(int level, struct journal_entry *fields, const char *line)
{
        log_any(level, fields, line, false);
}

void log_record(int level, struct journal_entry *fields, const char *line)
{
        log_any(level, fields, line, true);
}

void log_line(int level, const char *format, ...)
{
        struct journal_entry fields;
        char line[LINE_SIZE];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        journal_entry_init(&fields);
        log_fields(level, &fields, line);
}

int log_error_errno(int error, const char *format, ...)
{
        char line[768];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        log_error("%s: %s", line, strerror(-error));
        return error;
}

void log_flush(void)
{
        if (log_target.journal.fd >= 0)
                journal_flush(&log_target.journal);
}
