/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fixture.h"
#include "sets.h"
#include "tree.h"

#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/linux.h"

#define TICK_NSEC (NSEC_PER_SEC / (nsec_t)sysconf(_SC_CLK_TCK))
#define N12       " 0 0 0 0 0 0 0 0 0 0 0 0"
#define DOMAIN_15 N12 N12 N12 "\n"
#define STAT                                                                                       \
        "cpu  1 1 1 1 1 1 1 1 0 0\n"                                                               \
        "cpu0 10 0 0 100 1 0 0 0 0 0\n"                                                            \
        "cpu1 20 0 0 200 2 0 0 0 0 0\n"                                                            \
        "processes 256\nprocs_running 16\n"
#define SCHEDSTAT_HEAD "version 15\ntimestamp 4294894923\n"
#define SCHEDSTAT      SCHEDSTAT_HEAD "cpu0 0 0 0 0 0 0 1 1000 1\ncpu1 0 0 0 0 0 0 1 2000 1\n"

struct fake {
        struct tree tree;
        struct kernel *kernel;
        char proc[80], sys[80], cgroup[80];
};

static void fake_init(struct fake *f)
{
        *f = (struct fake){0};
        tree_init(&f->tree);
        (void)snprintf(f->proc, sizeof(f->proc), "%s/proc", f->tree.path);
        (void)snprintf(f->sys, sizeof(f->sys), "%s/sys", f->tree.path);
        (void)snprintf(f->cgroup, sizeof(f->cgroup), "%s/cgroup", f->tree.path);
        tree_write(&f->tree, "proc/self/mountinfo", "");
}

static int fake_open(struct fake *f)
{
        const struct linux_roots roots = {f->proc, f->sys, f->cgroup};

        return linux_kernel_new(&f->kernel, &roots);
}

static void fake_done(struct fake *f)
{
        kernel_free(f->kernel);
        tree_done(&f->tree);
}

static int read_cpus(struct fake *f, struct kernel_cpus *cpus)
{
        return f->kernel->ops->read_cpus(f->kernel, cpus);
}

/* The files are opened once; what is in them is read each time. */
static void test_cpus(void **state)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_(fake_done) struct fake f;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/stat", STAT);
        tree_write(&f.tree, "proc/schedstat", SCHEDSTAT);
        assert_int_equal(fake_open(&f), 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(read_cpus(&f, &cpus), 0);
                assert_int_equal(cpus.n_ids, 2);
                assert_true(cpus.has_run_delay);
                assert_true(cpus.cpus[0].online && cpus.cpus[1].online);
                assert_int_equal(cpus.cpus[0].idle_nsec, 101 * TICK_NSEC);
                assert_int_equal(cpus.cpus[1].busy_nsec, 20 * TICK_NSEC);
                assert_int_equal(cpus.cpus[0].run_delay_nsec, 1000);
                assert_int_equal(cpus.cpus[1].run_delay_nsec, 2000);
                assert_int_equal(cpus.n_forks, 256);
                assert_int_equal(cpus.n_runnable, 16);
        }
        tree_write(&f.tree, "proc/schedstat", SCHEDSTAT_HEAD "cpu0 0 0 0 0 0 0 1 1001 1\n");
        assert_int_equal(read_cpus(&f, &cpus), 0);
        assert_int_equal(cpus.cpus[0].run_delay_nsec, 1001);
        /* It went between the two reads. */
        assert_false(cpus.cpus[1].online);
        assert_int_equal(cpus.cpus[1].run_delay_nsec, 0);
}

/* Neither a file that is missing nor one that makes no sense keeps the rest from being read. */
static void test_no_schedstat(void **state)
{
        static const char *const texts[] = {NULL, "", "version 13\n", SCHEDSTAT "hello\n",
                                            SCHEDSTAT_HEAD "cpu0 0 0 0 0 0 0 1 1001"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
                _cleanup_(fake_done) struct fake f;

                fake_init(&f);
                tree_write(&f.tree, "proc/stat", STAT);
                if (texts[i])
                        tree_write(&f.tree, "proc/schedstat", texts[i]);
                assert_int_equal(fake_open(&f), 0);
                assert_int_equal(read_cpus(&f, &cpus), 0);
                assert_false(cpus.has_run_delay);
                for (unsigned cpu = 0; cpu < 2; cpu++) {
                        assert_true(cpus.cpus[cpu].online);
                        assert_int_equal(cpus.cpus[cpu].run_delay_nsec, 0);
                }
        }
}

