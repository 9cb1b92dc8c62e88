/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/kernel.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/macro.h"

/* PID_MAX_LIMIT of the kernel: no real thread has this number or a higher one. */
#define FIRST_TID (4 * 1024 * 1024)

/* The clock shows this when the machine starts: to the engine, a time of 0 means never. */
#define BOOTED_NSEC (1000 * NSEC_PER_SEC)

/* USER_HZ: the grain of /proc/stat and of start times. */
#define GRAIN_NSEC (10 * NSEC_PER_MSEC)

#define NO_THREAD UINT32_MAX

/* A pressure trigger as the kernel keeps it (kernel/sched/psi.c:update_triggers). */
struct trigger {
        nsec_t start; /* of the window */
        nsec_t fired_at;
        double start_nsec;    /* pressure then */
        double previous_nsec; /* growth in the window before */
};

#define TRIGGER_WINDOW    (500 * NSEC_PER_MSEC)
#define TRIGGER_LOOKS     (TRIGGER_WINDOW / 10)
#define TRIGGER_THRESHOLD ((double)(20 * NSEC_PER_MSEC))

struct sim_kernel {
        struct kernel kernel;
        struct machine *machine;
        struct sim_kernel_options options;
        unsigned *handles; /* thread, or NO_THREAD, by handle */
        unsigned n_handles, n_open;
        unsigned n_told_forks, n_told_exits;
        int fd; /* for whoever wants one to poll: nobody does in a simulation */
        struct trigger trigger;
};

static struct sim_kernel *sim(struct kernel *kernel)
{
        return CONTAINER_OF(kernel, struct sim_kernel, kernel);
}

pid_t sim_kernel_tid(unsigned thread)
{
        return FIRST_TID + (pid_t)thread;
}

/* The number of the living thread TID, or -ESRCH. */
static int find(const struct sim_kernel *k, pid_t tid)
{
        unsigned thread = (unsigned)(tid - FIRST_TID);

        if (tid < FIRST_TID || thread >= k->machine->n_threads ||
            k->machine->threads[thread].state == THREAD_DEAD)
                return -ESRCH;
        return (int)thread;
}

static void sim_free(struct kernel *kernel)
{
        struct sim_kernel *k = sim(kernel);

        closep(&k->fd);
        free(k->handles);
        free(k);
}

static nsec_t sim_now(struct kernel *kernel)
{
        return BOOTED_NSEC + sim(kernel)->machine->now;
}

static nsec_t sim_cpu_time(struct kernel *kernel)
{
        (void)kernel;
        return 0;
}

/* The machine. */

static int sim_read_topology(struct kernel *kernel, struct topology **ret)
{
        const struct topology *topology = sim(kernel)->machine->topology;
        _cleanup_free_ struct topology_seed *seeds = NULL;

        seeds = calloc(topology->n_cpus, sizeof(*seeds));
        if (!seeds)
                return -ENOMEM;
        for (unsigned k = 0; k < topology->n_cpus; k++) {
                const struct topology_cpu *cpu = &topology->cpus[k];

                seeds[k] = (struct topology_seed){.id = cpu->id,
                                                  .core = cpu->core,
                                                  .llc = cpu->llc,
                                                  .node = cpu->node,
                                                  .capacity = cpu->capacity};
        }
        return topology_new(ret, seeds, topology->n_cpus);
}

