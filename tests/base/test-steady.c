/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/steady.h"

#define NAME     "file"
#define TEXT     "what stands in it\n"
#define MAX_SIZE 64U

static char folder[] = "/tmp/test-steady-XXXXXX";
static int dir_fd = -EBADF;

static int make_folder(void **state)
{
        (void)state;
        if (!mkdtemp(folder))
                return -1;
        dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
        (void)state;
        close(dir_fd);
        return rmdir(folder);
}

static int remove_file(void **state)
{
        (void)state;
        (void)unlinkat(dir_fd, NAME, 0);
        return 0;
}

static void write_file(const char *text, int flags)
{
        _cleanup_close_ int fd = openat(dir_fd, NAME, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Writes as much as there is, until the clock that files are dated by has gone on. */
static void rewrite_later(const struct steady *steady)
{
        const struct timespec *before = &steady->before.st_ctim;
        struct stat now;

        do {
                write_file("W", 0);
                assert_int_equal(fstatat(dir_fd, NAME, &now, 0), 0);
        } while (now.st_ctim.tv_sec == before->tv_sec && now.st_ctim.tv_nsec == before->tv_nsec);
        assert_int_equal(now.st_size, steady->before.st_size);
}

static void test_unchanged(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};

        (void)state;
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, strlen(TEXT)), 0);
        assert_int_equal(steady_read(&steady), 0);
        assert_int_equal(steady.length, strlen(TEXT));
        assert_memory_equal(steady.text, TEXT, strlen(TEXT));
        assert_int_equal(steady_confirm(&steady), 0);
}

static void test_empty(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};

        (void)state;
        write_file("", 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, 0), 0);
        assert_int_equal(steady_read(&steady), 0);
        assert_int_equal(steady.length, 0);
        assert_int_equal(steady_confirm(&steady), 0);
}

static void test_refused(void **state)
{
        struct steady steady = {.fd = 7};

        (void)state;
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), -ENOENT);
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, strlen(TEXT) - 1), -EFBIG);
        assert_int_equal(steady_open(&steady, dir_fd, ".", MAX_SIZE), -ENOTSUP);
        assert_int_equal(steady_open(&steady, AT_FDCWD, "/dev/null", MAX_SIZE), -ENOTSUP);
        assert_int_equal(steady.fd, 7);
}

/* Nobody writes to it, and nobody waits for that. */
static void test_pipe(void **state)
{
        struct steady steady;

        (void)state;
        assert_int_equal(mkfifoat(dir_fd, NAME, 0600), 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), -ENOTSUP);
}

static void test_longer_before_it_is_read(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};

        (void)state;
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), 0);
        write_file("and more", O_APPEND);
        assert_int_equal(steady_read(&steady), -ESTALE);
        assert_null(steady.text);
}

static void test_shorter_before_it_is_read(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};

        (void)state;
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), 0);
        write_file("", O_TRUNC);
        assert_int_equal(steady_read(&steady), -ESTALE);
}

static void test_longer_after_it_is_read(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};

        (void)state;
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), 0);
        assert_int_equal(steady_read(&steady), 0);
        write_file("and more", O_APPEND);
        assert_int_equal(steady_confirm(&steady), -ESTALE);
}

/* The size stays, and the time of the last change does not. */
static void test_other_text(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};

        (void)state;
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), 0);
        assert_int_equal(steady_read(&steady), 0);
        rewrite_later(&steady);
        assert_int_equal(steady_confirm(&steady), -ESTALE);
}

/* Whoever sets the time of the last writing back cannot do so with that of the last change. */
static void test_other_text_with_the_old_time(void **state)
{
        _cleanup_steady_ struct steady steady = {.fd = -EBADF};
        struct timespec times[2];

        (void)state;
        write_file(TEXT, 0);
        assert_int_equal(steady_open(&steady, dir_fd, NAME, MAX_SIZE), 0);
        times[0] = times[1] = steady.before.st_mtim;
        assert_int_equal(steady_read(&steady), 0);
        rewrite_later(&steady);
        assert_int_equal(utimensat(dir_fd, NAME, times, 0), 0);
        assert_int_equal(steady_confirm(&steady), -ESTALE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_unchanged, remove_file),
                cmocka_unit_test_teardown(test_empty, remove_file),
                cmocka_unit_test_teardown(test_refused, remove_file),
                cmocka_unit_test_teardown(test_pipe, remove_file),
                cmocka_unit_test_teardown(test_longer_before_it_is_read, remove_file),
                cmocka_unit_test_teardown(test_shorter_before_it_is_read, remove_file),
                cmocka_unit_test_teardown(test_longer_after_it_is_read, remove_file),
                cmocka_unit_test_teardown(test_other_text, remove_file),
                cmocka_unit_test_teardown(test_other_text_with_the_old_time, remove_file),
        };

        return cmocka_run_group_tests_name("steady", tests, make_folder, remove_folder);
}
