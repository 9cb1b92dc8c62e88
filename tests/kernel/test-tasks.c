/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/io.h"
#include "kernel/affinity.h"
#include "kernel/tasks.h"

#define STAT                                                                                       \
        "34 (a) S 216 200 200 0 -1 0 75 0 0 0 7 4 0 0 20 0 1 0 1124 3125248 229 1 1 2 3 0 0 0 0 "  \
        "4096 0 0 0 0 17 6 0 0 0 0 0\n"

static int open_proc(void)
{
        int fd = open_at(AT_FDCWD, "/proc", O_DIRECTORY);

        assert_true(fd >= 0);
        return fd;
}

/* A child that waits until it is ended. */
struct child {
        pid_t pid;
        int pipe_fd;
};

static struct child child_start(const char *name)
{
        int pipe_fds[2], ready_fds[2];
        struct child child;
        char byte = 0;

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        assert_int_equal(pipe2(ready_fds, O_CLOEXEC), 0);
        child.pid = fork();
        assert_true(child.pid >= 0);
        if (child.pid == 0) {
                close(pipe_fds[1]);
                (void)prctl(PR_SET_NAME, name);
                if (write(ready_fds[1], &byte, 1) == 1)
                        (void)read(pipe_fds[0], &byte, 1);
                _exit(0);
        }
        assert_int_equal(read(ready_fds[0], &byte, 1), 1);
        close(ready_fds[0]);
        close(ready_fds[1]);
        close(pipe_fds[0]);
        child.pipe_fd = pipe_fds[1];
        return child;
}

