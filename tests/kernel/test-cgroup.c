/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/cgroup.h"

#include <sched.h>
#include <sys/wait.h>

#include "fixture.h"
#include "sets.h"
#include "tree.h"

static int parse_mount(const char *text, struct cgroup_mount_line *ret)
{
        _cleanup_free_ char *line = exact_copy(text, strlen(text));

        return cgroup_parse_mount(line, strlen(text), ret);
}

static void assert_mount(const char *text, bool unified, bool noprefix, const char *top,
                         const char *mount_point)
{
        struct cgroup_mount_line mount;

        assert_int_equal(parse_mount(text, &mount), 1);
        assert_int_equal(mount.unified, unified);
        assert_int_equal(mount.noprefix, noprefix);
        assert_string_equal(mount.top, top);
        assert_string_equal(mount.mount_point, mount_point);
        free(mount.top);
        free(mount.mount_point);
}

static void test_mount_lines(void **state)
{
        (void)state;
        assert_mount("34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset",
                     false, false, "/", "/sys/fs/cgroup/cpuset");
        assert_mount("34 31 0:31 / /mnt/a\\040b\\134 rw shared:1 master:2 - cgroup none "
                     "rw,cpu,cpuset,memory",
                     false, false, "/", "/mnt/a b\\");
        assert_mount("34 31 0:31 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate", true,
                     false, "/docker/1", "/sys/fs/cgroup");
        assert_mount("34 31 0:31 / /dev/cpuset rw - cpuset none rw,cpuset,noprefix", false, true,
                     "/", "/dev/cpuset");
}

static void test_other_mount_lines(void **state)
{
        static const char *const lines[] = {
                "",
                "34",
                "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpusets",
                "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime cgroup cgroup rw,cpuset",
                "34 31 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu",
                "34 31 0:31 / /sys rw,relatime - tmpfs cpuset rw,cpuset",
                "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup2",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                struct cgroup_mount_line mount;

                if (parse_mount(lines[i], &mount) != 0)
                        fail_msg("\"%s\" was taken for a mount", lines[i]);
        }
}

static void assert_membership(const char *text, int error, bool unified, const char *path)
{
        _cleanup_free_ char *copy = exact_copy(text, strlen(text));
        bool got_unified = !unified;
        const char *got = NULL;
        size_t length = 0;

        assert_int_equal(cgroup_parse_membership(copy, strlen(text), &got_unified, &got, &length),
                         error);
        if (error < 0)
                return;
        assert_int_equal(got_unified, unified);
        assert_int_equal(length, strlen(path));
        assert_memory_equal(got, path, length);
}

static void test_membership(void **state)
{
        (void)state;
        assert_membership("3:cpuset:/a\n0::/b\n", 0, false, "/a");
        assert_membership("0::/b\n3:cpu,cpuset:/a:c\n", 0, false, "/a:c");
        assert_membership("4:memory:/x\n0::/b c\n", 0, true, "/b c");
        assert_membership("0::/", 0, true, "/");
        assert_membership("4:memory:/x\n", -ENOENT, false, NULL);
        assert_membership("", -ENOENT, false, NULL);
        assert_membership("0:\n0::\n::/\n0::x\n\0\n", -ENOENT, false, NULL);
}

/* Finds the mounts of TREE, whose "proc" and "cgroup" are the roots. */
static struct cgroup_mounts *find_mounts(const struct tree *tree)
{
        _cleanup_close_ int proc_fd = tree_open(tree, "proc");
        _cleanup_close_ int cgroup_fd = tree_open(tree, "cgroup");
        struct cgroup_mounts *mounts = NULL;

        assert_int_equal(cgroup_mounts_new(&mounts, proc_fd, cgroup_fd), 0);
        return mounts;
}

/* What the cpuset of thread 11 of process 10 permits, or the error. */
static void assert_cpuset(const struct tree *tree, int error, const char *expected)
{
        _cleanup_(cgroup_mounts_freep) struct cgroup_mounts *mounts = find_mounts(tree);
        _cleanup_close_ int proc_fd = tree_open(tree, "proc");
        _cleanup_cpuset_ struct cpuset cpus = {0};

        assert_int_equal(cgroup_read_cpuset(mounts, proc_fd, 10, 11, &cpus), error);
        if (error == 0)
                assert_set(&cpus, expected);
        else
                assert_null(cpus.words);
}

static void join(const struct tree *tree, const char *membership)
{
        tree_write(tree, "proc/10/task/11/cgroup", membership);
}

static void test_version1(void **state)
{
        const struct tree *tree = *state;

        tree_write(tree, "cgroup/cpuset/cpuset.cpus", "0-7\n");
        tree_write(tree, "cgroup/cpuset/cpuset.effective_cpus", "0-6\n");
        tree_write(tree, "cgroup/cpuset/a/cpuset.effective_cpus", "2-3\n");
        join(tree, "3:cpuset:/a\n0::/\n");
        assert_cpuset(tree, 0, "2-3");
        join(tree, "3:cpuset:/\n");
        assert_cpuset(tree, 0, "0-6");
        /* Removed a moment ago. */
        join(tree, "3:cpuset:/a/b (deleted)\n");
        assert_cpuset(tree, 0, "2-3");
        /* Outside of the reader's namespace. */
        join(tree, "3:cpuset:/../a\n");
        assert_cpuset(tree, -EACCES, NULL);
        join(tree, "3:cpuset:/..a\n");
        assert_cpuset(tree, 0, "0-6");
        /* A kernel without effective CPUs. */
        tree_remove(tree, "cgroup/cpuset/cpuset.effective_cpus");
        tree_remove(tree, "cgroup/cpuset/a/cpuset.effective_cpus");
        tree_write(tree, "cgroup/cpuset/a/cpuset.cpus", "4\n");
        join(tree, "3:cpuset:/a\n");
        assert_cpuset(tree, 0, "4");
        /* Something else is mounted over it. */
        tree_remove(tree, "cgroup/cpuset/a/cpuset.cpus");
        tree_remove(tree, "cgroup/cpuset/cpuset.cpus");
        tree_write(tree, "proc/self/mountinfo",
                   "1 1 0:1 / /sys/fs/cgroup/cpuset rw - cgroup none rw,cpuset\n");
        assert_cpuset(tree, -EACCES, NULL);
}

