/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose the name is: a socket is removed when it is stale, or our own, and never otherwise. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>

#include "api/socket.h"
#include "base/macro.h"

/* A folder of its own for each test. */
struct folder {
        char path[64];
        int fd;
};

static int set_up(void **state)
{
        struct folder *folder = calloc(1, sizeof(*folder));

        if (!folder)
                return -1;
        (void)snprintf(folder->path, sizeof(folder->path), "/tmp/balancerd-test-XXXXXX");
        if (!mkdtemp(folder->path))
                return -1;
        folder->fd = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        *state = folder;
        return folder->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        struct folder *folder = *state;

        (void)unlinkat(folder->fd, SOCKET_NAME, 0);
        (void)rmdir(folder->path);
        close(folder->fd);
        free(folder);
        return 0;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static bool exists(const struct folder *folder)
{
        return faccessat(folder->fd, SOCKET_NAME, F_OK, 0) == 0;
}

/* What another program would make. */
static int occupy(const struct folder *folder, int type)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.60s/" SOCKET_NAME,
                       folder->path);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static void test_it_comes_and_goes(void **state)
{
        const struct folder *folder = *state;
        struct socket_name name;
        struct stat st;
        int fd = socket_listen(folder->fd, &name);

        assert_true(fd >= 0);
        assert_int_equal(fstatat(folder->fd, SOCKET_NAME, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        socket_remove(folder->fd, &name);
        assert_false(exists(folder));
        socket_remove(folder->fd, &name);
        close(fd);
}

static void test_what_is_stale_is_replaced(void **state)
{
        const struct folder *folder = *state;
        struct socket_name name;
        int fd;

        close(occupy(folder, SOCK_STREAM));
        assert_true(exists(folder));
        fd = socket_listen(folder->fd, &name);
        assert_true(fd >= 0);
        close(fd);
}

static void test_who_listens_keeps_it(void **state)
{
        const struct folder *folder = *state;
        struct socket_name name;
        int other = occupy(folder, SOCK_STREAM);

        assert_int_equal(listen(other, 0), 0);
        assert_int_equal(socket_listen(folder->fd, &name), -EADDRINUSE);
        /* Now somebody waits there, and there is no room for another. */
        assert_int_equal(socket_listen(folder->fd, &name), -EADDRINUSE);
        assert_true(exists(folder));
        close(other);
}

static void test_a_socket_for_datagrams_is_anothers(void **state)
{
        const struct folder *folder = *state;
        struct socket_name name;
        int other = occupy(folder, SOCK_DGRAM);

        assert_int_equal(socket_listen(folder->fd, &name), -EADDRINUSE);
        assert_true(exists(folder));
        close(other);
}

static void test_a_file_is_no_socket(void **state)
{
        const struct folder *folder = *state;
        struct socket_name name;

        close(openat(folder->fd, SOCKET_NAME, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(socket_listen(folder->fd, &name), -EEXIST);
        assert_true(exists(folder));
}

/* As where somebody removed ours and made another meanwhile. */
static void test_another_of_that_name_stays(void **state)
{
        const struct folder *folder = *state;
        struct socket_name name;
        int fd = socket_listen(folder->fd, &name), other;

        assert_true(fd >= 0);
        assert_int_equal(unlinkat(folder->fd, SOCKET_NAME, 0), 0);
        other = occupy(folder, SOCK_STREAM);
        socket_remove(folder->fd, &name);
        assert_true(exists(folder));
        close(other);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_it_comes_and_goes),    TEST(test_what_is_stale_is_replaced),
                TEST(test_who_listens_keeps_it), TEST(test_a_socket_for_datagrams_is_anothers),
                TEST(test_a_file_is_no_socket),  TEST(test_another_of_that_name_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