/* What was read before stays when the next text makes no sense. */
static void test_bad_stat(void **state)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_(fake_done) struct fake f;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/stat", STAT);
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(read_cpus(&f, &cpus), 0);
        for (size_t length = 0; length < strlen(STAT); length++) {
                tree_write_bytes(&f.tree, "proc/stat", STAT, length);
                assert_int_equal(read_cpus(&f, &cpus), -EPROTO);
                assert_int_equal(cpus.n_ids, 2);
                assert_true(cpus.cpus[0].online);
                assert_int_equal(cpus.cpus[0].idle_nsec, 101 * TICK_NSEC);
                assert_int_equal(cpus.n_runnable, 16);
        }
}

static void test_missing(void **state)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_(fake_done) struct fake f;
        _cleanup_cpuset_ struct cpuset set = {0};
        struct topology *topology = NULL;
        struct linux_roots roots = {0};
        uint64_t total;

        (void)state;
        fake_init(&f);
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(read_cpus(&f, &cpus), -ENOENT);
        assert_int_equal(f.kernel->ops->read_pressure(f.kernel, &total), -ENOENT);
        assert_int_equal(f.kernel->ops->read_topology(f.kernel, &topology), -ENOENT);
        assert_int_equal(f.kernel->ops->read_unbalanced(f.kernel, &set), -ENOENT);
        assert_int_equal(f.kernel->ops->read_cpuset(f.kernel, 1, 1, &set), -ESRCH);

        roots.proc = "/nonexistent";
        assert_int_equal(linux_kernel_new(&f.kernel, &roots), -ENOENT);
}

static void test_pressure(void **state)
{
        _cleanup_(fake_done) struct fake f;
        uint64_t total = 4711;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/pressure/cpu", "some avg10=0.00 total=7\n");
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->read_pressure(f.kernel, &total), 0);
        assert_int_equal(total, 7);
        tree_write(&f.tree, "proc/pressure/cpu", "some avg10=0.00 total=8\n");
        assert_int_equal(f.kernel->ops->read_pressure(f.kernel, &total), 0);
        assert_int_equal(total, 8);
        /* A trigger would be written over it. */
        assert_int_equal(f.kernel->ops->pressure_fd(f.kernel), -EOPNOTSUPP);
        assert_int_equal(f.kernel->ops->read_pressure(f.kernel, &total), 0);
        tree_write(&f.tree, "proc/pressure/cpu", "");
        assert_int_equal(f.kernel->ops->read_pressure(f.kernel, &total), -EPROTO);
        assert_int_equal(total, 8);
}

/* As with psi=0: the file is there, and reading it fails. */
static void test_pressure_off(void **state)
{
        _cleanup_(fake_done) struct fake f;
        uint64_t total;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/pressure/cpu/in-the-way", "");
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->read_pressure(f.kernel, &total), -EISDIR);
}

static void write_schedstat(struct fake *f, const char *fixture)
{
        _cleanup_buffer_ struct buffer text = {0};

        fixture_read(&text, fixture);
        tree_write_bytes(&f->tree, "proc/schedstat", text.data, text.length);
}

static void assert_unbalanced(struct fake *f, const char *expected, int in_doubt)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        _cleanup_free_ char *list = NULL;

        assert_int_equal(f->kernel->ops->read_unbalanced(f->kernel, &set), in_doubt);
        assert_int_equal(cpuset_format_list(&set, &list), 0);
        assert_string_equal(list, expected);
}

