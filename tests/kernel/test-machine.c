/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/machine.h"

#include <hwloc.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sets.h"
#include "tree.h"

static void assert_counts(const struct topology *t, unsigned cpus, unsigned cores, unsigned llcs,
                          unsigned nodes)
{
        assert_int_equal(t->n_cpus, cpus);
        assert_int_equal(t->n_cores, cores);
        assert_int_equal(t->n_llcs, llcs);
        assert_int_equal(t->n_nodes, nodes);
}

static const struct topology_cpu *cpu_of(const struct topology *t, unsigned id)
{
        int index = topology_index(t, id);

        assert_true(index >= 0);
        return &t->cpus[index];
}

static bool share_core(const struct topology *t, unsigned a, unsigned b)
{
        return cpu_of(t, a)->core == cpu_of(t, b)->core;
}

static void assert_capacity(const struct topology *t, unsigned id, double expected)
{
        double capacity = (double)cpu_of(t, id)->capacity;

        if (capacity < expected - 0.001 || capacity > expected + 0.001)
                fail_msg("CPU %u has capacity %f, not %f", id, capacity, expected);
}

static hwloc_topology_t synthetic(const char *description)
{
        hwloc_topology_t hwloc;

        assert_int_equal(hwloc_topology_init(&hwloc), 0);
        assert_int_equal(hwloc_topology_set_synthetic(hwloc, description), 0);
        assert_int_equal(hwloc_topology_load(hwloc), 0);
        return hwloc;
}

/* Converts HWLOC, which it destroys; ONLINE NULL: all. */
static struct topology *convert(hwloc_topology_t hwloc, const char *online)
{
        struct topology *t = NULL;
        _cleanup_cpuset_ struct cpuset set = {0};

        if (online)
                set = list(online);
        assert_int_equal(machine_from_hwloc(hwloc, -1, online ? &set : NULL, &t), 0);
        hwloc_topology_destroy(hwloc);
        return t;
}

static void test_big_machine(void **state)
{
        _cleanup_(topology_freep) struct topology *t =
                convert(synthetic("pack:4 node:2 l3:4 l2:16 core:1 pu:2"), NULL);

        (void)state;
        assert_counts(t, 1024, 512, 32, 8);
        assert_true(share_core(t, 0, 1));
        assert_false(share_core(t, 1, 2));
        assert_capacity(t, 1023, 1);
}

static void test_shapes(void **state)
{
        static const struct {
                const char *description;
                unsigned cpus, cores, llcs, nodes;
        } shapes[] = {
                {"node:1 core:1 pu:1", 1, 1, 1, 1},
                {"[numa] core:4 pu:1", 4, 4, 1, 1},
                {"[numa] pu:4", 4, 4, 1, 1},
                {"[numa] pack:2 core:4 pu:2", 16, 8, 2, 1},      /* no caches: packages */
                {"[numa] pack:2 l2:4 core:1 pu:2", 16, 8, 8, 1}, /* L2 only */
                {"[numa] l3:2 l2:2 l1d:2 core:1 pu:1", 8, 8, 2, 1},
                {"[numa] l1d:4 core:1 pu:1", 4, 4, 1, 1},       /* an L1 cache is no last level */
                {"pack:1 l3:1 node:2 core:2 pu:1", 4, 4, 2, 2}, /* a cache over two nodes */
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
                _cleanup_(topology_freep) struct topology *t =
                        convert(synthetic(shapes[i].description), NULL);

                print_message("%s\n", shapes[i].description);
                assert_counts(t, shapes[i].cpus, shapes[i].cores, shapes[i].llcs, shapes[i].nodes);
        }
}

/* As a BIOS that counts the first threads of all cores before the second ones. */
static void test_interleaved_numbers(void **state)
{
        _cleanup_(topology_freep) struct topology *t =
                convert(synthetic("[numa] l3:1 core:4 pu:2(indexes=0,4,1,5,2,6,3,7)"), NULL);

        (void)state;
        assert_true(share_core(t, 0, 4));
        assert_true(share_core(t, 3, 7));
        assert_false(share_core(t, 0, 1));
}

static void test_offline_and_unknown(void **state)
{
        _cleanup_(topology_freep) struct topology *t =
                convert(synthetic("node:2 l3:1 core:2 pu:2"), "0,2-3,5,9-10");

        (void)state;
        assert_counts(t, 6, 5, 4, 4);
        assert_int_equal(topology_index(t, 1), -1);
        assert_int_equal(topology_index(t, 4), -1);
        assert_true(share_core(t, 2, 3));
        assert_int_not_equal(cpu_of(t, 9)->node, cpu_of(t, 10)->node);
        assert_int_equal(cpu_of(t, 0)->node, cpu_of(t, 3)->node);
}

static void test_no_cpu(void **state)
{
        hwloc_topology_t hwloc = synthetic("[numa] pu:2");
        const struct cpuset none = {0};
        struct topology *t = NULL;

        (void)state;
        assert_int_equal(machine_from_hwloc(hwloc, -1, &none, &t), -EINVAL);
        assert_null(t);
        hwloc_topology_destroy(hwloc);
}

