/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/journal.h"
#include "base/log.h"
#include "base/macro.h"

/* What would wait for ever ends the test program instead. */
#define PATIENCE_SEC 60
/* More than any socket takes that nobody reads. */
#define N_LINES 8192

struct fixture {
        char folder[32];
        char path[64];
        int fd; /* the journal's end */
        char data[65536];
        size_t length;
};

static void open_socket(struct fixture *f)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        memcpy(address.sun_path, f->path, strlen(f->path) + 1);
        f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(f->fd >= 0);
        assert_int_equal(bind(f->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void close_socket(struct fixture *f)
{
        close(f->fd);
        assert_int_equal(unlink(f->path), 0);
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        *state = f;
        (void)snprintf(f->folder, sizeof(f->folder), "/tmp/test-journal-XXXXXX");
        if (!mkdtemp(f->folder))
                return -1;
        (void)snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
        open_socket(f);
        log_init(LOG_INFO);
        alarm(PATIENCE_SEC);
        return log_to_journal(f->path) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        alarm(0);
        close_socket(f);
        (void)rmdir(f->folder);
        free(f);
        log_init(LOG_INFO);
        return 0;
}

/* Returns whether there was an entry. */
static bool receive(struct fixture *f)
{
        ssize_t n = recv(f->fd, f->data, sizeof(f->data), 0);

        f->length = (size_t)MAX(n, 0);
        return n >= 0;
}

static void assert_entry(struct fixture *f, const void *data, size_t length)
{
        assert_true(receive(f));
        assert_int_equal(f->length, length);
        assert_memory_equal(f->data, data, length);
}

#define assert_text(f, text) assert_entry(f, text, sizeof(text) - 1)
#define IDENTIFIER           "SYSLOG_IDENTIFIER=test-journal\n"

static void test_line(void **state)
{
        struct fixture *f = *state;

        log_warning("all is %s", "well");
        assert_text(f, "MESSAGE=all is well\nPRIORITY=4\n" IDENTIFIER);
        log_debug("too much");
        assert_int_equal(log_error_errno(-ENOENT, "gone"), -ENOENT);
        assert_text(f, "MESSAGE=gone: No such file or directory\nPRIORITY=3\n" IDENTIFIER);
        assert_false(receive(f));
}

static void test_fields(void **state)
{
        struct fixture *f = *state;
        struct journal_entry entry;

        journal_entry_init(&entry);
        journal_addf(&entry, "BALANCERD_TID", "%d", 4711);
        journal_add(&entry, "BALANCERD_EMPTY", "", 0);
        journal_add(&entry, "BALANCERD_COMM", "a=\x1b\xff\0b", 6);
        log_fields(LOG_INFO, &entry, "done");
        assert_text(f, "BALANCERD_TID=4711\nBALANCERD_EMPTY=\nBALANCERD_COMM=a=\x1b\xff\0b\n"
                       "MESSAGE=done\nPRIORITY=6\n" IDENTIFIER);
}

/* A name with a newline forges no field. */
static void test_newline_in_a_value(void **state)
{
        static const char forged[] = "x\nPRIORITY=0";
        struct fixture *f = *state;
        struct journal_entry entry;

        journal_entry_init(&entry);
        journal_add(&entry, "BALANCERD_COMM", forged, sizeof(forged) - 1);
        log_fields(LOG_INFO, &entry, "two\nlines");
        assert_text(f, "BALANCERD_COMM\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n"
                       "MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=6\n" IDENTIFIER);
}

static void test_what_finds_no_room_is_left_out(void **state)
{
        static const char big[JOURNAL_ENTRY_SIZE];
        struct journal_entry entry;

        (void)state;
        journal_entry_init(&entry);
        journal_add(&entry, "A", big, sizeof(big) - 4);
        assert_int_equal(entry.length, 0);
        journal_add(&entry, "A", big, SIZE_MAX);
        assert_int_equal(entry.length, 0);
        for (unsigned i = 0; i < 100; i++)
                journal_add(&entry, "ABC", big, 1000);
        assert_int_equal(entry.length, 8 * (3 + 1 + 1000 + 1));
        journal_add(&entry, "D", "e", 1);
        assert_int_equal(entry.length, 8 * (3 + 1 + 1000 + 1) + 4);
}

static void test_long_value_is_cut(void **state)
{
        struct journal_entry entry;

        (void)state;
        journal_entry_init(&entry);
        journal_addf(&entry, "A", "%*s", 5000, "x");
        assert_int_equal(entry.length, 2 + 1024 + 1);
}

/* It is not waited for; what is lost is counted, and told when it reads again. */
static void test_journal_that_does_not_read(void **state)
{
        struct fixture *f = *state;
        unsigned n_taken = 0;
        char expected[256];
        int n;

        for (unsigned i = 0; i < N_LINES; i++)
                log_info("line %u", i);
        while (receive(f))
                n_taken++;
        assert_in_range(n_taken, 1, N_LINES - 1);
        log_info("the next");
        n = snprintf(expected, sizeof(expected),
                     "MESSAGE_ID=" LOG_DROPPED_MESSAGE_ID "\nBALANCERD_DROPPED=%u\n"
                     "MESSAGE=%u lines were dropped: nobody took them\nPRIORITY=4\n" IDENTIFIER,
                     N_LINES - n_taken, N_LINES - n_taken);
        assert_entry(f, expected, (size_t)n);
        assert_text(f, "MESSAGE=the next\nPRIORITY=6\n" IDENTIFIER);
        log_info("one more");
        assert_text(f, "MESSAGE=one more\nPRIORITY=6\n" IDENTIFIER);
}

/* It goes, and comes back with another socket. */
static void test_journal_that_is_started_anew(void **state)
{
        struct fixture *f = *state;

        close_socket(f);
        log_info("lost");
        open_socket(f);
        log_info("found");
        assert_true(receive(f));
        assert_non_null(memmem(f->data, f->length, "BALANCERD_DROPPED=1\n", 20));
        assert_text(f, "MESSAGE=found\nPRIORITY=6\n" IDENTIFIER);
        close(f->fd);
        log_info("lost: its socket is there, and nobody behind it");
        assert_int_equal(unlink(f->path), 0);
        open_socket(f);
        log_info("found again");
        assert_true(receive(f));
        assert_text(f, "MESSAGE=found again\nPRIORITY=6\n" IDENTIFIER);
}

static void test_errors(void **state)
{
        char path[200];
        struct journal journal;
        struct journal_entry entry;

        (void)state;
        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(journal_open(&journal, path), -ENAMETOOLONG);
        assert_int_equal(log_to_journal(path), -ENAMETOOLONG);
        assert_int_equal(journal_open(&journal, "/nowhere/socket"), 0);
        journal_entry_init(&entry);
        journal_addf(&entry, "MESSAGE", "x");
        assert_int_equal(journal_send(&journal, &entry), -ENOENT);
        journal_close(&journal);
        assert_int_equal(journal.fd, -1);
}

/* systemd.exec(5): when standard error is what JOURNAL_STREAM names. */
static void test_target_is_chosen(void **state)
{
        struct fixture *f = *state;
        int fds[2], saved = dup(STDERR_FILENO);
        char stream[64], text[64] = "";
        struct stat st;

        assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
        assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino + 1);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        log_init(LOG_INFO);
        log_info("another stream");
        assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
        assert_string_equal(text, "test-journal: another stream\n");
        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        log_init(LOG_INFO);
        (void)unsetenv("JOURNAL_STREAM");
        log_info("from a test of balancerd: not for the pipe");
        assert_int_equal(read(fds[0], text, sizeof(text)), -1);
        assert_int_equal(log_to_journal(f->path), 0);
        log_info("this one");
        assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        while (receive(f) && !memmem(f->data, f->length, "MESSAGE=this one\n", 17))
                ;
        assert_true(f->length > 0);
        close(saved);
        close(fds[0]);
        close(fds[1]);
}

/* Reads one line. It has something to do before, as journals have. */
static void *read_late(void *userdata)
{
        struct pollfd journal = {.fd = *(const int *)userdata, .events = POLLIN};
        char line[1024];

        (void)poll(&journal, 1, -1);
        for (unsigned i = 0; i < 64; i++)
                (void)sched_yield();
        (void)!read(journal.fd, line, sizeof(line));
        return NULL;
}

/* A flush beside a journal that reads one line: what is in its queue then. */
static void flush_to_a_late_reader(struct fixture *f, unsigned *ret_n_left)
{
        unsigned n_left = 0;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, read_late, &f->fd), 0);
        log_flush();
        while (receive(f))
                n_left++;
        log_info("for the reader, if it was not waited for");
        assert_int_equal(pthread_join(thread, NULL), 0);
        *ret_n_left = n_left;
}

static void test_last_line_is_read_before_the_end(void **state)
{
        unsigned n_left;

        log_info("the last");
        flush_to_a_late_reader(*state, &n_left);
        assert_int_equal(n_left, 0);
}

/* And nobody is waited for for ever: it reads the first of two lines, and then no more. */
static void test_end_beside_a_journal_that_does_not_read(void **state)
{
        unsigned n_left;

        log_info("the last but one");
        log_info("the last");
        flush_to_a_late_reader(*state, &n_left);
        assert_int_equal(n_left, 1);
}

#define with_a_journal(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_a_journal(test_line),
                with_a_journal(test_fields),
                with_a_journal(test_newline_in_a_value),
                with_a_journal(test_what_finds_no_room_is_left_out),
                with_a_journal(test_long_value_is_cut),
                with_a_journal(test_journal_that_does_not_read),
                with_a_journal(test_journal_that_is_started_anew),
                with_a_journal(test_errors),
                with_a_journal(test_target_is_chosen),
                with_a_journal(test_last_line_is_read_before_the_end),
                with_a_journal(test_end_beside_a_journal_that_does_not_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