static void test_unbalanced(void **state)
{
        static const struct {
                const char *schedstat, *isolated, *expected;
                int in_doubt; /* the first sight of CPUs without domains is */
        } all[] = {
                {"linux-6.1/proc_schedstat.isolcpus", "2-3\n", "2-3", 1},
                {"linux-7.2/proc_schedstat.partition-isolated", "\n", "6-7", 1},
                {"linux-6.12/proc_schedstat", "\n", "", 0},
                /* Without the file, others must tell. */
                {NULL, "2-3\n", "2-3", 0},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                _cleanup_(fake_done) struct fake f;

                fake_init(&f);
                tree_write(&f.tree, "sys/devices/system/cpu/online", "0-7\n");
                tree_write(&f.tree, "sys/devices/system/cpu/isolated", all[i].isolated);
                if (all[i].schedstat)
                        write_schedstat(&f, all[i].schedstat);
                assert_int_equal(fake_open(&f), 0);
                assert_unbalanced(&f, all[i].expected, all[i].in_doubt);
        }
}

/* CPUs that lose their domains are believed to have none when they still have none a while later.
 */
static void test_lost_domains(void **state)
{
        _cleanup_(fake_done) struct fake f;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "sys/devices/system/cpu/online", "0-7\n");
        write_schedstat(&f, "linux-6.12/proc_schedstat.isolcpus");
        assert_int_equal(fake_open(&f), 0);
        assert_unbalanced(&f, "2-3", 1);
        write_schedstat(&f, "linux-6.12/proc_schedstat.partition-isolated");
        assert_unbalanced(&f, "", 1);
        write_schedstat(&f, "linux-6.12/proc_schedstat");
        assert_unbalanced(&f, "", 0);
}

/* Who waits for the descriptor is not woken again and again by a read that fails. */
static void test_unbalanced_fails_quietly(void **state)
{
        _cleanup_(fake_done) struct fake f;
        _cleanup_cpuset_ struct cpuset set = {0};
        struct pollfd news = {.events = POLLIN};

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "sys/devices/system/cpu/online", "0-7\n");
        tree_remove(&f.tree, "proc/self/mountinfo");
        tree_write(&f.tree, "cgroup/cpuset/cpuset.cpus", "0-7\n");
        tree_write(&f.tree, "cgroup/cpuset/cpuset.sched_load_balance", "0\n");
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->read_unbalanced(f.kernel, &set), 0);
        news.fd = f.kernel->ops->unbalanced_fd(f.kernel);
        tree_write(&f.tree, "cgroup/cpuset/cpuset.sched_load_balance", "1\n");
        assert_int_equal(poll(&news, 1, 0), 1);
        tree_write(&f.tree, "sys/devices/system/cpu/online", "garbage");
        assert_int_equal(f.kernel->ops->read_unbalanced(f.kernel, &set), -EINVAL);
        assert_int_equal(poll(&news, 1, 0), 0);
}

/* Root, too, is bound by the modes of files, or not. */
static void heed_modes(bool heed)
{
        const uint32_t over = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

        assert_int_equal(syscall(SYS_capget, &head, caps), 0);
        if (heed)
                caps[0].effective &= ~over;
        else
                caps[0].effective |= caps[0].permitted & over;
        assert_int_equal(syscall(SYS_capset, &head, caps), 0);
}

/* What is seen of the machine where PATH is closed to us, or only what is below it. */
static void assert_seen_by_proc(struct fake *f, int error)
{
        _cleanup_(topology_freep) struct topology *topology = NULL;

        assert_int_equal(f->kernel->ops->probe(f->kernel, KERNEL_HWLOC), error);
        assert_int_equal(f->kernel->ops->read_topology(f->kernel, &topology), 1);
        assert_int_equal(topology->n_cpus, 2);
        assert_int_equal(topology->cpus[0].llc, topology->cpus[1].llc);
        assert_unbalanced(f, "0", 1);
}

/* As where only root may look into /sys, at all or into what is below. */
static void test_sys_closed(void **state)
{
        static const char *const closed[] = {"sys", "sys/devices/system/cpu"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(closed); i++) {
                _cleanup_(fake_done) struct fake f;

                fake_init(&f);
                tree_write(&f.tree, "proc/stat", STAT);
                tree_write(&f.tree, "proc/schedstat", SCHEDSTAT "domain0 3" DOMAIN_15);
                tree_write(&f.tree, "sys/devices/system/cpu/online", "0-7\n");
                assert_int_equal(fchmodat(f.tree.fd, closed[i], 0, 0), 0);
                heed_modes(true);
                assert_int_equal(fake_open(&f), 0);
                assert_seen_by_proc(&f, -EACCES);
                heed_modes(false);
                assert_int_equal(fchmodat(f.tree.fd, closed[i], 0700, 0), 0);
        }
}

