/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The door to Linux: everything that the engine asks of a kernel goes through `struct kernel`. The
 * real one is kernel/linux.h (with /proc, /sys and cgroup roots that a caller can set); src/sim has
 * a simulated machine behind the same operations.
 *
 * All functions return 0 or a negative errno unless they say otherwise. CPUs are the kernel's
 * numbers here, never indexes. -ENOENT and -ENOSYS from a source mean that this kernel or container
 * has not got it.
 *
 * Threads of execution: those marked [any] may be called from the mover's workers at the same time
 * as anything else; the others belong to the event loop.
 */

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "model/topology.h"

/* Length of a thread's name with its final NUL (TASK_COMM_LEN; workqueue kernel threads show up to
 * 64 bytes, which are cut). */
#define KERNEL_COMM_SIZE 16

/* One CPU's counters since boot. */
struct kernel_cpu {
        bool online;
        nsec_t idle_nsec;      /* idle and iowait of /proc/stat, in grains of 10 ms */
        nsec_t busy_nsec;      /* all other columns but guest time, which is in user time already */
        nsec_t run_delay_nsec; /* of /proc/schedstat; 0 where there is none */
};

struct kernel_cpus {
        struct kernel_cpu *cpus; /* n_ids entries by CPU number; kept and grown between calls */
        unsigned n_ids;
        bool has_run_delay;  /* /proc/schedstat was there */
        uint64_t n_forks;    /* "processes": processes and threads born since boot */
        uint64_t n_runnable; /* "procs_running": running or ready to run, the caller included */
};

void kernel_cpus_done(struct kernel_cpus *cpus);
/* Grows to N_IDS entries, the new ones zero. Returns 0 or -ENOMEM. */
int kernel_cpus_reserve(struct kernel_cpus *cpus, unsigned n_ids);

/* /proc/PID/task/TID/schedstat */
struct kernel_counters {
        nsec_t run_nsec;
        nsec_t wait_nsec; /* run_delay: only grows when the thread arrives on a CPU */
        uint64_t n_slices;
};

/* The fields of /proc/PID/task/TID/stat that balancerd uses. */
struct kernel_thread {
        char comm[KERNEL_COMM_SIZE]; /* any bytes but NUL, then NULs */
        char state;                  /* 'R', 'S', ... */
        pid_t ppid;
        bool kernel_thread; /* PF_KTHREAD */
        int nice;
        unsigned n_threads;   /* of its process */
        uint64_t start_ticks; /* since boot, in clock ticks (sysconf(_SC_CLK_TCK)) */
        unsigned cpu;         /* where it is, or was last */
        unsigned rt_priority;
        int policy; /* SCHED_OTHER ... SCHED_EXT */
};

static inline bool kernel_thread_is_realtime(const struct kernel_thread *thread)
{
        return thread->policy == SCHED_FIFO || thread->policy == SCHED_RR;
}

enum kernel_event_type {
        KERNEL_EVENT_FORK, /* a process or thread was born */
        KERNEL_EVENT_EXEC, /* `tid` runs another program */
        KERNEL_EVENT_COMM, /* `tid` was renamed */
        KERNEL_EVENT_EXIT,
};

struct kernel_event {
        enum kernel_event_type type;
        pid_t tid, tgid;
        pid_t parent_tid, parent_tgid; /* of a fork: the real parent (for a new thread of a process,
                                          that process's parent) */
};

/* How often a thread gave up its CPU, and how often the CPU was taken from it. */
struct kernel_switches {
        uint64_t n_voluntary, n_involuntary;
};

/* A way to learn something, and two powers; each can be missing on its own. */
enum kernel_source {
        KERNEL_PRESSURE,         /* /proc/pressure/cpu */
        KERNEL_SCHEDSTAT,        /* /proc/schedstat */
        KERNEL_STAT,             /* /proc/stat */
        KERNEL_THREAD_SCHEDSTAT, /* /proc/PID/task/TID/schedstat */
        KERNEL_EVENTS,           /* process events (cn_proc) */
        KERNEL_TASKSTATS,
        KERNEL_CGROUP,    /* cpuset hierarchy, v1 or v2 */
        KERNEL_HWLOC,     /* topology */
        KERNEL_PROCESSES, /* other users' processes in /proc */
        KERNEL_AFFINITY,  /* the power to set the affinity of other users' threads */
        KERNEL_REALTIME,  /* SCHED_FIFO for the mover's threads */
        _KERNEL_SOURCE_MAX,
};

/* As the interface and the journal name it: "pressure", "threadSchedstat", ... */
const char *kernel_source_to_string(enum kernel_source source);

struct kernel;

/* A way through the threads of one process; belongs to the kernel that began it. */
struct kernel_walk {
        pid_t tgid;
        int fd; /* of Linux's alone */
        bool ended;
};

typedef int (*kernel_thread_fn)(pid_t tgid, pid_t tid, void *userdata);

struct kernel_ops {
        void (*free)(struct kernel *kernel);

        /* CLOCK_MONOTONIC [any]; the caller's own CPU time so far (0 in a simulation) */
        nsec_t (*now)(struct kernel *kernel);
        nsec_t (*cpu_time)(struct kernel *kernel);

