/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/unbalanced.h"

#include <poll.h>
#include <sys/file.h>

#include "sets.h"
#include "tree.h"

#include "kernel/cpulist.h"

/* The door to a tree's "sys" and "cgroup". */
struct door {
        struct cgroup_mounts *mounts;
        struct unbalanced *u;
        int sys_fd;
};

static void door_open(struct door *door, const struct tree *tree)
{
        _cleanup_close_ int proc_fd = -1, cgroup_fd = -1;

        tree_mkdir(tree, "proc");
        tree_mkdir(tree, "cgroup");
        tree_mkdir(tree, "sys/devices/system/cpu");
        proc_fd = tree_open(tree, "proc");
        cgroup_fd = tree_open(tree, "cgroup");
        door->sys_fd = tree_open(tree, "sys");
        assert_int_equal(cgroup_mounts_new(&door->mounts, proc_fd, cgroup_fd), 0);
        assert_int_equal(unbalanced_new(&door->u, door->mounts, door->sys_fd), 0);
}

static void door_close(struct door *door)
{
        unbalanced_free(door->u);
        cgroup_mounts_free(door->mounts);
        close(door->sys_fd);
}
#define _cleanup_door_ _cleanup_(door_close)

/* Whether news wait: never asked in the hope that some may still come, as they are there before the
 * write returns that made them. */
static bool has_news(const struct door *door)
{
        struct pollfd p = {.fd = unbalanced_fd(door->u), .events = POLLIN};

        return poll(&p, 1, 0) > 0;
}

static void assert_unbalanced_of(struct door *door, const char *online, const char *expected)
{
        _cleanup_cpuset_ struct cpuset all = list(online), set = {0};

        assert_int_equal(unbalanced_read(door->u, NULL, &all, &set), 0);
        assert_set(&set, expected);
}

static void assert_unbalanced(struct door *door, const char *expected)
{
        assert_unbalanced_of(door, "0-7", expected);
}

static void make_cpuset(const struct tree *tree, const char *name, const char *cpus,
                        const char *flag)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "cgroup/cpuset/%s/cpuset.cpus", name);
        tree_write(tree, path, cpus);
        (void)snprintf(path, sizeof(path), "cgroup/cpuset/%s/cpuset.sched_load_balance", name);
        tree_write(tree, path, flag);
}

static void test_nothing_known(void **state)
{
        _cleanup_door_ struct door door;

        door_open(&door, *state);
        assert_unbalanced(&door, "");
        assert_unbalanced_of(&door, "5", "5"); /* nothing to balance with */
        assert_false(has_news(&door));
}

/* Scheduling domains that can be seen leave nothing to work out. */
static void test_schedstat_wins(void **state)
{
        _cleanup_cpuset_ struct cpuset without = list("2-3,9"), online = list("0-7"), set = {0};
        _cleanup_door_ struct door door;

        tree_write(*state, "sys/devices/system/cpu/isolated", "0-1\n");
        door_open(&door, *state);
        assert_int_equal(unbalanced_read(door.u, &without, &online, &set), 0);
        assert_set(&set, "2-3");
}

/* Nor is any cpuset looked at or watched, until they are asked for again. */
static void test_schedstat_spares_the_walk(void **state)
{
        _cleanup_cpuset_ struct cpuset without = list("2-3"), online = list("0-7"), set = {0};
        const struct tree *tree = *state;
        _cleanup_door_ struct door door;

        make_cpuset(tree, ".", "0-7\n", "0\n");
        door_open(&door, tree);
        assert_int_equal(unbalanced_read(door.u, &without, &online, &set), 0);
        assert_set(&set, "2-3");
        make_cpuset(tree, "a", "0-5\n", "1\n");
        assert_false(has_news(&door));
        assert_unbalanced(&door, "6-7");
}

static void test_isolated(void **state)
{
        _cleanup_door_ struct door door;

        tree_write(*state, "sys/devices/system/cpu/isolated", "2-3,9\n");
        door_open(&door, *state);
        assert_unbalanced(&door, "2-3");
        assert_unbalanced_of(&door, "1-3", "1-3"); /* one CPU is left: no domain */
        tree_write(*state, "sys/devices/system/cpu/isolated", "4\n");
        assert_unbalanced(&door, "4");
        tree_write(*state, "sys/devices/system/cpu/isolated", "garbage");
        assert_unbalanced(&door, "");
}

