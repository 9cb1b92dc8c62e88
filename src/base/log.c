/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "base/parse.h"

/* With its newlines it is below PIPE_BUF: a pipe takes the whole line or nothing. */
#define LINE_SIZE 1024

static struct {
        int max_level;
        bool journal;
        int own_fd; /* standard error once more, never blocking; -EBADF: there is none */
        bool cut;   /* of the last line only a part was taken */
        unsigned long n_dropped;
} log_target = {.max_level = LOG_INFO, .own_fd = -EBADF};

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
        log_target.journal = stderr_is_journal();
        closep(&log_target.own_fd);
        log_target.own_fd = log_target.journal ? -EBADF : open_stderr_again();
        log_target.cut = false;
        log_target.n_dropped = 0;
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

static bool write_line(const char *line)
{
        char text[LINE_SIZE + 2];
        int n;

        n = snprintf(text, sizeof(text), "%s%s\n", log_target.cut ? "\n" : "", line);
        return write_at_once(text, (size_t)n);
}

static bool tell_dropped(void)
{
        char line[80];

        if (log_target.n_dropped == 0)
                return true;
        (void)snprintf(line, sizeof(line), "log: %lu lines were dropped: nobody took them",
                       log_target.n_dropped);
        if (!write_line(line))
                return false;
        log_target.n_dropped = 0;
        return true;
}

static _printf_(2, 0) void log_valist(int level, const char *format, va_list args)
{
        char line[LINE_SIZE];

        (void)vsnprintf(line, sizeof(line), format, args);
        if (log_target.journal)
                (void)sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", level, NULL);
        else if (!tell_dropped() || !write_line(line))
                log_target.n_dropped++;
}

void log_line(int level, const char *format, ...)
{
        va_list args;

        if (level > log_target.max_level)
                return;
        va_start(args, format);
        log_valist(level, format, args);
        va_end(args);
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
