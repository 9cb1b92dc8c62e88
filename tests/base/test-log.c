/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/log.h"
#include "base/macro.h"

/* More than any pipe or terminal takes that nobody reads. */
#define N_LINES 8192

/* What would wait for ever ends the test program instead. */
#define PATIENCE_SEC 60

static int setup(void **state)
{
        int *saved = malloc(sizeof(*saved));

        if (!saved)
                return -1;
        *saved = dup(STDERR_FILENO);
        *state = saved;
        (void)unsetenv("JOURNAL_STREAM");
        (void)signal(SIGPIPE, SIG_IGN);
        alarm(PATIENCE_SEC);
        return *saved < 0 ? -1 : 0;
}

static int teardown(void **state)
{
        int *saved = *state, r;

        alarm(0);
        r = dup2(*saved, STDERR_FILENO);
        close(*saved);
        free(saved);
        log_init(LOG_INFO);
        return r < 0 ? -1 : 0;
}

static void become_stderr(int fd)
{
        assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        close(fd);
        log_init(LOG_INFO);
}

static void log_many(void)
{
        for (unsigned i = 0; i < N_LINES; i++)
                log_info("line %u of many that nobody reads, each of some length", i);
}

/* Reads what is there. */
static void read_all(int fd, char *text, size_t size)
{
        size_t length = 0;
        ssize_t n;

        assert_true(fcntl(fd, F_SETFL, O_NONBLOCK) >= 0);
        while (length < size - 1 && (n = read(fd, text + length, size - 1 - length)) > 0)
                length += (size_t)n;
        text[length] = '\0';
}

/* After a long silence of the reader: whole lines, then how many are missing, then the next. */
static void assert_told_what_was_dropped(int fd)
{
        static char text[1 << 20];
        unsigned n_lines = 0;
        char expected[128];

        read_all(fd, text, sizeof(text));
        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n_lines++;
        assert_in_range(n_lines, 1, N_LINES - 1);
        assert_int_equal(text[strlen(text) - 1], '\n');
        log_info("the next");
        read_all(fd, text, sizeof(text));
        (void)snprintf(expected, sizeof(expected),
                       "test-log: %u lines were dropped: nobody took them\n"
                       "test-log: the next\n",
                       N_LINES - n_lines);
        assert_string_equal(text, expected);
        log_info("one more");
        read_all(fd, text, sizeof(text));
        assert_string_equal(text, "test-log: one more\n");
}

static void test_pipe_that_nobody_reads(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(pipe(fds), 0);
        become_stderr(fds[1]);
        log_many();
        assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
        assert_told_what_was_dropped(fds[0]);
        close(fds[0]);
}

/* It cannot be opened again. */
static void test_socket_that_nobody_reads(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        become_stderr(fds[1]);
        log_many();
        assert_told_what_was_dropped(fds[0]);
        close(fds[0]);
}

static void test_pipe_without_a_reader(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(pipe(fds), 0);
        become_stderr(fds[1]);
        close(fds[0]);
        log_many();
}

/* Ctrl-S. */
static void test_terminal_that_was_stopped(void **state)
{
        static char text[1 << 20];
        struct termios raw;
        char name[64];
        int master, slave;

        (void)state;
        master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(master >= 0);
        assert_int_equal(grantpt(master), 0);
        assert_int_equal(unlockpt(master), 0);
        assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
        slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(slave >= 0);
        assert_int_equal(tcgetattr(slave, &raw), 0);
        cfmakeraw(&raw);
        assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
        become_stderr(slave);

        assert_int_equal(tcflow(STDERR_FILENO, TCOOFF), 0);
        log_many();
        assert_int_equal(tcflow(STDERR_FILENO, TCOON), 0);
        log_info("the next");
        read_all(master, text, sizeof(text));
        assert_non_null(strstr(text, "lines were dropped"));
        assert_non_null(strstr(text, "\ntest-log: the next\n"));
        close(master);
}

static void test_file(void **state)
{
        char path[] = "/tmp/balancerd-log.XXXXXX", text[128];
        struct journal_entry fields;
        int fd = mkstemp(path), reader;

        (void)state;
        assert_true(fd >= 0);
        reader = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(unlink(path), 0);
        become_stderr(fd);
        assert_int_equal(write(STDERR_FILENO, "before\n", 7), 7);
        log_info("one");
        log_debug("too much");
        assert_int_equal(log_error_errno(-ENOENT, "two"), -ENOENT);
        journal_entry_init(&fields);
        log_record(LOG_INFO, &fields, "three=3");
        read_all(reader, text, sizeof(text));
        assert_string_equal(text,
                            "before\ntest-log: one\ntest-log: two: No such file or directory\n"
                            "three=3\n");
        close(reader);
}

#define with_a_stderr(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_a_stderr(test_pipe_that_nobody_reads),
                with_a_stderr(test_socket_that_nobody_reads),
                with_a_stderr(test_pipe_without_a_reader),
                with_a_stderr(test_terminal_that_was_stopped),
                with_a_stderr(test_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