static void test_version2(void **state)
{
        const struct tree *tree = *state;

        tree_write(tree, "cgroup/cgroup.controllers", "cpuset\n");
        tree_write(tree, "cgroup/cpuset.cpus.effective", "0-7\n");
        tree_write(tree, "cgroup/a/cpuset.cpus.effective", "2-3,5\n");
        tree_mkdir(tree, "cgroup/a/b/c");
        join(tree, "0::/a/b/c\n");
        assert_cpuset(tree, 0, "2-3,5");
        join(tree, "0::/d\n");
        assert_cpuset(tree, 0, "0-7");
        tree_write(tree, "cgroup/a/cpuset.cpus.effective", "garbage\n");
        join(tree, "0::/a\n");
        assert_cpuset(tree, -EINVAL, NULL);
        /* The controller is not there, or bound to version 1. */
        tree_remove(tree, "cgroup/a/cpuset.cpus.effective");
        tree_remove(tree, "cgroup/cpuset.cpus.effective");
        assert_cpuset(tree, -ENOENT, NULL);
        /* It is not given to this container: what bounds it is not seen. */
        tree_write(tree, "cgroup/cgroup.type", "domain\n");
        assert_cpuset(tree, -EACCES, NULL);
}

static void test_without_cpusets(void **state)
{
        const struct tree *tree = *state;

        tree_mkdir(tree, "cgroup");
        tree_mkdir(tree, "proc");
        assert_cpuset(tree, -ESRCH, NULL);
        tree_mkdir(tree, "proc/10/task/11");
        assert_cpuset(tree, -ENOENT, NULL); /* no CONFIG_CGROUPS */
        join(tree, "");
        assert_cpuset(tree, -ENOENT, NULL);
        join(tree, "3:cpuset:/\n0::/\n");
        assert_cpuset(tree, -EACCES, NULL); /* there are some, and they are not mounted here */
        join(tree, "0::/\n");
        assert_cpuset(tree, -EACCES, NULL);
}

/* Mounts below /sys/fs/cgroup are found below the cgroup root, others by their path. */
static void test_mountinfo(void **state)
{
        const struct tree *tree = *state;
        char text[512];

        tree_write(tree, "cgroup/sets/cpuset.effective_cpus", "0-3\n");
        tree_write(tree, "elsewhere/effective_cpus", "0-5\n");
        tree_write(tree, "elsewhere/a/effective_cpus", "5\n");
        join(tree, "3:cpuset:/box/a\n");
        tree_write(tree, "proc/self/mountinfo",
                   "1 1 0:1 / /sys/fs/cgroup rw - tmpfs none rw\n"
                   "2 1 0:2 / /sys/fs/cgroup/hidden rw - cgroup none rw,cpuset\n"
                   "3 1 0:2 / /sys/fs/cgroup/sets rw - cgroup none rw,cpuset\n");
        assert_cpuset(tree, 0, "0-3");
        (void)snprintf(text, sizeof(text), "2 1 0:2 /box %s/elsewhere rw - cpuset none %s\n",
                       tree->path, "rw,cpuset,noprefix");
        tree_write(tree, "proc/self/mountinfo", text);
        assert_cpuset(tree, 0, "5");
        join(tree, "3:cpuset:/boxer\n"); /* not below what is seen */
        assert_cpuset(tree, -EACCES, NULL);
        join(tree, "3:cpuset:/box\n");
        assert_cpuset(tree, 0, "0-5");
}

/* The test's own cpuset is at least as wide as its mask. */
static void test_this_machine(void **state)
{
        _cleanup_(cgroup_mounts_freep) struct cgroup_mounts *mounts = NULL;
        _cleanup_close_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int cgroup_fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_cpuset_ struct cpuset cpus = {0};
        pid_t child;
        int r;

        (void)state;
        assert_int_equal(cgroup_mounts_new(&mounts, proc_fd, cgroup_fd), 0);
        r = cgroup_read_cpuset(mounts, proc_fd, getpid(), gettid(), &cpus);
        if (r == -ENOENT || r == -EACCES) {
                cgroup_mounts_free(TAKE_PTR(mounts));
                print_message("skipped: this machine has no cpusets, or does not show them\n");
                skip();
        }
        assert_int_equal(r, 0);
        assert_true(cpuset_contains(&cpus, (unsigned)sched_getcpu()));

        child = fork();
        if (child == 0)
                _exit(0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(cgroup_read_cpuset(mounts, proc_fd, child, child, &cpus), -ESRCH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mount_lines),
                cmocka_unit_test(test_other_mount_lines),
                cmocka_unit_test(test_membership),
                cmocka_unit_test_setup_teardown(test_version1, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_version2, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_without_cpusets, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_mountinfo, tree_setup, tree_teardown),
                cmocka_unit_test(test_this_machine),
        };

        return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