/* A node of memory alone beside those with CPUs, numbered before them. */
static void test_memory_node(void **state)
{
        _cleanup_(topology_freep) struct topology *t = NULL;
        hwloc_topology_t hwloc;

        (void)state;
        hwloc = synthetic("[numa] pack:2 [numa(indexes=1,2)] l3:1 core:2 pu:1");
        t = convert(hwloc, NULL);
        assert_counts(t, 4, 4, 2, 2);
}

static void add_kind(hwloc_topology_t hwloc, unsigned first, unsigned last, int rank,
                     const char *mhz)
{
        char name[] = "FrequencyMaxMHz", value[16];
        struct hwloc_info_s info = {name, value};
        hwloc_bitmap_t cpus = hwloc_bitmap_alloc();

        (void)snprintf(value, sizeof(value), "%s", mhz ? mhz : "");
        assert_int_equal(hwloc_bitmap_set_range(cpus, first, (int)last), 0);
        assert_int_equal(
                hwloc_cpukinds_register(hwloc, cpus, rank, mhz ? 1 : 0, mhz ? &info : NULL, 0), 0);
        hwloc_bitmap_free(cpus);
}

static void test_hybrid_by_clock(void **state)
{
        _cleanup_(topology_freep) struct topology *t = NULL;
        hwloc_topology_t hwloc = synthetic("[numa] l3:1 core:8 pu:1");

        (void)state;
        add_kind(hwloc, 0, 3, 1, "5000");
        add_kind(hwloc, 4, 7, 0, "3500");
        t = convert(hwloc, NULL);
        assert_capacity(t, 0, 1);
        assert_capacity(t, 7, 0.7);
}

/* Turbo clocks of favoured cores make no second kind. */
static void test_favoured_core(void **state)
{
        _cleanup_(topology_freep) struct topology *t = NULL;
        hwloc_topology_t hwloc = synthetic("[numa] l3:1 core:4 pu:1");

        (void)state;
        add_kind(hwloc, 0, 0, 1, "5000");
        add_kind(hwloc, 1, 3, 0, "4800");
        t = convert(hwloc, NULL);
        assert_capacity(t, 0, 1);
        assert_capacity(t, 3, 1);
}

static void test_hybrid_by_rank(void **state)
{
        _cleanup_(topology_freep) struct topology *t = NULL;
        hwloc_topology_t hwloc = synthetic("[numa] l3:1 core:6 pu:1");

        (void)state;
        add_kind(hwloc, 0, 1, 20, NULL);
        add_kind(hwloc, 2, 3, 10, NULL);
        add_kind(hwloc, 4, 5, 0, NULL);
        t = convert(hwloc, NULL);
        assert_capacity(t, 0, 1);
        assert_capacity(t, 2, 0.75);
        assert_capacity(t, 5, 0.5);
}

