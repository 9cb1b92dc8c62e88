/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/vfs.h>

#include "base/io.h"
#include "base/macro.h"
#include "kernel/affinity.h"
#include "kernel/cgroup.h"
#include "kernel/cpulist.h"
#include "kernel/domainless.h"
#include "kernel/machine.h"
#include "kernel/pressure.h"
#include "kernel/procevents.h"
#include "kernel/procstat.h"
#include "kernel/schedstat.h"
#include "kernel/tasks.h"
#include "kernel/taskstats.h"
#include "kernel/unbalanced.h"

/* The paths of the machine's files, below their roots. */
#define PATH_STAT      "stat"
#define PATH_SCHEDSTAT "schedstat"
#define PATH_PRESSURE  "pressure/cpu"
#define PATH_ONLINE    "devices/system/cpu/online"

struct linux_kernel {
        struct kernel kernel; /* first */
        nsec_t tick_nsec;     /* unit of /proc/stat */

        /* Roots: the missing ones are a negative errno. */
        int proc_fd, sys_fd, cgroup_fd;
        char *sys_root;

        /* Kept open, a negative errno where missing. */
        int stat_fd, schedstat_fd, pressure_fd;
        int trigger_fd; /* -EBADF: not asked for yet */

        /* The event loop's own, kept between reads so that a tick allocates nothing. */
        struct buffer text;
        struct kernel_cpus cpus;

        struct cgroup_mounts *mounts;
        struct unbalanced *unbalanced;
        struct domainless domainless; /* as /proc/schedstat tells */
        struct procevents *events;    /* made when first asked for, as is the next one */
        struct taskstats_client *taskstats;
        pthread_mutex_t taskstats_mutex;
};

static struct linux_kernel *to_linux(struct kernel *kernel)
{
        return CONTAINER_OF(kernel, struct linux_kernel, kernel);
}

/* Opening */