static int sim_read_unbalanced(struct kernel *kernel, struct cpuset *ret)
{
        const struct machine *machine = sim(kernel)->machine;
        _cleanup_cpuset_ struct cpuset set = {0};

        for (unsigned k = 0; k < machine->topology->n_cpus; k++) {
                int r;

                if (machine->cpus[k].balanced)
                        continue;
                r = cpuset_add(&set, machine->topology->cpus[k].id);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_CPUSET(set);
        return 0;
}

static int sim_unbalanced_fd(struct kernel *kernel)
{
        (void)kernel;
        return -ENOSYS;
}

static int sim_read_pressure(struct kernel *kernel, uint64_t *ret_total_usec)
{
        const struct sim_kernel *k = sim(kernel);

        if (k->options.no_pressure)
                return -ENOENT;
        *ret_total_usec = (uint64_t)(k->machine->pressure_nsec / (double)NSEC_PER_USEC);
        return 0;
}

static int sim_pressure_fd(struct kernel *kernel)
{
        return sim(kernel)->options.no_pressure ? -ENOENT : sim(kernel)->fd;
}

static int make_room(struct kernel_cpus *cpus, unsigned n_ids)
{
        struct kernel_cpu *p;

        if (cpus->n_ids >= n_ids)
                return 0;
        p = realloc(cpus->cpus, n_ids * sizeof(*p));
        if (!p)
                return -ENOMEM;
        cpus->cpus = p;
        cpus->n_ids = n_ids;
        return 0;
}

static nsec_t in_grains(nsec_t span)
{
        return span - span % GRAIN_NSEC;
}

static int sim_read_cpus(struct kernel *kernel, struct kernel_cpus *ret)
{
        const struct sim_kernel *k = sim(kernel);
        const struct machine *machine = k->machine;
        int r;

        r = make_room(ret, machine->topology->n_ids);
        if (r < 0)
                return r;
        memset(ret->cpus, 0, ret->n_ids * sizeof(*ret->cpus));
        ret->has_run_delay = !k->options.no_schedstat;
        ret->n_forks = machine->n_forks;
        ret->n_runnable = 1; /* who asks */
        for (unsigned i = 0; i < machine->topology->n_cpus; i++) {
                const struct machine_cpu *cpu = &machine->cpus[i];

                ret->n_runnable += cpu->n_queue + (cpu->current >= 0);
                ret->cpus[machine->topology->cpus[i].id] = (struct kernel_cpu){
                        .online = true,
                        .idle_nsec = in_grains(cpu->idle_nsec),
                        .busy_nsec = in_grains(cpu->busy_nsec),
                        .run_delay_nsec = ret->has_run_delay ? cpu->run_delay_nsec : 0,
                };
        }
        return 0;
}

/* Threads. */

static int sim_list_threads(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        const struct machine *machine = sim(kernel)->machine;

        for (unsigned i = 0; i < machine->n_threads; i++) {
                pid_t tid = sim_kernel_tid(i);
                int r;

                if (machine->threads[i].state == THREAD_DEAD)
                        continue;
                r = fn(tid, tid, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int sim_list_process(struct kernel *kernel, pid_t tgid, kernel_thread_fn fn, void *userdata)
{
        int thread = find(sim(kernel), tgid);

        return thread < 0 ? thread : fn(tgid, tgid, userdata);
}

/* Every process is of one thread. */
static int sim_begin_process(struct kernel *kernel, pid_t tgid, struct kernel_walk *ret)
{
        int thread = find(sim(kernel), tgid);

        if (thread < 0)
                return thread;
        *ret = (struct kernel_walk){.tgid = tgid, .fd = -EBADF};
        return 0;
}

static int sim_next_threads(struct kernel *kernel, struct kernel_walk *walk, pid_t *ret_tids,
                            unsigned n)
{
        (void)n;
        if (walk->ended || find(sim(kernel), walk->tgid) < 0)
                return 0;
        walk->ended = true;
        ret_tids[0] = walk->tgid;
        return 1;
}

static void sim_end_process(struct kernel *kernel, struct kernel_walk *walk)
{
        (void)kernel;
        (void)walk;
}

static int open_handle(struct sim_kernel *k, unsigned thread)
{
        unsigned handle = 0, *handles;

        if (k->options.max_handles > 0 && k->n_open >= k->options.max_handles)
                return -EMFILE;
        if (k->n_open == k->n_handles) {
                handle = k->n_handles;
                handles = realloc(k->handles, (k->n_handles + 64) * sizeof(*handles));
                if (!handles)
                        return -ENOMEM;
                k->handles = handles;
                for (; k->n_handles < handle + 64; k->n_handles++)
                        k->handles[k->n_handles] = NO_THREAD;
        }
        while (k->handles[handle] != NO_THREAD)
                handle++;
        k->handles[handle] = thread;
        k->n_open++;
        return (int)handle;
}

static int sim_open_thread(struct kernel *kernel, pid_t tgid, pid_t tid)
{
        int thread = find(sim(kernel), tid);

        (void)tgid;
        return thread < 0 ? thread : open_handle(sim(kernel), (unsigned)thread);
}

static int sim_dup_thread(struct kernel *kernel, int handle)
{
        return open_handle(sim(kernel), sim(kernel)->handles[handle]);
}

static void sim_close_thread(struct kernel *kernel, int handle)
{
        struct sim_kernel *k = sim(kernel);

        k->handles[handle] = NO_THREAD;
        k->n_open--;
}

static int read_thread_counters(const struct sim_kernel *k, unsigned thread,
                                struct kernel_counters *ret)
{
        const struct machine_thread *t = &k->machine->threads[thread];

        if (t->state == THREAD_DEAD)
                return -ESRCH;
        *ret = (struct kernel_counters){
                .run_nsec = t->run_nsec, .wait_nsec = t->wait_nsec, .n_slices = t->n_slices};
        return 0;
}

static int sim_read_counters(struct kernel *kernel, int handle, struct kernel_counters *ret)
{
        return read_thread_counters(sim(kernel), sim(kernel)->handles[handle], ret);
}

static int sim_read_counters_once(struct kernel *kernel, pid_t tgid, pid_t tid,
                                  struct kernel_counters *ret)
{
        int thread = find(sim(kernel), tid);

        (void)tgid;
        return thread < 0 ? thread : read_thread_counters(sim(kernel), (unsigned)thread, ret);
}

static const char *name_of(enum task_kind kind)
{
        switch (kind) {
        case TASK_HOG:
                return "hog";
        case TASK_SLEEPER:
                return "sleeper";
        case TASK_OPEN:
                return "open";
        case TASK_PERIODIC:
                return "periodic";
        case TASK_BARRIER:
                return "barrier";
        case TASK_ONCE:
                return "once";
        }
        abort();
}

static int sim_read_thread(struct kernel *kernel, pid_t tgid, pid_t tid, struct kernel_thread *ret)
{
        const struct machine *machine = sim(kernel)->machine;
        int thread = find(sim(kernel), tid);
        const struct machine_thread *t;
        const struct task *task;
        bool ready;

        (void)tgid;
        if (thread < 0)
                return thread;
        t = &machine->threads[thread];
        task = &machine->workload->tasks[thread];
        ready = t->state == THREAD_RUNS || t->state == THREAD_WAITS;
        *ret = (struct kernel_thread){
                .state = ready ? 'R' : 'S',
                .ppid = task->spec.parent < 0 ? 1 : sim_kernel_tid((unsigned)task->spec.parent),
                .nice = task->spec.nice,
                .start_ticks = (BOOTED_NSEC + task->born_at) / GRAIN_NSEC,
                .cpu = machine->topology->cpus[t->cpu].id,
                .policy = SCHED_OTHER,
        };
        strncpy(ret->comm, name_of(task->spec.kind), sizeof(ret->comm) - 1);
        return 0;
}

/* All belong to root, and each is a process of its own. */
static int sim_read_owner(struct kernel *kernel, pid_t tgid, pid_t tid, uid_t *ret)
{
        int thread = find(sim(kernel), tid);

        (void)tgid;
        if (thread < 0)
                return thread;
        *ret = 0;
        return 0;
}

static int sim_find_process(struct kernel *kernel, pid_t tid, pid_t *ret_tgid)
{
        int thread = find(sim(kernel), tid);

        if (thread < 0)
                return thread;
        *ret_tgid = tid;
        return 0;
}

static int sim_read_switches(struct kernel *kernel, pid_t tid, struct kernel_switches *ret)
{
        (void)kernel;
        (void)tid;
        (void)ret;
        return -ENOSYS;
}

static int sim_read_status_switches(struct kernel *kernel, pid_t tgid, pid_t tid,
                                    struct kernel_switches *ret)
{
        (void)tgid;
        return sim_read_switches(kernel, tid, ret);
}

/* Affinity. */

static int sim_get_affinity(struct kernel *kernel, pid_t tid, struct cpuset *ret)
{
        const struct machine *machine = sim(kernel)->machine;
        _cleanup_cpuset_ struct cpuset ids = {0};
        int thread = find(sim(kernel), tid), r;

        if (thread < 0)
                return thread;
        r = topology_to_ids(machine->topology, &machine->threads[thread].mask, &ids);
        if (r < 0)
                return r;
        *ret = TAKE_CPUSET(ids);
        return 0;
}

static int sim_set_affinity(struct kernel *kernel, pid_t tid, const struct cpuset *set)
{
        struct machine *machine = sim(kernel)->machine;
        _cleanup_cpuset_ struct cpuset indexes = {0};
        int thread = find(sim(kernel), tid), r;

        if (thread < 0)
                return thread;
        r = topology_to_indexes(machine->topology, set, &indexes);
        if (r < 0)
                return r;
        return machine_set_mask(machine, (unsigned)thread, &indexes);
}

static int sim_read_allowed(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        (void)tgid;
        return sim_get_affinity(kernel, tid, ret);
}

static int sim_read_cpuset(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        const struct topology *topology = sim(kernel)->machine->topology;
        _cleanup_cpuset_ struct cpuset ids = {0};
        int thread = find(sim(kernel), tid), r;

        (void)tgid;
        if (thread < 0)
                return thread;
        for (unsigned k = 0; k < topology->n_cpus; k++) {
                r = cpuset_add(&ids, topology->cpus[k].id);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_CPUSET(ids);
        return 0;
}

/* Process events. */

static int sim_events_fd(struct kernel *kernel)
{
        return sim(kernel)->options.no_events ? -ENOSYS : sim(kernel)->fd;
}

bool sim_kernel_has_births(struct kernel *kernel)
{
        const struct sim_kernel *k = sim(kernel);

        return !k->options.no_events && k->n_told_forks < k->machine->n_threads;
}

static bool trigger_fires(struct trigger *trigger, nsec_t now, double pressure_nsec)
{
        nsec_t elapsed = now - trigger->start;
        double growth = pressure_nsec - trigger->start_nsec;

        if (elapsed >= TRIGGER_WINDOW) {
                trigger->start = now;
                trigger->start_nsec = pressure_nsec;
                trigger->previous_nsec = growth;
        } else {
                growth += trigger->previous_nsec * (1 - (double)elapsed / (double)TRIGGER_WINDOW);
        }
        if (growth < TRIGGER_THRESHOLD || now < trigger->fired_at + TRIGGER_WINDOW)
                return false;
        trigger->fired_at = now;
        return true;
}

bool sim_kernel_rouses(struct kernel *kernel)
{
        struct sim_kernel *k = sim(kernel);
        nsec_t now = sim_now(kernel);

        if (!k->options.no_pressure && now % TRIGGER_LOOKS == 0 &&
            trigger_fires(&k->trigger, now, k->machine->pressure_nsec))
                return true;
        return sim_kernel_has_births(kernel);
}

static void tell_fork(const struct machine *machine, unsigned thread, struct kernel_event *ret)
{
        int parent = machine->workload->tasks[thread].spec.parent;
        pid_t tid = sim_kernel_tid(thread),
              ptid = parent < 0 ? 1 : sim_kernel_tid((unsigned)parent);

        *ret = (struct kernel_event){.type = KERNEL_EVENT_FORK,
                                     .tid = tid,
                                     .tgid = tid,
                                     .parent_tid = ptid,
                                     .parent_tgid = ptid};
}

static int sim_next_event(struct kernel *kernel, struct kernel_event *ret)
{
        struct sim_kernel *k = sim(kernel);
        pid_t tid;

        if (k->options.no_events)
                return -ENOSYS;
        if (k->n_told_forks < k->machine->n_threads) {
                tell_fork(k->machine, k->n_told_forks++, ret);
                return 1;
        }
        if (k->n_told_exits == k->machine->n_dead)
                return 0;
        tid = sim_kernel_tid(k->machine->dead[k->n_told_exits++]);
        *ret = (struct kernel_event){.type = KERNEL_EVENT_EXIT, .tid = tid, .tgid = tid};
        return 1;
}

static const struct kernel_ops ops = {
        .free = sim_free,
        .now = sim_now,
        .cpu_time = sim_cpu_time,
        .read_topology = sim_read_topology,
        .read_unbalanced = sim_read_unbalanced,
        .unbalanced_fd = sim_unbalanced_fd,
        .read_pressure = sim_read_pressure,
        .read_cpus = sim_read_cpus,
        .pressure_fd = sim_pressure_fd,
        .list_threads = sim_list_threads,
        .list_processes = sim_list_threads,
        .list_process = sim_list_process,
        .begin_process = sim_begin_process,
        .next_threads = sim_next_threads,
        .end_process = sim_end_process,
        .open_thread = sim_open_thread,
        .dup_thread = sim_dup_thread,
        .close_thread = sim_close_thread,
        .read_counters = sim_read_counters,
        .read_thread = sim_read_thread,
        .read_counters_once = sim_read_counters_once,
        .read_owner = sim_read_owner,
        .find_process = sim_find_process,
        .read_switches = sim_read_switches,
        .read_status_switches = sim_read_status_switches,
        .get_affinity = sim_get_affinity,
        .set_affinity = sim_set_affinity,
        .read_allowed = sim_read_allowed,
        .read_cpuset = sim_read_cpuset,
        .events_fd = sim_events_fd,
        .next_event = sim_next_event,
};

int sim_kernel_new(struct kernel **ret, struct machine *machine,
                   const struct sim_kernel_options *options)
{
        _cleanup_close_ int fd = -EBADF;
        struct sim_kernel *k;

        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        k = calloc(1, sizeof(*k));
        if (!k)
                return -ENOMEM;
        *k = (struct sim_kernel){
                .kernel.ops = &ops,
                .machine = machine,
                .n_told_forks = machine->n_threads,
                .n_told_exits = machine->n_dead,
                .trigger.start = BOOTED_NSEC + machine->now,
                .fd = TAKE_FD(fd),
        };
        if (options)
                k->options = *options;
        *ret = (struct kernel *)k; /* its first member; gcc's analyzer loses track of &k->kernel */
        return 0;
}