static void test_version1(void **state)
{
        const struct tree *tree = *state;
        _cleanup_door_ struct door door;

        make_cpuset(tree, ".", "0-7\n", "1\n");
        make_cpuset(tree, "a", "0-1\n", "0\n");
        door_open(&door, tree);
        assert_unbalanced(&door, ""); /* one domain of all, whatever is below */
        make_cpuset(tree, ".", "0-7\n", "0\n");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "0-7");
        assert_false(has_news(&door));

        make_cpuset(tree, "a", "0-1\n", "1\n");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "2-7");
        make_cpuset(tree, "b", "4-5\n", "0\n"); /* told as a new directory */
        assert_true(has_news(&door));
        assert_unbalanced(&door, "2-7");
        make_cpuset(tree, "b/c", "4-5\n", "1\n");
        assert_unbalanced(&door, "2-3,6-7");
        make_cpuset(tree, "a", "0-3\n", "1\n");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "6-7");

        make_cpuset(tree, ".", "0-7\n", "1\n");
        assert_unbalanced(&door, "");
        assert_unbalanced(&door, "");           /* takes the news that older watches ended */
        make_cpuset(tree, "a", "0-1\n", "1\n"); /* no longer of interest */
        assert_false(has_news(&door));
}

static void test_version1_overlaps(void **state)
{
        const struct tree *tree = *state;
        _cleanup_door_ struct door door;

        make_cpuset(tree, ".", "0-7\n", "0\n");
        make_cpuset(tree, "single", "1\n", "1\n");
        make_cpuset(tree, "pair", "1-2\n", "1\n");
        make_cpuset(tree, "lone", "4\n", "1\n");
        make_cpuset(tree, "empty", "\n", "0\n");
        make_cpuset(tree, "empty/child", "6-7\n", "1\n"); /* no CPUs above: passed over */
        door_open(&door, tree);
        assert_unbalanced(&door, "0,3-7");
        tree_write(tree, "sys/devices/system/cpu/isolated", "2\n");
        assert_unbalanced(&door, "0-7");
        assert_unbalanced_of(&door, "0-3,100", "0-3,100");
}

static void make_partition(const struct tree *tree, const char *name, const char *cpus,
                           const char *kind)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "cgroup/%s/cpuset.cpus.effective", name);
        tree_write(tree, path, cpus);
        (void)snprintf(path, sizeof(path), "cgroup/%s/cpuset.cpus.partition", name);
        tree_write(tree, path, kind);
        (void)snprintf(path, sizeof(path), "cgroup/%s/cgroup.subtree_control", name);
        tree_write(tree, path, "\n");
}

static void make_version2(const struct tree *tree)
{
        tree_write(tree, "cgroup/cgroup.controllers", "cpuset cpu io\n");
        tree_write(tree, "cgroup/cgroup.subtree_control", "cpu cpuset io\n");
}

static void test_version2(void **state)
{
        const struct tree *tree = *state;
        _cleanup_door_ struct door door;

        make_version2(tree);
        make_partition(tree, "a", "0-3\n", "member\n");
        door_open(&door, tree);
        assert_unbalanced(&door, "");
        make_partition(tree, "a", "2-3\n", "isolated\n");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "2-3");
        make_partition(tree, "a", "2-3\n", "isolated invalid (Cpu list in cpuset.cpus empty)\n");
        assert_unbalanced(&door, "");
        make_partition(tree, "a", "2-3\n", "root\n");
        assert_unbalanced(&door, "");
        make_partition(tree, "a", "3\n", "root\n"); /* a domain of one */
        assert_unbalanced(&door, "3");
        make_partition(tree, "b", "5-6\n", "isolated\n");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "3,5-6");

        /* Deeper down only where the controller is handed on. */
        make_partition(tree, "b/c", "5\n", "root\n");
        make_partition(tree, "d/e", "0-1\n", "isolated\n");
        make_partition(tree, "d", "0-1\n", "member\n");
        assert_unbalanced(&door, "3,5-6");
        tree_write(tree, "cgroup/d/cgroup.subtree_control", "cpuset\n");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "0-1,3,5-6");

        tree_remove(tree, "cgroup/d/e/cpuset.cpus.partition");
        tree_remove(tree, "cgroup/d/e/cpuset.cpus.effective");
        tree_remove(tree, "cgroup/d/e/cgroup.subtree_control");
        assert_unbalanced(&door, "0-1,3,5-6"); /* a cgroup's files go with it alone */
        tree_remove(tree, "cgroup/d/e");
        assert_true(has_news(&door));
        assert_unbalanced(&door, "3,5-6");
}

/* From 6.7 on the top cgroup lists all that is isolated, out of sight too. */
static void test_version2_list(void **state)
{
        const struct tree *tree = *state;
        _cleanup_door_ struct door door;

        make_version2(tree);
        tree_write(tree, "cgroup/cpuset.cpus.isolated", "6-7\n");
        make_partition(tree, "a", "2-3\n", "isolated\n");
        door_open(&door, tree);
        assert_unbalanced(&door, "2-3,6-7");
}

