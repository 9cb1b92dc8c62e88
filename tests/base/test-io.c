/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/io.h"

struct fixture {
        char path[64];
        int dir_fd;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        (void)snprintf(f->path, sizeof(f->path), "/tmp/balancerd-test-io-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = f;
        return f->dir_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        (void)unlinkat(f->dir_fd, "file", 0);
        (void)rmdir(f->path);
        close(f->dir_fd);
        free(f);
        return 0;
}

/* Makes "file" SIZE bytes long, the byte at place i being i % 251. */
static void write_file(const struct fixture *f, size_t size)
{
        _cleanup_fclose_ FILE *stream = NULL;
        int fd;

        fd = openat(f->dir_fd, "file", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        stream = fdopen(fd, "w");
        assert_non_null(stream);
        for (size_t i = 0; i < size; i++)
                assert_int_not_equal(putc((int)(i % 251), stream), EOF);
}

static void assert_pattern(const struct buffer *buffer, size_t size)
{
        assert_int_equal(buffer->length, size);
        for (size_t i = 0; i < size; i++)
                assert_int_equal((unsigned char)buffer->data[i], i % 251);
}

/* Around the sizes at which the buffer grows. */
static void test_sizes(void **state)
{
        static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 100000, 3};
        _cleanup_buffer_ struct buffer buffer = {0};
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                write_file(f, sizes[i]);
                assert_int_equal(buffer_read_at(&buffer, f->dir_fd, "file"), 0);
                assert_pattern(&buffer, sizes[i]);
        }
}

/* A kept descriptor is read from the start each time, and the memory stays. */
static void test_again(void **state)
{
        _cleanup_buffer_ struct buffer buffer = {0};
        _cleanup_close_ int fd = -1;
        struct fixture *f = *state;
        const char *data;

        write_file(f, 5000);
        fd = open_at(f->dir_fd, "file", 0);
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(buffer_read_fd(&buffer, fd), 0);
        assert_pattern(&buffer, 5000);
        data = buffer.data;
        assert_int_equal(buffer_read_fd(&buffer, fd), 0);
        assert_pattern(&buffer, 5000);
        assert_ptr_equal(buffer.data, data);
}

/* A file without end: it is given up at a bound that stays as far as memory goes. */
static void test_too_large(void **state)
{
        _cleanup_buffer_ struct buffer buffer = {0};

        (void)state;
        assert_int_equal(buffer_read_at(&buffer, AT_FDCWD, "/dev/zero"), -EFBIG);
        assert_true(buffer.capacity <= BUFFER_MAX);
}

static void test_small(void **state)
{
        struct fixture *f = *state;
        char data[10];

        write_file(f, 7);
        assert_int_equal(read_small_at(f->dir_fd, "file", data, sizeof(data)), 7);
        assert_int_equal(data[6], 6);
        write_file(f, 20);
        assert_int_equal(read_small_at(f->dir_fd, "file", data, sizeof(data)), 10);
        assert_int_equal(data[9], 9);
}

static void test_errors(void **state)
{
        _cleanup_buffer_ struct buffer buffer = {0};
        struct fixture *f = *state;
        char data[10];

        assert_int_equal(open_at(f->dir_fd, "missing", 0), -ENOENT);
        assert_int_equal(buffer_read_at(&buffer, f->dir_fd, "missing"), -ENOENT);
        assert_int_equal(buffer_read_at(&buffer, f->dir_fd, "."), -EISDIR);
        assert_int_equal(buffer_read_fd(&buffer, -1), -EBADF);
        assert_int_equal(read_small_at(f->dir_fd, "missing", data, sizeof(data)), -ENOENT);
        assert_int_equal(read_small_at(-1, "missing", data, sizeof(data)), -EBADF);
        /* The error of an open_at() long ago. */
        assert_int_equal(read_small_fd(-EACCES, data, sizeof(data)), -EACCES);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),     cmocka_unit_test(test_again),
                cmocka_unit_test(test_too_large), cmocka_unit_test(test_small),
                cmocka_unit_test(test_errors),
        };

        return cmocka_run_group_tests_name("io", tests, setup, teardown);
}