        /* The machine. Returns 1 where only which CPUs there are could be seen, of which nothing
         * sets one apart from another. */
        int (*read_topology)(struct kernel *kernel, struct topology **ret);
        /* Whether a source is there without which the other reads go on in silence: 0 or a negative
         * errno. KERNEL_CGROUP, KERNEL_HWLOC, KERNEL_PROCESSES and KERNEL_AFFINITY only; may be
         * NULL. */
        int (*probe)(struct kernel *kernel, enum kernel_source source);
        /* Online CPUs that no load balancer of the kernel serves, from every source there is.
         * Returns 1 where that may be more of them soon: to be asked again at the next occasion. */
        int (*read_unbalanced)(struct kernel *kernel, struct cpuset *ret);
        /* A descriptor that becomes readable (epoll) when the answer of read_unbalanced may have
         * changed, or a negative errno; drained by read_unbalanced, even where that fails. Not
         * every change is told. Owned by the kernel. */
        int (*unbalanced_fd)(struct kernel *kernel);

        /* Counters of the whole machine. */
        int (*read_pressure)(struct kernel *kernel, uint64_t *ret_total_usec);
        int (*read_cpus)(struct kernel *kernel, struct kernel_cpus *ret);
        /* A descriptor that has EPOLLPRI when threads waited for 20 ms or more of the last half
         * second (two seconds without CAP_SYS_RESOURCE), at most once in that time; or a negative
         * errno where the kernel grants no such trigger. Set up when first asked for. */
        int (*pressure_fd)(struct kernel *kernel);

        /* Calls FN for every thread; a non-zero return ends the walk and is returned. Threads that
         * come and go meanwhile may be missed or told. */
        int (*list_threads)(struct kernel *kernel, kernel_thread_fn fn, void *userdata);
        /* The same for the first thread of every process (TID is TGID). Much cheaper where
         * processes have many threads, in memory too: looking at a thread's folder in /proc costs
         * the kernel a kilobyte for as long as it has no better use for it. */
        int (*list_processes)(struct kernel *kernel, kernel_thread_fn fn, void *userdata);
        /* The same for the threads of one process. */
        int (*list_process)(struct kernel *kernel, pid_t tgid, kernel_thread_fn fn, void *userdata);

        /* And some at a time, for those who have not the time for all at once: next_threads puts
         * TIDs into RET_TIDS, N at most, which is 2 or more, in the kernel's order, and returns how
         * many; 0 at the end, and when the process has gone. Needs a descriptor until the end. */
        int (*begin_process)(struct kernel *kernel, pid_t tgid, struct kernel_walk *ret);
        int (*next_threads)(struct kernel *kernel, struct kernel_walk *walk, pid_t *ret_tids,
                            unsigned n);
        void (*end_process)(struct kernel *kernel, struct kernel_walk *walk);

        /* A thread's counters behind a handle (0 or more) that names this very thread for good:
         * once it is gone read_counters says -ESRCH, whoever has its TID then. -EMFILE, -ENFILE
         * when there is no room; -ENOENT for a living thread where the kernel has no such counters.
         * [any] */
        int (*open_thread)(struct kernel *kernel, pid_t tgid, pid_t tid);
        int (*dup_thread)(struct kernel *kernel, int handle);
        void (*close_thread)(struct kernel *kernel, int handle);
        int (*read_counters)(struct kernel *kernel, int handle, struct kernel_counters *ret);
        /* By name, without a handle; -ESRCH when it is gone. [any] */
        int (*read_thread)(struct kernel *kernel, pid_t tgid, pid_t tid, struct kernel_thread *ret);
        int (*read_counters_once)(struct kernel *kernel, pid_t tgid, pid_t tid,
                                  struct kernel_counters *ret);
        /* The thread's effective user; and the process of a thread of which only the number is
         * known. -ESRCH when it is gone. */
        int (*read_owner)(struct kernel *kernel, pid_t tgid, pid_t tid, uid_t *ret);
        int (*find_process)(struct kernel *kernel, pid_t tid, pid_t *ret_tgid);
        /* By taskstats, and from the thread's status file. */
        int (*read_switches)(struct kernel *kernel, pid_t tid, struct kernel_switches *ret);
        int (*read_status_switches)(struct kernel *kernel, pid_t tgid, pid_t tid,
                                    struct kernel_switches *ret);

        /* Affinity [any]. get_affinity: sched_getaffinity(2), active CPUs only. read_allowed: the
         * whole mask (Cpus_allowed of status), offline CPUs included. read_cpuset: 0 and what the
         * thread's cpuset permits (its effective CPUs), all online CPUs where there are no cpusets;
         * 1 and all online CPUs where there may be one that cannot be seen; -ENOENT or -EACCES
         * where not even these can. What RET held before is not freed. */
        int (*get_affinity)(struct kernel *kernel, pid_t tid, struct cpuset *ret);
        int (*set_affinity)(struct kernel *kernel, pid_t tid, const struct cpuset *set);
        int (*read_allowed)(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret);
        int (*read_cpuset)(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret);

        /* Process events. events_fd: a descriptor for epoll, or a negative errno where there are
         * none. next_event: 1 and an event, 0 when there is none, -ENOBUFS once when some were lost
         * (rescan), -EAGAIN when there are more but enough were taken for now. */
        int (*events_fd)(struct kernel *kernel);
        int (*next_event)(struct kernel *kernel, struct kernel_event *ret);
};

/* Implementations embed this as their first member. */
struct kernel {
        const struct kernel_ops *ops;
};

static inline void kernel_free(struct kernel *kernel)
{
        if (kernel)
                kernel->ops->free(kernel);
}

static inline void kernel_freep(struct kernel **kernel)
{
        kernel_free(*kernel);
}