/* Cgroups deeper or more than the walk goes end it, and cost no more. */
static void test_bounds(void **state)
{
        const struct tree *tree = *state;
        _cleanup_door_ struct door door;
        char path[512] = "0";

        make_cpuset(tree, ".", "0-7\n", "0\n");
        for (unsigned i = 0; i < 40; i++) {
                make_cpuset(tree, path, "0-7\n", i == 39 ? "1\n" : "0\n");
                (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%u", i);
        }
        door_open(&door, tree);
        assert_unbalanced(&door, "0-7");
}

#define FLAG "/sys/fs/cgroup/cpuset/cpuset.sched_load_balance"

struct machine_flag {
        int fd;
        int lock_fd;
        char original;
};

/* The lock that all tests take that change the machine (tests/support/machine.py). */
static int lock_machine(void)
{
        const char *folder = access("/run/lock", W_OK) == 0 ? "/run/lock" : "/tmp";
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/balancerd-tests.lock", folder);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0)
                (void)flock(fd, LOCK_EX);
        return fd;
}

/* Opens the flag of this machine, which the teardown gives back, however the test ends. */
static int flag_setup(void **state)
{
        struct machine_flag *flag = calloc(1, sizeof(*flag));

        if (!flag)
                return -1;
        flag->lock_fd = flag->fd = -1;
        if (geteuid() == 0) {
                flag->lock_fd = lock_machine();
                flag->fd = open(FLAG, O_RDWR | O_CLOEXEC);
        }
        if (flag->fd >= 0 && pread(flag->fd, &flag->original, 1, 0) != 1) {
                close(flag->fd);
                flag->fd = -1;
        }
        *state = flag;
        return 0;
}

static int flag_teardown(void **state)
{
        struct machine_flag *flag = *state;
        ssize_t n = 1;

        if (flag->fd >= 0) {
                n = pwrite(flag->fd, &flag->original, 1, 0);
                close(flag->fd);
        }
        closep(&flag->lock_fd);
        free(flag);
        return n == 1 ? 0 : -1;
}

static void read_unbalanced(struct door *door, const struct cpuset *online, struct cpuset *ret)
{
        cpuset_done(ret);
        assert_int_equal(unbalanced_read(door->u, NULL, online, ret), 0);
}

static void test_this_machine(void **state)
{
        const struct machine_flag *flag = *state;
        _cleanup_close_ int proc_fd = -1, cgroup_fd = -1;
        _cleanup_cpuset_ struct cpuset online = {0}, before = {0}, meanwhile = {0}, after = {0};
        _cleanup_door_ struct door door;

        if (flag->fd < 0 || flag->original != '1') {
                print_message("skipped: needs root, and 1 in " FLAG "\n");
                skip();
        }
        proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cgroup_fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        door.sys_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(cpulist_read_at(door.sys_fd, "devices/system/cpu/online", &online), 0);
        assert_int_equal(cgroup_mounts_new(&door.mounts, proc_fd, cgroup_fd), 0);
        assert_int_equal(unbalanced_new(&door.u, door.mounts, door.sys_fd), 0);

        read_unbalanced(&door, &online, &before);
        assert_false(has_news(&door));
        assert_int_equal(pwrite(flag->fd, "0", 1, 0), 1);
        assert_true(has_news(&door));
        read_unbalanced(&door, &online, &meanwhile);
        assert_int_equal(pwrite(flag->fd, "1", 1, 0), 1);
        assert_true(has_news(&door));
        read_unbalanced(&door, &online, &after);
        read_unbalanced(&door, &online, &after); /* takes the news that older watches ended */
        assert_false(has_news(&door));
        assert_true(cpuset_equal(&before, &after));
        assert_true(cpuset_is_subset(&before, &meanwhile));
        assert_true(cpuset_count(&online) == 1 || !cpuset_equal(&before, &meanwhile));
}

#define in_a_tree(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                in_a_tree(test_nothing_known),
                in_a_tree(test_schedstat_wins),
                in_a_tree(test_schedstat_spares_the_walk),
                in_a_tree(test_isolated),
                in_a_tree(test_version1),
                in_a_tree(test_version1_overlaps),
                in_a_tree(test_version2),
                in_a_tree(test_version2_list),
                in_a_tree(test_bounds),
                cmocka_unit_test_setup_teardown(test_this_machine, flag_setup, flag_teardown),
        };

        return cmocka_run_group_tests_name("unbalanced", tests, NULL, NULL);
}
