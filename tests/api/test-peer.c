/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who is at the other end, and what makes him privileged. */

#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "api/peer.h"
#include "base/macro.h"

#define GROUP  4242
#define NOBODY 65534

/* Becomes another user, connects, and has itself looked at. Returns 1 for privileged, 0 for not, 2
 * where something failed; in a child. */
static int privileged_as(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, gid_t group)
{
        struct peer peer;
        int ends[2];

        if (setgroups(n_groups, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(uid, uid, uid) < 0)
                return 2;
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
                return 2;
        if (peer_read(ends[0], group, &peer) < 0 || peer.uid != uid || peer.pid != getpid())
                return 2;
        return peer.privileged;
}

static void assert_privileged(bool expected, uid_t uid, gid_t gid, const gid_t *groups,
                              size_t n_groups, gid_t group)
{
        pid_t pid;
        int status;

        if (geteuid() != 0)
                skip();
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(privileged_as(uid, gid, groups, n_groups, group));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), expected);
}

static void test_root_is(void **state)
{
        (void)state;
        assert_privileged(true, 0, 0, NULL, 0, GID_NONE);
        assert_privileged(true, 0, NOBODY, NULL, 0, GROUP);
}

static void test_others_are_not(void **state)
{
        (void)state;
        assert_privileged(false, NOBODY, NOBODY, NULL, 0, GID_NONE);
        assert_privileged(false, NOBODY, NOBODY, NULL, 0, GROUP);
        assert_privileged(false, NOBODY, 0, NULL, 0, GROUP); /* root's group is not root */
}

static void test_members_of_the_group_are(void **state)
{
        const gid_t groups[] = {7, GROUP, 9};

        (void)state;
        assert_privileged(true, NOBODY, GROUP, NULL, 0, GROUP);
        assert_privileged(true, NOBODY, NOBODY, groups, ARRAY_SIZE(groups), GROUP);
        assert_privileged(false, NOBODY, NOBODY, groups, ARRAY_SIZE(groups), 8);
}

/* (gid_t)-1 stands for no group, whatever a peer claims to be in. */
static void test_no_group_is_nobodys(void **state)
{
        const gid_t groups[] = {7, GROUP, 9};

        (void)state;
        assert_privileged(false, NOBODY, NOBODY, groups, ARRAY_SIZE(groups), GID_NONE);
}

static void test_any_number_of_groups(void **state)
{
        gid_t groups[1000];

        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
                groups[i] = 5000 + i;
        assert_privileged(true, NOBODY, NOBODY, groups, ARRAY_SIZE(groups), 5999);
        assert_privileged(false, NOBODY, NOBODY, groups, ARRAY_SIZE(groups), 6000);
}

static void test_it_must_be_a_socket(void **state)
{
        struct peer peer;
        int ends[2];

        (void)state;
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(peer_read(ends[0], GID_NONE, &peer), -ENOTSOCK);
        close(ends[0]);
        close(ends[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_root_is),
                cmocka_unit_test(test_others_are_not),
                cmocka_unit_test(test_members_of_the_group_are),
                cmocka_unit_test(test_no_group_is_nobodys),
                cmocka_unit_test(test_any_number_of_groups),
                cmocka_unit_test(test_it_must_be_a_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