static void test_sys_missing(void **state)
{
        _cleanup_(fake_done) struct fake f;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/stat", STAT);
        tree_write(&f.tree, "proc/schedstat", SCHEDSTAT "domain0 3" DOMAIN_15);
        assert_int_equal(fake_open(&f), 0);
        assert_seen_by_proc(&f, -ENOENT);
}

/* What makes no sense is not covered up. */
static void test_sys_garbage(void **state)
{
        _cleanup_(fake_done) struct fake f;
        struct topology *topology = NULL;
        _cleanup_cpuset_ struct cpuset unbalanced = {0};

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/stat", STAT);
        tree_write(&f.tree, "sys/devices/system/cpu/online", "garbage");
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->read_topology(f.kernel, &topology), -EINVAL);
        assert_int_equal(f.kernel->ops->read_unbalanced(f.kernel, &unbalanced), -EINVAL);
}

/* What other reads do without in silence. */
static void test_probe(void **state)
{
        _cleanup_(fake_done) struct fake f;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "odd/devices/system/cpu/online", "0-7\n");
        (void)snprintf(f.sys, sizeof(f.sys), "%s/odd", f.tree.path); /* hwloc wants ".../sys" */
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->probe(f.kernel, KERNEL_CGROUP), -ENOENT);
        assert_int_equal(f.kernel->ops->probe(f.kernel, KERNEL_HWLOC), -EOPNOTSUPP);
        assert_int_equal(f.kernel->ops->probe(f.kernel, KERNEL_PROCESSES), 0);
        kernel_free(f.kernel);

        tree_remove(&f.tree, "proc/self/mountinfo");
        tree_write(&f.tree, "cgroup/cpuset/cpuset.cpus", "0-7\n");
        assert_int_equal(linux_kernel_new(&f.kernel, &(struct linux_roots){.cgroup = f.cgroup}), 0);
        assert_int_equal(f.kernel->ops->probe(f.kernel, KERNEL_HWLOC), 0);
        kernel_free(f.kernel);
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->probe(f.kernel, KERNEL_CGROUP), 0);
}

/* Looks for process 1 with root's group, who may see it in a /proc that hides what is others', and
 * then without. Returns 0 where it was seen the first time and not the second. */
static int probe_hidden(struct fake *f)
{
        int with, without;

        /* Who looks is the effective user and group; access(2) asks for the real ones. */
        if (setgroups(0, NULL) < 0 || setresgid(65534, 0, 0) < 0 || setresuid(65534, 0, 0) < 0)
                return 1;
        with = f->kernel->ops->probe(f->kernel, KERNEL_PROCESSES);
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
                return 2;
        without = f->kernel->ops->probe(f->kernel, KERNEL_PROCESSES);
        return with != 0 ? 3 : without != -EPERM ? 4 : 0;
}

static int mount_hiding_proc(const char *path)
{
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;
        return mount("proc", path, "proc", 0, "hidepid=1") < 0 ? -errno : 0;
}

#define STATUS_CANNOT_MOUNT 77

static int hidden_main(struct fake *f)
{
        int r;

        if (mount_hiding_proc(f->proc) < 0)
                return STATUS_CANNOT_MOUNT;
        r = fake_open(f) < 0 ? 5 : probe_hidden(f);
        kernel_free(f->kernel);
        return r;
}