/* Unpacks the captured machine NAME into TREE. */
static void unpack(const struct tree *tree, const char *name)
{
        const char *top = getenv("top_srcdir");
        char archive[4096],
                *arguments[] = {
                        (char[]){"tar"}, (char[]){"-xzf"}, archive, (char[]){"-C"}, NULL, NULL};
        char directory[sizeof(tree->path)], *environment[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};
        int status = -1;
        pid_t pid;

        (void)snprintf(archive, sizeof(archive), "%s/tests/fixtures/%s/sys-tree.tar.gz",
                       top ? top : ".", name);
        (void)snprintf(directory, sizeof(directory), "%s", tree->path);
        arguments[4] = directory;
        assert_int_equal(posix_spawnp(&pid, "tar", NULL, NULL, arguments, environment), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* HELPED: by hwloc. */
static struct topology *read_tree(const struct tree *tree, bool helped)
{
        _cleanup_close_ int sys_fd = tree_open(tree, "sys");
        struct topology *t = NULL;
        char root[128];

        (void)snprintf(root, sizeof(root), "%s/sys", tree->path);
        assert_int_equal(machine_read(sys_fd, root, &t), helped ? 0 : 1);
        assert_null(getenv("HWLOC_FSROOT"));
        return t;
}

static void test_captured(const struct tree *tree, const char *name)
{
        _cleanup_(topology_freep) struct topology *t = NULL;

        unpack(tree, name);
        t = read_tree(tree, true);
        assert_counts(t, 8, 4, 2, 2);
        assert_true(share_core(t, 0, 1));
        assert_true(share_core(t, 6, 7));
        assert_int_equal(cpu_of(t, 3)->node, cpu_of(t, 0)->node);
        assert_int_not_equal(cpu_of(t, 4)->node, cpu_of(t, 3)->node);
        assert_capacity(t, 7, 1);
}

static void test_captured_old(void **state)
{
        test_captured(*state, "linux-6.1");
}

static void test_captured_new(void **state)
{
        test_captured(*state, "linux-7.2");
}

/* The captured machine with CPU 3 offline, and CPUs of two speeds. */
static void test_captured_changed(void **state)
{
        const struct tree *tree = *state;
        _cleanup_(topology_freep) struct topology *t = NULL;
        char path[128];

        unpack(tree, "linux-7.2");
        tree_write(tree, "sys/devices/system/cpu/online", "0-2,4-7\n");
        tree_write(tree, "sys/devices/system/cpu/cpu3/online", "0\n");
        for (unsigned cpu = 0; cpu < 8; cpu++) {
                (void)snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/cpu_capacity",
                               cpu);
                tree_write(tree, path, cpu < 3 ? "446\n" : "892\n");
        }
        t = read_tree(tree, true);
        assert_counts(t, 7, 4, 2, 2);
        assert_int_equal(topology_index(t, 3), -1);
        assert_capacity(t, 0, 0.5);
        assert_capacity(t, 7, 1);
}

/* With any number of descriptors: all of it, or an error. */
static void test_captured_without_descriptors(void **state)
{
        const struct tree *tree = *state;
        struct rlimit before, few;
        char root[128];
        int sys_fd, r = -EMFILE;

        unpack(tree, "linux-7.2");
        (void)snprintf(root, sizeof(root), "%s/sys", tree->path);
        sys_fd = tree_open(tree, "sys");
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = (struct rlimit){(rlim_t)sys_fd + 1, before.rlim_max};
        for (; r == -EMFILE; few.rlim_cur++) {
                _cleanup_(topology_freep) struct topology *t = NULL;

                assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
                r = machine_read(sys_fd, root, &t);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
                if (r != -EMFILE)
                        assert_counts(t, 8, 4, 2, 2);
        }
        assert_int_equal(r, 0);
        close(sys_fd);
}

/* Where hwloc finds nothing, the online list is left. */
static void test_bare_tree(void **state)
{
        const struct tree *tree = *state;
        _cleanup_(topology_freep) struct topology *t = NULL;

        tree_write(tree, "sys/devices/system/cpu/online", "0-1,8\n");
        tree_write(tree, "sys/devices/system/cpu/cpu0/cpu_capacity", "512\n");
        t = read_tree(tree, true);
        assert_int_equal(t->n_cpus, 3);
        assert_int_equal(t->n_cores, 3);
        assert_capacity(t, 0, 1); /* one file alone compares with nothing */
}

/* A root of another name is beyond hwloc. */
static void test_flat(void **state)
{
        const struct tree *tree = *state;
        _cleanup_(topology_freep) struct topology *t = NULL;

        tree_write(tree, "devices/system/cpu/online", "1-2,8\n");
        tree_write(tree, "devices/system/cpu/cpu1/cpu_capacity", "512\n");
        tree_write(tree, "devices/system/cpu/cpu2/cpu_capacity", "1024\n");
        tree_write(tree, "devices/system/cpu/cpu8/cpu_capacity", "256\n");
        assert_int_equal(machine_read(tree->fd, tree->path, &t), 1);
        assert_counts(t, 3, 3, 1, 1);
        assert_capacity(t, 1, 0.5);
        assert_capacity(t, 8, 0.25);
}

static void test_bad_online_list(void **state)
{
        const struct tree *tree = *state;
        struct topology *t = NULL;

        assert_int_equal(machine_read(tree->fd, tree->path, &t), -ENOENT);
        tree_write(tree, "devices/system/cpu/online", "0-x\n");
        assert_int_equal(machine_read(tree->fd, tree->path, &t), -EINVAL);
        tree_write(tree, "devices/system/cpu/online", "\n");
        assert_int_equal(machine_read(tree->fd, tree->path, &t), -EINVAL);
        assert_null(t);
}

static void test_this_machine(void **state)
{
        _cleanup_close_ int sys_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(topology_freep) struct topology *t = NULL;

        (void)state;
        assert_int_equal(machine_read(sys_fd, "/sys", &t), 0);
        assert_int_equal(t->n_cpus, sysconf(_SC_NPROCESSORS_ONLN));
}

#define in_a_tree(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_big_machine),
                cmocka_unit_test(test_shapes),
                cmocka_unit_test(test_interleaved_numbers),
                cmocka_unit_test(test_offline_and_unknown),
                cmocka_unit_test(test_no_cpu),
                cmocka_unit_test(test_memory_node),
                cmocka_unit_test(test_hybrid_by_clock),
                cmocka_unit_test(test_favoured_core),
                cmocka_unit_test(test_hybrid_by_rank),
                in_a_tree(test_captured_old),
                in_a_tree(test_captured_new),
                in_a_tree(test_captured_changed),
                in_a_tree(test_captured_without_descriptors),
                in_a_tree(test_bare_tree),
                in_a_tree(test_flat),
                in_a_tree(test_bad_online_list),
                cmocka_unit_test(test_this_machine),
        };

        return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