/* Behind this its PID is no more. */
static void child_end(struct child *child)
{
        close(child->pipe_fd);
        assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

/* A thread that runs moves its counters. */
static void test_own_counters(void **state)
{
        _cleanup_close_ int proc_fd = open_proc(), fd = -1;
        struct kernel_counters before, after;

        (void)state;
        fd = task_open_counters(proc_fd, getpid(), gettid());
        if (fd == -ENOENT)
                skip(); /* no CONFIG_SCHED_INFO */
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(task_read_counters(fd, &before), 0);
        do
                assert_int_equal(task_read_counters(fd, &after), 0);
        while (after.run_nsec == before.run_nsec);
        assert_true(after.run_nsec > before.run_nsec);
        assert_true(after.wait_nsec >= before.wait_nsec && after.n_slices >= before.n_slices);
}

static void test_gone(void **state)
{
        _cleanup_close_ int proc_fd = open_proc(), fd = -1;
        struct child child = child_start("mayfly");
        _cleanup_cpuset_ struct cpuset set = {0};
        struct kernel_counters counters;
        struct kernel_thread thread;
        uid_t uid;

        (void)state;
        fd = task_open_counters(proc_fd, child.pid, child.pid);
        assert_true(fd >= 0 || fd == -ENOENT);
        if (fd >= 0)
                assert_int_equal(task_read_counters(fd, &counters), 0);
        assert_int_equal(task_read_stat(proc_fd, child.pid, child.pid, &thread), 0);
        assert_string_equal(thread.comm, "mayfly");
        assert_int_equal(thread.ppid, getpid());
        assert_false(thread.kernel_thread);

        child_end(&child);
        if (fd >= 0)
                assert_int_equal(task_read_counters(fd, &counters), -ESRCH);
        assert_int_equal(task_open_counters(proc_fd, child.pid, child.pid), -ESRCH);
        assert_int_equal(task_read_stat(proc_fd, child.pid, child.pid, &thread), -ESRCH);
        assert_int_equal(task_read_allowed(proc_fd, child.pid, child.pid, &set), -ESRCH);
        assert_int_equal(affinity_get(child.pid, &set), -ESRCH);
        assert_int_equal(affinity_set(child.pid, &set), -ESRCH);
        assert_int_equal(tasks_list_process(proc_fd, child.pid, NULL, NULL), -ESRCH);
        assert_int_equal(tasks_open_process(proc_fd, child.pid), -ESRCH);
        assert_int_equal(task_find_process(proc_fd, child.pid, &child.pid), -ESRCH);
        assert_int_equal(task_read_owner(proc_fd, child.pid, child.pid, &uid), -ESRCH);
}

struct other {
        pthread_barrier_t barrier;
        pid_t tid;
};

static void *be_other(void *userdata)
{
        struct other *other = userdata;

        other->tid = gettid();
        (void)pthread_barrier_wait(&other->barrier); /* it is known */
        (void)pthread_barrier_wait(&other->barrier); /* it is done with */
        return NULL;
}

/* A thread's number leads to its process, and that to its owner. */
static void test_process_of_a_thread(void **state)
{
        _cleanup_close_ int proc_fd = open_proc();
        struct other other;
        pthread_t thread;
        pid_t tgid = 0;
        uid_t uid = 0;

        (void)state;
        assert_int_equal(pthread_barrier_init(&other.barrier, NULL, 2), 0);
        assert_int_equal(pthread_create(&thread, NULL, be_other, &other), 0);
        (void)pthread_barrier_wait(&other.barrier);
        assert_int_equal(task_find_process(proc_fd, other.tid, &tgid), 0);
        assert_int_equal(tgid, getpid());
        assert_int_equal(task_read_owner(proc_fd, tgid, other.tid, &uid), 0);
        assert_int_equal(uid, geteuid());
        assert_int_equal(task_read_owner(proc_fd, other.tid, other.tid, &uid), 0);
        assert_int_equal(task_read_owner(proc_fd, 1, other.tid, &uid), -ESRCH);
        (void)pthread_barrier_wait(&other.barrier);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(pthread_barrier_destroy(&other.barrier), 0);
        assert_int_equal(task_find_process(proc_fd, 0, &tgid), -ESRCH);
        assert_int_equal(task_find_process(proc_fd, -1, &tgid), -ESRCH);
        assert_int_equal(task_read_owner(proc_fd, 0, 0, &uid), -ESRCH);
}

/* The effective user counts, also of a process that may not be dumped, whose files are root's. */
static void test_owner_of_a_process_that_may_not_be_dumped(void **state)
{
        _cleanup_close_ int proc_fd = open_proc();
        pid_t pid = getpid();
        uid_t uid = 0;

        (void)state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(setresuid(0, 65534, 0), 0);
        assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
        assert_int_equal(task_read_owner(proc_fd, pid, pid, &uid), 0);
        assert_int_equal(setresuid(0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
        assert_int_equal(uid, 65534);
}

/* Names that pretend to be what follows them. */
static void test_hostile_names(void **state)
{
        static const char *const names[] = {") R 1 2 3 4", "a) R\n1 (b) R 0",  "\n\n\n",
                                            "((((",        "\nCpus_allowed:1", "\x1b[2J\xff"};
        _cleanup_close_ int proc_fd = open_proc();

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_cpuset_ struct cpuset allowed = {0}, active = {0};
                struct child child = child_start(names[i]);
                struct kernel_thread thread;

                assert_int_equal(task_read_stat(proc_fd, child.pid, child.pid, &thread), 0);
                assert_string_equal(thread.comm, names[i]);
                assert_int_equal(thread.ppid, getpid());
                assert_int_equal(thread.policy, SCHED_OTHER);
                assert_int_equal(task_read_allowed(proc_fd, child.pid, child.pid, &allowed), 0);
                assert_int_equal(affinity_get(child.pid, &active), 0);
                assert_true(cpuset_is_subset(&active, &allowed));
                child_end(&child);
        }
}

static void test_kernel_thread(void **state)
{
        _cleanup_close_ int proc_fd = open_proc();
        struct kernel_thread thread;

        (void)state;
        /* Not so in a container, where 2 is anybody or nobody. */
        if (task_read_stat(proc_fd, 2, 2, &thread) < 0 || !streq(thread.comm, "kthreadd"))
                skip();
        assert_true(thread.kernel_thread);
        assert_int_equal(thread.ppid, 0);
}

static void test_no_descriptors(void **state)
{
        _cleanup_close_ int proc_fd = open_proc();
        struct kernel_thread thread;
        struct rlimit usual, none;

        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = usual.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        assert_int_equal(task_open_counters(proc_fd, getpid(), gettid()), -EMFILE);
        assert_int_equal(task_read_stat(proc_fd, getpid(), gettid(), &thread), -EMFILE);
        assert_int_equal(tasks_list(proc_fd, NULL, NULL), -EMFILE);
        assert_int_equal(tasks_list_process(proc_fd, getpid(), NULL, NULL), -EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

/* Walks: each thread's barrier visit says that it is there and still is until the next. */

#define N_EXTRA 3

struct extra {
        pthread_t thread;
        pthread_barrier_t *barrier;
        pid_t tid;
        unsigned n_seen;
};

static void *extra_main(void *userdata)
{
        struct extra *extra = userdata;

        extra->tid = gettid();
        (void)pthread_barrier_wait(extra->barrier);
        (void)pthread_barrier_wait(extra->barrier);
        return NULL;
}

static int see(pid_t tgid, pid_t tid, void *userdata)
{
        struct extra *extras = userdata;

        for (unsigned i = 0; i <= N_EXTRA; i++)
                if (tid == extras[i].tid) {
                        assert_int_equal(tgid, getpid());
                        extras[i].n_seen++;
                }
        return 0;
}

/* Tells FN what tasks_list_process() would, in small steps, up to an end that stays. */
static void walk(int proc_fd, kernel_thread_fn fn, void *userdata)
{
        _cleanup_close_ int fd = tasks_open_process(proc_fd, getpid());
        pid_t tids[2];
        int n;

        assert_true(fd >= 0);
        while ((n = tasks_next(fd, tids, ARRAY_SIZE(tids))) > 0) {
                assert_true(n <= (int)ARRAY_SIZE(tids));
                for (int i = 0; i < n; i++)
                        assert_int_equal(fn(getpid(), tids[i], userdata), 0);
        }
        assert_int_equal(n, 0);
        assert_int_equal(tasks_next(fd, tids, ARRAY_SIZE(tids)), 0);
}

static void test_list(void **state)
{
        _cleanup_close_ int proc_fd = open_proc();
        struct extra extras[N_EXTRA + 1] = {0};
        pthread_barrier_t barrier;

        (void)state;
        assert_int_equal(pthread_barrier_init(&barrier, NULL, N_EXTRA + 1), 0);
        extras[N_EXTRA].tid = gettid();
        for (unsigned i = 0; i < N_EXTRA; i++) {
                extras[i].barrier = &barrier;
                assert_int_equal(pthread_create(&extras[i].thread, NULL, extra_main, &extras[i]),
                                 0);
        }
        (void)pthread_barrier_wait(&barrier);
        assert_int_equal(tasks_list_process(proc_fd, getpid(), see, extras), 0);
        for (unsigned i = 0; i <= N_EXTRA; i++)
                assert_int_equal(extras[i].n_seen, 1);
        assert_int_equal(tasks_list(proc_fd, see, extras), 0);
        for (unsigned i = 0; i <= N_EXTRA; i++)
                assert_int_equal(extras[i].n_seen, 2);
        walk(proc_fd, see, extras);
        for (unsigned i = 0; i <= N_EXTRA; i++)
                assert_int_equal(extras[i].n_seen, 3);
        (void)pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < N_EXTRA; i++)
                assert_int_equal(pthread_join(extras[i].thread, NULL), 0);
        assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

static int end_with(pid_t tgid, pid_t tid, void *userdata)
{
        int *result = userdata;

        (void)tgid, (void)tid;
        return *result;
}

/* Also with the numbers that the walk itself passes over. */
static void test_list_ends(void **state)
{
        static const int results[] = {1, -ENOENT, -ESRCH, -EPERM, -7};
        _cleanup_close_ int proc_fd = open_proc();

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
                int result = results[i];

                assert_int_equal(tasks_list(proc_fd, end_with, &result), results[i]);
                assert_int_equal(tasks_list_process(proc_fd, getpid(), end_with, &result),
                                 results[i]);
        }
}

static int count(pid_t tgid, pid_t tid, void *userdata)
{
        unsigned *n = userdata;

        assert_true((tgid == 12 && tid == 34) || (tgid == 2147483647 && tid == 2147483647));
        (*n)++;
        return 0;
}

/* A tree of files in place of /proc. */
static void test_tree(void **state)
{
        _cleanup_(tree_done) struct tree tree;
        _cleanup_cpuset_ struct cpuset allowed = {0};
        _cleanup_close_ int fd = -1;
        struct kernel_counters counters;
        struct kernel_thread thread;
        unsigned n = 0;

        (void)state;
        tree_init(&tree);
        tree_write(&tree, "12/task/34/stat", STAT);
        tree_write(&tree, "12/task/34/status", "Cpus_allowed:\tc\n");
        tree_write(&tree, "12/task/x34/stat", STAT);
        tree_write(&tree, "12/task/0/stat", STAT);
        tree_write(&tree, "2147483647/task/2147483647/schedstat", "1 2 3\n");
        tree_write(&tree, "12x/task/12/stat", STAT);
        tree_write(&tree, "2147483648/task/12/stat", STAT);
        tree_write(&tree, "77/empty", "");
        tree_write(&tree, "stat", "");

        assert_int_equal(tasks_list(tree.fd, count, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(tasks_list_process(tree.fd, 77, count, &n), -ESRCH);

        /* What hidepid= closes is passed over (root sees it all the same). */
        tree_write(&tree, "11/task/x/stat", STAT);
        assert_int_equal(fchmodat(tree.fd, "11/task", 0, 0), 0);
        assert_int_equal(tasks_list(tree.fd, count, &n), 0);
        assert_int_equal(n, 4);
        assert_int_equal(fchmodat(tree.fd, "11/task", 0700, 0), 0);

        assert_int_equal(tasks_list_process(tree.fd, 0, count, &n), -ESRCH);
        assert_int_equal(tasks_list_process(tree.fd, -1, count, &n), -ESRCH);

        assert_int_equal(task_read_stat(tree.fd, 12, 34, &thread), 0);
        assert_int_equal(thread.start_ticks, 1124);
        assert_int_equal(task_read_allowed(tree.fd, 12, 34, &allowed), 0);
        assert_int_equal(cpuset_next(&allowed, 0), 2);
        fd = task_open_counters(tree.fd, 2147483647, 2147483647);
        assert_int_equal(task_read_counters(fd, &counters), 0);
        assert_int_equal(counters.n_slices, 3);

        /* This kernel has no schedstat: that is not a thread that has gone. */
        assert_int_equal(task_open_counters(tree.fd, 12, 34), -ENOENT);
        assert_int_equal(task_open_counters(tree.fd, 12, 35), -ESRCH);
        assert_int_equal(task_open_counters(tree.fd, 0, 0), -ESRCH);
        assert_int_equal(task_open_counters(tree.fd, -1, 34), -ESRCH);
        tree_write(&tree, "12/task/34/stat", "34 (a) S 1");
        assert_int_equal(task_read_stat(tree.fd, 12, 34, &thread), -EPROTO);
        tree_write(&tree, "12/task/34/status", "");
        assert_int_equal(task_read_allowed(tree.fd, 12, 34, &allowed), -EPROTO);
}

static void test_affinity(void **state)
{
        _cleanup_cpuset_ struct cpuset original = {0}, one = {0}, now = {0}, empty = {0};
        pid_t tid = gettid();

        (void)state;
        assert_int_equal(affinity_get(tid, &original), 0);
        assert_false(cpuset_is_empty(&original));
        assert_int_equal(cpuset_add(&one, (unsigned)cpuset_next(&original, 0)), 0);
        assert_int_equal(affinity_set(tid, &one), 0);
        assert_int_equal(affinity_get(tid, &now), 0);
        assert_true(cpuset_equal(&now, &one));
        assert_int_equal(affinity_set(tid, &empty), -EINVAL);

        /* CPUs that there can never be are ignored, at any width. */
        assert_int_equal(cpuset_unite(&original, &one), 0);
        assert_int_equal(cpuset_add(&original, CPUSET_MAX - 1), 0);
        assert_int_equal(affinity_set(tid, &original), 0);
        cpuset_done(&now);
        assert_int_equal(affinity_get(tid, &now), 0);
        cpuset_remove(&original, CPUSET_MAX - 1);
        assert_true(cpuset_equal(&now, &original));

        /* 0 would be the caller itself. */
        assert_int_equal(affinity_get(0, &now), -ESRCH);
        assert_int_equal(affinity_set(0, &one), -ESRCH);
        assert_int_equal(affinity_set(-1, &one), -ESRCH);
        cpuset_done(&now);
        assert_int_equal(affinity_get(tid, &now), 0);
        assert_true(cpuset_equal(&now, &original));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_own_counters),
                cmocka_unit_test(test_gone),
                cmocka_unit_test(test_hostile_names),
                cmocka_unit_test(test_kernel_thread),
                cmocka_unit_test(test_no_descriptors),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_list_ends),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_affinity),
                cmocka_unit_test(test_process_of_a_thread),
                cmocka_unit_test(test_owner_of_a_process_that_may_not_be_dumped),
        };

        return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
