/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "base/parse.h"

static struct {
        int max_level;
        bool journal;
} log_target = {.max_level = LOG_INFO};

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

void log_init(int max_level)
{
        log_target.max_level = max_level;
        log_target.journal = stderr_is_journal();
}

static _printf_(2, 0) void log_valist(int level, const char *format, va_list args)
{
        char line[1024];

        (void)vsnprintf(line, sizeof(line), format, args);
        if (log_target.journal)
                (void)sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", level, NULL);
        else
                fprintf(stderr, "%s\n", line);
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