static void test_processes_hidden(void **state)
{
        _cleanup_(fake_done) struct fake f;
        int status;
        pid_t child;

        (void)state;
        fake_init(&f);
        child = fork();
        if (child == 0)
                _exit(hidden_main(&f));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == STATUS_CANNOT_MOUNT) {
                fake_done(&f);
                fake_init(&f);
                print_message("skipped: no power to mount a /proc\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* A thread whose cgroup cannot be seen may use what is online. */
static void test_cpuset_unknown(void **state)
{
        _cleanup_(fake_done) struct fake f;
        _cleanup_cpuset_ struct cpuset set = {0};

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "sys/devices/system/cpu/online", "0-7\n");
        tree_write(&f.tree, "proc/12/task/12/cgroup", "0::/\n");
        tree_write(&f.tree, "proc/12/task/12/stat", "");
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(f.kernel->ops->read_cpuset(f.kernel, 12, 12, &set), 1);
        assert_int_equal(cpuset_count(&set), 8);
        cpuset_done(&set);
        tree_write(&f.tree, "proc/12/task/12/cgroup", ""); /* there are no cpusets */
        assert_int_equal(f.kernel->ops->read_cpuset(f.kernel, 12, 12, &set), 0);
        assert_int_equal(cpuset_count(&set), 8);
}

/* The lowest descriptor that is free, and so how many are in use where there are no holes. */
static int next_fd(void)
{
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        close(fd);
        return fd;
}

/* With room for any number of its descriptors but all: it says so, and leaves none behind. */
static void test_few_descriptors(void **state)
{
        struct rlimit usual, few;
        int first = next_fd(), r = -EMFILE;

        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
        for (unsigned room = 0; r == -EMFILE; room++) {
                struct kernel *kernel = NULL;

                few = (struct rlimit){(rlim_t)first + room, usual.rlim_max};
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
                r = linux_kernel_new(&kernel, NULL);
                assert_true((r == 0) == (kernel != NULL));
                kernel_free(kernel);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
                assert_int_equal(next_fd(), first);
                assert_true(room < 64);
        }
        assert_int_equal(r, 0);
}

/* Without descriptors the topology is not taken for one that knows no caches: it is asked for
 * again. CPUs that are online stand in a file that is open already. */
static void test_topology_without_descriptors(void **state)
{
        _cleanup_(topology_freep) struct topology *usual = NULL;
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        struct rlimit before, few;
        int r = -EMFILE, full;
        unsigned n_tries = 0;

        (void)state;
        assert_int_equal(linux_kernel_new(&kernel, NULL), 0);
        full = kernel->ops->read_topology(kernel, &usual);
        assert_true(full >= 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = (struct rlimit){(rlim_t)next_fd(), before.rlim_max};
        for (; r == -EMFILE; n_tries++, few.rlim_cur++) {
                _cleanup_(topology_freep) struct topology *found = NULL;
                _cleanup_cpuset_ struct cpuset unbalanced = {0};
                int q;

                assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
                r = kernel->ops->read_topology(kernel, &found);
                q = kernel->ops->read_unbalanced(kernel, &unbalanced);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
                assert_true(q >= 0);
                assert_true(n_tries < 64);
                if (r == -EMFILE)
                        continue;
                assert_int_equal(r, full);
                assert_int_equal(found->n_cores, usual->n_cores);
                assert_int_equal(found->n_llcs, usual->n_llcs);
                assert_int_equal(found->n_nodes, usual->n_nodes);
        }
        assert_true(n_tries > 1);
}

static void test_real_machine(void **state)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_(topology_freep) struct topology *topology = NULL;
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        unsigned n_online = 0;
        nsec_t now;

        (void)state;
        assert_int_equal(linux_kernel_new(&kernel, NULL), 0);
        assert_int_equal(kernel->ops->read_topology(kernel, &topology), 0);
        assert_int_equal(kernel->ops->read_cpus(kernel, &cpus), 0);
        for (unsigned i = 0; i < cpus.n_ids; i++)
                n_online += cpus.cpus[i].online;
        assert_int_equal(n_online, topology->n_cpus);
        assert_true(cpus.n_runnable > 0 && cpus.n_forks > 0);

        now = kernel->ops->now(kernel);
        assert_true(kernel->ops->now(kernel) >= now);
        assert_true(kernel->ops->cpu_time(kernel) > 0);
}

static int find_self(pid_t tgid, pid_t tid, void *userdata)
{
        (void)userdata;
        return tgid == getpid() && tid == gettid() ? 4711 : 0;
}

/* The operations on threads, each once through the door; tasks.h has the rest of the tests. */
static void test_real_thread(void **state)
{
        _cleanup_cpuset_ struct cpuset active = {0}, allowed = {0}, permitted = {0};
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        struct kernel_counters counters, again;
        pid_t tgid = getpid(), tid = gettid();
        struct kernel_thread thread;
        int handle, second;

        (void)state;
        assert_int_equal(linux_kernel_new(&kernel, NULL), 0);
        assert_int_equal(kernel->ops->list_threads(kernel, find_self, NULL), 4711);
        assert_int_equal(kernel->ops->list_process(kernel, tgid, find_self, NULL), 4711);
        assert_int_equal(kernel->ops->read_thread(kernel, tgid, tid, &thread), 0);
        assert_int_equal(thread.state, 'R');

        assert_int_equal(kernel->ops->get_affinity(kernel, tid, &active), 0);
        assert_int_equal(kernel->ops->set_affinity(kernel, tid, &active), 0);
        assert_int_equal(kernel->ops->read_allowed(kernel, tgid, tid, &allowed), 0);
        assert_true(kernel->ops->read_cpuset(kernel, tgid, tid, &permitted) >= 0);
        assert_true(cpuset_is_subset(&active, &allowed));
        assert_true(cpuset_is_subset(&active, &permitted));

        handle = kernel->ops->open_thread(kernel, tgid, tid);
        if (handle == -ENOENT) {
                print_message("skipped: threads have no schedstat (CONFIG_SCHED_INFO)\n");
                skip();
        }
        assert_true(handle >= 0);
        second = kernel->ops->dup_thread(kernel, handle);
        assert_true(second >= 0 && second != handle);
        assert_true(fcntl(second, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(kernel->ops->read_counters(kernel, handle, &counters), 0);
        kernel->ops->close_thread(kernel, handle);
        assert_int_equal(kernel->ops->dup_thread(kernel, handle), -EBADF);
        assert_int_equal(kernel->ops->read_counters(kernel, second, &again), 0);
        assert_true(again.run_nsec >= counters.run_nsec);
        kernel->ops->close_thread(kernel, second);
        assert_int_equal(kernel->ops->read_counters_once(kernel, tgid, tid, &counters), 0);
        assert_true(counters.run_nsec >= again.run_nsec);
}

/* The operations that struct kernel_ops marks [any], on one thread that stays, from several at a
 * time. They must not disturb each other; a race detector sees more here than the results show. */
static int ask_affinity(struct kernel *kernel, pid_t id)
{
        _cleanup_cpuset_ struct cpuset active = {0}, allowed = {0}, permitted = {0};
        int r;

        r = kernel->ops->get_affinity(kernel, id, &active);
        if (r < 0)
                return r;
        r = kernel->ops->set_affinity(kernel, id, &active);
        if (r < 0)
                return r;
        r = kernel->ops->read_allowed(kernel, id, id, &allowed);
        if (r < 0)
                return r;
        return kernel->ops->read_cpuset(kernel, id, id, &permitted);
}

static int ask_counters(struct kernel *kernel, pid_t id)
{
        struct kernel_counters counters;
        struct kernel_thread thread;
        int handle, r;

        r = kernel->ops->read_thread(kernel, id, id, &thread);
        if (r < 0)
                return r;
        handle = kernel->ops->open_thread(kernel, id, id);
        if (handle < 0)
                return handle == -ENOENT ? 0 : handle; /* no CONFIG_SCHED_INFO */
        r = kernel->ops->read_counters(kernel, handle, &counters);
        kernel->ops->close_thread(kernel, handle);
        if (r < 0)
                return r;
        return kernel->ops->read_counters_once(kernel, id, id, &counters);
}

/* Returns the first error, as a pointer: the test's own thread alone may fail it. */
static void *ask_main(void *userdata)
{
        struct kernel *kernel = userdata;
        struct kernel_switches switches;
        int r = 0;

        for (unsigned i = 0; i < 50 && r == 0; i++) {
                /* Often not permitted, or not there; but the thread is. */
                if (kernel->ops->read_switches(kernel, getpid(), &switches) == -ESRCH)
                        r = -ESRCH;
                if (r == 0)
                        r = ask_affinity(kernel, getpid());
                if (r == 0)
                        r = ask_counters(kernel, getpid());
        }
        return (void *)(intptr_t)r;
}

static void test_real_threads_asking(void **state)
{
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        pthread_t threads[4];

        (void)state;
        assert_int_equal(linux_kernel_new(&kernel, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, ask_main, kernel), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
                void *error;

                assert_int_equal(pthread_join(threads[i], &error), 0);
                assert_null(error);
        }
}

/* read_cpuset may be called beside the event loop's own reads of the same file. */
static void *ask_cpuset_main(void *userdata)
{
        struct kernel *kernel = userdata;

        for (unsigned i = 0; i < 500; i++) {
                _cleanup_cpuset_ struct cpuset set = {0};
                int r = kernel->ops->read_cpuset(kernel, 12, 12, &set);

                if (r < 0 || cpuset_count(&set) != 2)
                        return kernel;
        }
        return NULL;
}

static void test_cpuset_beside_cpus(void **state)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_(fake_done) struct fake f;
        pthread_t thread;
        void *failed;
        int r = 0;

        (void)state;
        fake_init(&f);
        tree_write(&f.tree, "proc/stat", STAT);
        tree_write(&f.tree, "proc/schedstat", SCHEDSTAT);
        tree_write(&f.tree, "proc/12/task/12/cgroup", "0::/\n");
        assert_int_equal(fake_open(&f), 0);
        assert_int_equal(pthread_create(&thread, NULL, ask_cpuset_main, f.kernel), 0);
        for (unsigned i = 0; i < 500 && r == 0; i++)
                r = read_cpus(&f, &cpus);
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
        assert_int_equal(r, 0);
}

/* The trigger is set up once, where the kernel grants one, and reading goes on beside it. */
static void test_real_pressure(void **state)
{
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        uint64_t before, after;
        int fd;

        (void)state;
        assert_int_equal(linux_kernel_new(&kernel, NULL), 0);
        if (kernel->ops->read_pressure(kernel, &before) < 0) {
                print_message("skipped: no /proc/pressure (CONFIG_PSI, or psi=0)\n");
                skip();
        }
        fd = kernel->ops->pressure_fd(kernel);
        assert_int_equal(kernel->ops->pressure_fd(kernel), fd);
        assert_int_equal(kernel->ops->read_pressure(kernel, &after), 0);
        assert_true(after >= before);
}

/* Before anyone asked for the descriptor there is nothing to tell. */
static void test_real_events(void **state)
{
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        struct kernel_event event;
        int fd;

        (void)state;
        assert_int_equal(linux_kernel_new(&kernel, NULL), 0);
        assert_int_equal(kernel->ops->next_event(kernel, &event), 0);
        fd = kernel->ops->events_fd(kernel);
        if (fd >= 0)
                assert_int_equal(kernel->ops->events_fd(kernel), fd);
        else
                assert_int_equal(kernel->ops->next_event(kernel, &event), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cpus),
                cmocka_unit_test(test_no_schedstat),
                cmocka_unit_test(test_bad_stat),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_pressure),
                cmocka_unit_test(test_pressure_off),
                cmocka_unit_test(test_unbalanced),
                cmocka_unit_test(test_lost_domains),
                cmocka_unit_test(test_unbalanced_fails_quietly),
                cmocka_unit_test(test_sys_closed),
                cmocka_unit_test(test_sys_missing),
                cmocka_unit_test(test_sys_garbage),
                cmocka_unit_test(test_probe),
                cmocka_unit_test(test_processes_hidden),
                cmocka_unit_test(test_cpuset_unknown),
                cmocka_unit_test(test_few_descriptors),
                cmocka_unit_test(test_topology_without_descriptors),
                cmocka_unit_test(test_real_machine),
                cmocka_unit_test(test_real_thread),
                cmocka_unit_test(test_real_threads_asking),
                cmocka_unit_test(test_cpuset_beside_cpus),
                cmocka_unit_test(test_real_pressure),
                cmocka_unit_test(test_real_events),
        };

        return cmocka_run_group_tests_name("linux", tests, NULL, NULL);
}