static bool is_exhaustion(int error)
{
        return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* The same below a root that may itself be missing. Returns 0, or why it is of no use to go on. */
static int open_source(int root_fd, const char *path, int *ret_fd)
{
        int fd = root_fd < 0 ? root_fd : open_at(root_fd, path, 0);

        if (is_exhaustion(fd))
                return fd;
        *ret_fd = fd;
        return 0;
}

static int open_root(const char *path, int *ret_fd)
{
        int fd = open_at(AT_FDCWD, path, O_DIRECTORY);

        if (is_exhaustion(fd))
                return fd;
        *ret_fd = fd;
        return 0;
}

static int open_roots(struct linux_kernel *l, const struct linux_roots *roots)
{
        int r;

        r = open_root(roots->proc ?: "/proc", &l->proc_fd);
        if (r < 0)
                return r;
        if (l->proc_fd < 0)
                return l->proc_fd;
        l->sys_root = strdup(roots->sys ?: "/sys");
        if (!l->sys_root)
                return -ENOMEM;
        r = open_root(l->sys_root, &l->sys_fd);
        if (r < 0)
                return r;
        return open_root(roots->cgroup ?: "/sys/fs/cgroup", &l->cgroup_fd);
}

static int open_sources(struct linux_kernel *l)
{
        int r;

        r = open_source(l->proc_fd, PATH_STAT, &l->stat_fd);
        if (r < 0)
                return r;
        r = open_source(l->proc_fd, PATH_SCHEDSTAT, &l->schedstat_fd);
        if (r < 0)
                return r;
        return open_source(l->proc_fd, PATH_PRESSURE, &l->pressure_fd);
}

/* Time */

static nsec_t linux_now(struct kernel *kernel)
{
        (void)kernel;
        return clock_now_nsec(CLOCK_MONOTONIC);
}

static nsec_t linux_cpu_time(struct kernel *kernel)
{
        (void)kernel;
        return clock_now_nsec(CLOCK_PROCESS_CPUTIME_ID);
}

/* The machine */

static int linux_read_pressure(struct kernel *kernel, uint64_t *ret_total_usec)
{
        struct linux_kernel *l = to_linux(kernel);
        char text[512];
        ssize_t n;

        n = read_small_fd(l->pressure_fd, text, sizeof(text));
        if (n < 0)
                return (int)n;
        return pressure_parse(text, (size_t)n, ret_total_usec);
}

/* Writes a trigger (Documentation/accounting/psi.rst) to a descriptor of its own. A tree of files
 * in place of /proc grants none, and is not to be written to. */
static int open_trigger(const struct linux_kernel *l, const char *trigger)
{
        _cleanup_close_ int fd = -1;
        struct statfs fs;

        fd = openat(l->proc_fd, PATH_PRESSURE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstatfs(fd, &fs) < 0)
                return -errno;
        if (fs.f_type != PROC_SUPER_MAGIC)
                return -EOPNOTSUPP;
        /* The final NUL belongs to it. */
        if (write(fd, trigger, strlen(trigger) + 1) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int linux_pressure_fd(struct kernel *kernel)
{
        struct linux_kernel *l = to_linux(kernel);

        if (l->trigger_fd == -EBADF)
                l->trigger_fd = open_trigger(l, "some 20000 500000");
        /* Without CAP_SYS_RESOURCE only windows of whole two seconds are granted. */
        if (l->trigger_fd == -EINVAL || l->trigger_fd == -EPERM)
                l->trigger_fd = open_trigger(l, "some 20000 2000000");
        return l->trigger_fd;
}

static int read_text(int fd, struct buffer *ret)
{
        return fd < 0 ? fd : buffer_read_fd(ret, fd);
}

static int start_schedstat(struct linux_kernel *l, struct schedstat_reader *ret_reader)
{
        int r;

        r = read_text(l->schedstat_fd, &l->text);
        if (r < 0)
                return r;
        return schedstat_begin(ret_reader, l->text.data, l->text.length);
}

/* Sets the run_delay of those CPUs that /proc/schedstat has. */
static int fill_run_delay(struct linux_kernel *l, struct kernel_cpus *cpus)
{
        struct schedstat_reader reader;
        struct schedstat_cpu cpu;
        int r;

        r = start_schedstat(l, &reader);
        if (r < 0)
                return r;
        while ((r = schedstat_next(&reader, &cpu)) > 0)
                if (cpu.cpu < cpus->n_ids)
                        cpus->cpus[cpu.cpu].run_delay_nsec = cpu.run_delay_nsec;
        return r;
}

static void add_run_delay(struct linux_kernel *l, struct kernel_cpus *cpus)
{
        for (unsigned i = 0; i < cpus->n_ids; i++)
                cpus->cpus[i].run_delay_nsec = NSEC_INFINITY;
        cpus->has_run_delay = fill_run_delay(l, cpus) == 0;
        for (unsigned i = 0; i < cpus->n_ids; i++) {
                struct kernel_cpu *cpu = &cpus->cpus[i];

                /* A CPU that only one of the files has came or went between their reads. It counts
                 * as offline: its next difference would be its whole past. */
                if (cpus->has_run_delay && cpu->run_delay_nsec == NSEC_INFINITY)
                        cpu->online = false;
                if (!cpu->online || !cpus->has_run_delay)
                        cpu->run_delay_nsec = 0;
        }
}

static int read_stat(const struct linux_kernel *l, struct buffer *text, struct kernel_cpus *ret)
{
        int r = read_text(l->stat_fd, text);

        return r < 0 ? r : procstat_parse(text->data, text->length, l->tick_nsec, ret);
}

static int linux_read_cpus(struct kernel *kernel, struct kernel_cpus *ret)
{
        struct linux_kernel *l = to_linux(kernel);
        struct kernel_cpus swapped;
        int r;

        r = read_stat(l, &l->text, &l->cpus);
        if (r < 0)
                return r;
        add_run_delay(l, &l->cpus);
        swapped = *ret;
        *ret = l->cpus;
        l->cpus = swapped;
        return 0;
}

static int read_online_from_sys(const struct linux_kernel *l, struct cpuset *ret)
{
        return l->sys_fd < 0 ? l->sys_fd : cpulist_read_at(l->sys_fd, PATH_ONLINE, ret);
}

/* [any]: leaves l->text and l->cpus to the event loop. */
static int read_online_from_stat(const struct linux_kernel *l, struct cpuset *ret)
{
        _cleanup_(kernel_cpus_done) struct kernel_cpus cpus = {0};
        _cleanup_buffer_ struct buffer text = {0};
        _cleanup_cpuset_ struct cpuset set = {0};
        int r;

        r = read_stat(l, &text, &cpus);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < cpus.n_ids; i++) {
                if (!cpus.cpus[i].online)
                        continue;
                r = cpuset_add(&set, i);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_CPUSET(set);
        return 0;
}

/* Whether what is below /sys is closed to us, or not there. */
static bool is_out_of_sight(int error)
{
        return error == -ENOENT || error == -EACCES || error == -EPERM;
}

/* Where /sys does not tell, /proc does as well; without a descriptor to spare too: its is open.
 * [any] */
static int read_online(const struct linux_kernel *l, struct cpuset *ret)
{
        int r = read_online_from_sys(l, ret), q;

        if (!is_out_of_sight(r) && !is_exhaustion(r))
                return r;
        q = read_online_from_stat(l, ret);
        return q >= 0 || q == -ENOMEM ? q : r;
}

static int linux_read_topology(struct kernel *kernel, struct topology **ret)
{
        struct linux_kernel *l = to_linux(kernel);
        _cleanup_cpuset_ struct cpuset online = {0};
        int r, q;

        r = l->sys_fd < 0 ? l->sys_fd : machine_read(l->sys_fd, l->sys_root, ret);
        if (!is_out_of_sight(r))
                return r;
        q = read_online_from_stat(l, &online);
        if (q < 0)
                return q == -ENOMEM ? q : r;
        q = machine_flat(l->sys_fd, &online, ret);
        return q < 0 ? q : 1;
}

static int probe_topology(const struct linux_kernel *l)
{
        _cleanup_cpuset_ struct cpuset online = {0};
        int r = read_online_from_sys(l, &online);

        return r < 0 ? r : machine_probe(l->sys_root);
}

/* Process 1 is there in every namespace, and usually another user's. Where it is our own user's, as
 * in a container without root, nothing is noticed: there may be no other user at all. A tree of
 * files in place of /proc hides nothing. */
static int probe_processes(const struct linux_kernel *l)
{
        struct statfs fs;

        if (fstatfs(l->proc_fd, &fs) < 0)
                return -errno;
        if (fs.f_type != PROC_SUPER_MAGIC)
                return 0;
        return faccessat(l->proc_fd, "1/stat", R_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Of the process itself: others may be outside of what it sees even so. */
static int probe_cpusets(const struct linux_kernel *l)
{
        _cleanup_cpuset_ struct cpuset own = {0};

        if (cgroup_read_cpuset(l->mounts, l->proc_fd, getpid(), gettid(), &own) == -EACCES)
                return -EACCES;
        return l->mounts->cpuset.fd >= 0 || l->mounts->unified.fd >= 0 ? 0 : -ENOENT;
}

static int linux_probe(struct kernel *kernel, enum kernel_source source)
{
        struct linux_kernel *l = to_linux(kernel);

        if (source == KERNEL_HWLOC)
                return probe_topology(l);
        if (source == KERNEL_PROCESSES)
                return probe_processes(l);
        if (source == KERNEL_CGROUP)
                return probe_cpusets(l);
        return source == KERNEL_AFFINITY ? affinity_probe() : -EOPNOTSUPP;
}

/* Takes which CPUs /proc/schedstat shows without a domain. */
static int renew_domainless(struct linux_kernel *l, bool *ret_in_doubt)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        struct schedstat_reader reader;
        struct schedstat_cpu cpu;
        int r;

        r = start_schedstat(l, &reader);
        if (r < 0)
                return r;
        while ((r = schedstat_next(&reader, &cpu)) > 0) {
                if (cpu.has_domain)
                        continue;
                r = cpuset_add(&set, cpu.cpu);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = domainless_take(&l->domainless, &set, linux_now(&l->kernel));
        if (r < 0)
                return r;
        *ret_in_doubt = r > 0;
        return 0;
}

static int linux_read_unbalanced(struct kernel *kernel, struct cpuset *ret)
{
        struct linux_kernel *l = to_linux(kernel);
        _cleanup_cpuset_ struct cpuset online = {0};
        const struct cpuset *domainless = NULL;
        bool in_doubt = false;
        int r;

        /* Whatever becomes of this read: its caller is woken again as long as news wait. */
        unbalanced_drain(l->unbalanced);
        r = read_online(l, &online);
        if (r < 0)
                return r;
        r = renew_domainless(l, &in_doubt);
        if (r == -ENOMEM)
                return r;
        if (r == 0)
                domainless = &l->domainless.settled;
        r = unbalanced_read(l->unbalanced, domainless, &online, ret);
        return r < 0 ? r : in_doubt;
}

static int linux_unbalanced_fd(struct kernel *kernel)
{
        return unbalanced_fd(to_linux(kernel)->unbalanced);
}

/* Threads */

static int linux_list_threads(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        return tasks_list(to_linux(kernel)->proc_fd, fn, userdata);
}

static int linux_list_processes(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        return tasks_list_processes(to_linux(kernel)->proc_fd, fn, userdata);
}

static int linux_begin_process(struct kernel *kernel, pid_t tgid, struct kernel_walk *ret)
{
        int fd = tasks_open_process(to_linux(kernel)->proc_fd, tgid);

        if (fd < 0)
                return fd;
        *ret = (struct kernel_walk){.tgid = tgid, .fd = fd};
        return 0;
}

static int linux_next_threads(struct kernel *kernel, struct kernel_walk *walk, pid_t *ret_tids,
                              unsigned n)
{
        (void)kernel;
        return tasks_next(walk->fd, ret_tids, n);
}

static void linux_end_process(struct kernel *kernel, struct kernel_walk *walk)
{
        (void)kernel;
        close(walk->fd);
}

static int linux_list_process(struct kernel *kernel, pid_t tgid, kernel_thread_fn fn,
                              void *userdata)
{
        return tasks_list_process(to_linux(kernel)->proc_fd, tgid, fn, userdata);
}

/* A handle is a descriptor. */
static int linux_open_thread(struct kernel *kernel, pid_t tgid, pid_t tid)
{
        return task_open_counters(to_linux(kernel)->proc_fd, tgid, tid);
}

static int linux_dup_thread(struct kernel *kernel, int handle)
{
        int fd = fcntl(handle, F_DUPFD_CLOEXEC, 3);

        (void)kernel;
        return fd < 0 ? -errno : fd;
}

static void linux_close_thread(struct kernel *kernel, int handle)
{
        (void)kernel;
        close(handle);
}

static int linux_read_counters(struct kernel *kernel, int handle, struct kernel_counters *ret)
{
        (void)kernel;
        return task_read_counters(handle, ret);
}

static int linux_read_counters_once(struct kernel *kernel, pid_t tgid, pid_t tid,
                                    struct kernel_counters *ret)
{
        _cleanup_close_ int fd = linux_open_thread(kernel, tgid, tid);

        return task_read_counters(fd, ret);
}

static int linux_read_thread(struct kernel *kernel, pid_t tgid, pid_t tid,
                             struct kernel_thread *ret)
{
        return task_read_stat(to_linux(kernel)->proc_fd, tgid, tid, ret);
}

static int linux_read_owner(struct kernel *kernel, pid_t tgid, pid_t tid, uid_t *ret)
{
        return task_read_owner(to_linux(kernel)->proc_fd, tgid, tid, ret);
}

static int linux_find_process(struct kernel *kernel, pid_t tid, pid_t *ret_tgid)
{
        return task_find_process(to_linux(kernel)->proc_fd, tid, ret_tgid);
}

/* The netlink socket is shared by all callers: one question at a time. */
static int linux_read_switches(struct kernel *kernel, pid_t tid, struct kernel_switches *ret)
{
        struct linux_kernel *l = to_linux(kernel);
        int r = 0;

        (void)pthread_mutex_lock(&l->taskstats_mutex);
        if (!l->taskstats)
                r = taskstats_new(&l->taskstats);
        if (r == 0)
                r = taskstats_read(l->taskstats, tid, ret);
        (void)pthread_mutex_unlock(&l->taskstats_mutex);
        return r;
}

static int linux_read_status_switches(struct kernel *kernel, pid_t tgid, pid_t tid,
                                      struct kernel_switches *ret)
{
        return task_read_switches(to_linux(kernel)->proc_fd, tgid, tid, ret);
}

/* Affinity */

static int linux_get_affinity(struct kernel *kernel, pid_t tid, struct cpuset *ret)
{
        (void)kernel;
        return affinity_get(tid, ret);
}

static int linux_set_affinity(struct kernel *kernel, pid_t tid, const struct cpuset *set)
{
        (void)kernel;
        return affinity_set(tid, set);
}

static int linux_read_allowed(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        return task_read_allowed(to_linux(kernel)->proc_fd, tgid, tid, ret);
}

static int linux_read_cpuset(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        struct linux_kernel *l = to_linux(kernel);
        int r, q;

        r = cgroup_read_cpuset(l->mounts, l->proc_fd, tgid, tid, ret);
        if (r != -ENOENT && r != -EACCES)
                return r;
        q = read_online(l, ret);
        return q < 0 ? q : r == -EACCES;
}

/* Process events */

static int linux_events_fd(struct kernel *kernel)
{
        struct linux_kernel *l = to_linux(kernel);

        if (!l->events) {
                int r = procevents_new(&l->events);
                if (r < 0)
                        return r;
        }
        return procevents_fd(l->events);
}

static int linux_next_event(struct kernel *kernel, struct kernel_event *ret)
{
        struct linux_kernel *l = to_linux(kernel);

        return l->events ? procevents_next(l->events, ret) : 0;
}

/* Lifetime */

static void linux_free(struct kernel *kernel)
{
        struct linux_kernel *l = to_linux(kernel);

        procevents_free(l->events);
        taskstats_free(l->taskstats);
        (void)pthread_mutex_destroy(&l->taskstats_mutex);
        unbalanced_free(l->unbalanced);
        domainless_done(&l->domainless);
        cgroup_mounts_free(l->mounts);
        kernel_cpus_done(&l->cpus);
        buffer_done(&l->text);
        closep(&l->trigger_fd);
        closep(&l->pressure_fd);
        closep(&l->schedstat_fd);
        closep(&l->stat_fd);
        closep(&l->cgroup_fd);
        closep(&l->sys_fd);
        closep(&l->proc_fd);
        free(l->sys_root);
        free(l);
}

static const struct kernel_ops linux_ops = {
        .free = linux_free,
        .now = linux_now,
        .cpu_time = linux_cpu_time,
        .read_topology = linux_read_topology,
        .probe = linux_probe,
        .read_unbalanced = linux_read_unbalanced,
        .unbalanced_fd = linux_unbalanced_fd,
        .read_pressure = linux_read_pressure,
        .pressure_fd = linux_pressure_fd,
        .read_cpus = linux_read_cpus,
        .list_threads = linux_list_threads,
        .list_processes = linux_list_processes,
        .list_process = linux_list_process,
        .begin_process = linux_begin_process,
        .next_threads = linux_next_threads,
        .end_process = linux_end_process,
        .open_thread = linux_open_thread,
        .dup_thread = linux_dup_thread,
        .close_thread = linux_close_thread,
        .read_counters = linux_read_counters,
        .read_thread = linux_read_thread,
        .read_counters_once = linux_read_counters_once,
        .read_owner = linux_read_owner,
        .find_process = linux_find_process,
        .read_switches = linux_read_switches,
        .read_status_switches = linux_read_status_switches,
        .get_affinity = linux_get_affinity,
        .set_affinity = linux_set_affinity,
        .read_allowed = linux_read_allowed,
        .read_cpuset = linux_read_cpuset,
        .events_fd = linux_events_fd,
        .next_event = linux_next_event,
};

static int open_doors(struct linux_kernel *l)
{
        int r;

        r = cgroup_mounts_new(&l->mounts, l->proc_fd, l->cgroup_fd);
        if (r < 0)
                return r;
        return unbalanced_new(&l->unbalanced, l->mounts, l->sys_fd);
}

int linux_kernel_new(struct kernel **ret, const struct linux_roots *roots)
{
        static const struct linux_roots usual = {0};
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        struct linux_kernel *l;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->kernel.ops = &linux_ops;
        l->tick_nsec = NSEC_PER_SEC / (nsec_t)sysconf(_SC_CLK_TCK);
        l->proc_fd = l->sys_fd = l->cgroup_fd = -EBADF;
        l->stat_fd = l->schedstat_fd = l->pressure_fd = l->trigger_fd = -EBADF;
        (void)pthread_mutex_init(&l->taskstats_mutex, NULL); /* cannot fail in Linux */
        kernel = &l->kernel;

        r = open_roots(l, roots ?: &usual);
        if (r < 0)
                return r;
        r = open_sources(l);
        if (r < 0)
                return r;
        r = open_doors(l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(kernel);
        return 0;
}
