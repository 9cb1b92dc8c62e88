/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake-kernel.h"

#include <errno.h>
#include <pthread.h>

#define N_THREADS_MAX 64U
#define N_HANDLES_MAX 64U

struct trap {
        unsigned calls_left; /* until it springs; 0: not set */
        int error;
        fake_hook hook;
        void *userdata;
};

struct fake_kernel {
        struct kernel kernel;
        pthread_mutex_t lock; /* workers and the test come in at the same time */
        nsec_t now;
        struct cpuset cpus, cpuset;
        bool cpusets_hidden;
        struct fake_thread threads[N_THREADS_MAX];
        unsigned n_threads;
        struct fake_thread *handles[N_HANDLES_MAX];
        struct trap errors[_FAKE_OP_MAX], hooks[_FAKE_OP_MAX];
        const struct fake_thread *blocked;
        bool is_blocking;
        pthread_cond_t unblocked;
};

static struct fake_kernel *fake_of(struct kernel *kernel)
{
        return CONTAINER_OF(kernel, struct fake_kernel, kernel);
}

static bool springs(struct trap *trap)
{
        return trap->calls_left > 0 && --trap->calls_left == 0;
}

static int enter(struct fake_kernel *fake, enum fake_op op)
{
        if (springs(&fake->hooks[op]))
                fake->hooks[op].hook(fake, fake->hooks[op].userdata);
        return springs(&fake->errors[op]) ? fake->errors[op].error : 0;
}

struct fake_thread *fake_thread_find(struct fake_kernel *fake, pid_t tid)
{
        for (unsigned i = 0; i < fake->n_threads; i++)
                if (fake->threads[i].tid == tid && !fake->threads[i].gone)
                        return &fake->threads[i];
        return NULL;
}

static void fake_free(struct kernel *kernel)
{
        struct fake_kernel *fake = fake_of(kernel);

        for (unsigned i = 0; i < fake->n_threads; i++)
                cpuset_done(&fake->threads[i].allowed);
        cpuset_done(&fake->cpus);
        cpuset_done(&fake->cpuset);
        (void)pthread_cond_destroy(&fake->unblocked);
        (void)pthread_mutex_destroy(&fake->lock);
        free(fake);
}

static nsec_t fake_now(struct kernel *kernel)
{
        struct fake_kernel *fake = fake_of(kernel);
        nsec_t now;

        (void)pthread_mutex_lock(&fake->lock);
        now = fake->now;
        (void)pthread_mutex_unlock(&fake->lock);
        return now;
}

/* The thread that an operation is about, or NULL and the error with which it fails. */
static struct fake_thread *target(struct fake_kernel *fake, enum fake_op op, pid_t tid,
                                  int *ret_error)
{
        struct fake_thread *thread;
        int r;

        r = enter(fake, op);
        thread = fake_thread_find(fake, tid);
        *ret_error = r < 0 ? r : thread ? 0 : -ESRCH;
        return *ret_error < 0 ? NULL : thread;
}

static int locked_open(struct fake_kernel *fake, pid_t tid)
{
        struct fake_thread *thread;
        int r;

        thread = target(fake, FAKE_OPEN_THREAD, tid, &r);
        if (!thread)
                return r;
        for (unsigned i = 0; i < N_HANDLES_MAX; i++)
                if (!fake->handles[i]) {
                        fake->handles[i] = thread;
                        return (int)i;
                }
        return -EMFILE;
}

static int fake_open_thread(struct kernel *kernel, pid_t tgid, pid_t tid)
{
        struct fake_kernel *fake = fake_of(kernel);
        int r;

        (void)tgid;
        (void)pthread_mutex_lock(&fake->lock);
        r = locked_open(fake, tid);
        (void)pthread_mutex_unlock(&fake->lock);
        return r;
}

static void fake_close_thread(struct kernel *kernel, int handle)
{
        struct fake_kernel *fake = fake_of(kernel);

        (void)pthread_mutex_lock(&fake->lock);
        fake->handles[handle] = NULL;
        (void)pthread_mutex_unlock(&fake->lock);
}

static void count_run(struct fake_thread *thread, struct kernel_counters *ret)
{
        if (!thread->starves)
                thread->run_nsec += NSEC_PER_SEC;
        *ret = (struct kernel_counters){.run_nsec = thread->run_nsec};
}

static int fake_read_counters_once(struct kernel *kernel, pid_t tgid, pid_t tid,
                                   struct kernel_counters *ret)
{
        struct fake_kernel *fake = fake_of(kernel);
        struct fake_thread *thread;
        int r;

        (void)tgid;
        (void)pthread_mutex_lock(&fake->lock);
        thread = target(fake, FAKE_READ_COUNTERS_ONCE, tid, &r);
        if (thread)
                count_run(thread, ret);
        (void)pthread_mutex_unlock(&fake->lock);
        return r;
}

static int fake_read_counters(struct kernel *kernel, int handle, struct kernel_counters *ret)
{
        struct fake_kernel *fake = fake_of(kernel);
        int r;

        (void)pthread_mutex_lock(&fake->lock);
        r = enter(fake, FAKE_READ_COUNTERS);
        if (r == 0 && fake->handles[handle]->gone)
                r = -ESRCH;
        if (r == 0)
                count_run(fake->handles[handle], ret);
        (void)pthread_mutex_unlock(&fake->lock);
        return r;
}

static int fake_read_thread(struct kernel *kernel, pid_t tgid, pid_t tid, struct kernel_thread *ret)
{
        struct fake_kernel *fake = fake_of(kernel);
        struct fake_thread *thread;
        int r;

        (void)tgid;
        (void)pthread_mutex_lock(&fake->lock);
        thread = target(fake, FAKE_READ_THREAD, tid, &r);
        if (thread)
                *ret = thread->stat;
        (void)pthread_mutex_unlock(&fake->lock);
        return r;
}

static int copy_to(const struct cpuset *source, struct cpuset *ret)
{
        struct cpuset copy = {0};
        int r;

        r = cpuset_copy(&copy, source);
        if (r == 0)
                *ret = copy;
        return r;
}

static const struct cpuset *told_cpuset(const struct fake_kernel *fake)
{
        return fake->cpusets_hidden ? &fake->cpus : &fake->cpuset;
}

static int read_mask(struct kernel *kernel, enum fake_op op, pid_t tid, struct cpuset *ret)
{
        struct fake_kernel *fake = fake_of(kernel);
        struct fake_thread *thread;
        int r;

        (void)pthread_mutex_lock(&fake->lock);
        thread = target(fake, op, tid, &r);
        if (thread)
                r = copy_to(op == FAKE_READ_CPUSET ? told_cpuset(fake) : &thread->allowed, ret);
        if (r == 0 && op == FAKE_GET_AFFINITY)
                cpuset_intersect(ret, &fake->cpus);
        (void)pthread_mutex_unlock(&fake->lock);
        return r;
}

static int fake_get_affinity(struct kernel *kernel, pid_t tid, struct cpuset *ret)
{
        return read_mask(kernel, FAKE_GET_AFFINITY, tid, ret);
}

static int fake_read_allowed(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        (void)tgid;
        return read_mask(kernel, FAKE_READ_ALLOWED, tid, ret);
}

static int fake_read_cpuset(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        struct fake_kernel *fake = fake_of(kernel);

        (void)tgid;
        return read_mask(kernel, FAKE_READ_CPUSET, tid, ret) ?: fake->cpusets_hidden;
}

/* As kernel/sched/syscalls.c: cut to the cpuset, refused if nothing is left, and a thread that runs
 * or waits goes to where it may. */
static int apply(struct fake_kernel *fake, struct fake_thread *thread, const struct cpuset *set)
{
        _cleanup_cpuset_ struct cpuset cut = {0};
        int r;

        r = cpuset_copy(&cut, set);
        if (r < 0)
                return r;
        cpuset_intersect(&cut, &fake->cpuset);
        if (cpuset_is_empty(&cut))
                return -EINVAL;
        thread->whole_was_asked = cpuset_count(set) == CPUSET_MAX;
        thread->n_sets++;
        if (thread->stat.state == 'R' && !cpuset_contains(&cut, thread->stat.cpu))
                thread->stat.cpu = (unsigned)cpuset_next(&cut, 0);
        cpuset_done(&thread->allowed);
        thread->allowed = TAKE_CPUSET(cut);
        return 0;
}

static int fake_set_affinity(struct kernel *kernel, pid_t tid, const struct cpuset *set)
{
        struct fake_kernel *fake = fake_of(kernel);
        struct fake_thread *thread;
        int r;

        if (tid == gettid())
                return 0; /* a worker keeping off a CPU */
        (void)pthread_mutex_lock(&fake->lock);
        thread = target(fake, FAKE_SET_AFFINITY, tid, &r);
        while (thread && thread == fake->blocked) {
                fake->is_blocking = true;
                (void)pthread_cond_wait(&fake->unblocked, &fake->lock);
        }
        if (thread)
                r = apply(fake, thread, set);
        (void)pthread_mutex_unlock(&fake->lock);
        return r;
}

static int fake_list_threads(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        struct fake_kernel *fake = fake_of(kernel);

        for (unsigned i = 0; i < fake->n_threads; i++) {
                int r;

                if (fake->threads[i].gone)
                        continue;
                r = fn(fake->threads[i].tgid, fake->threads[i].tid, userdata);
                if (r)
                        return r;
        }
        return 0;
}

static const struct kernel_ops fake_ops = {
        .free = fake_free,
        .now = fake_now,
        .list_threads = fake_list_threads,
        .open_thread = fake_open_thread,
        .close_thread = fake_close_thread,
        .read_counters = fake_read_counters,
        .read_counters_once = fake_read_counters_once,
        .read_thread = fake_read_thread,
        .get_affinity = fake_get_affinity,
        .set_affinity = fake_set_affinity,
        .read_allowed = fake_read_allowed,
        .read_cpuset = fake_read_cpuset,
};

struct fake_kernel *fake_kernel_new(unsigned n_cpus)
{
        struct fake_kernel *fake = calloc(1, sizeof(*fake));

        if (!fake)
                return NULL;
        fake->kernel.ops = &fake_ops;
        (void)pthread_mutex_init(&fake->lock, NULL);
        (void)pthread_cond_init(&fake->unblocked, NULL);
        if (cpuset_add_range(&fake->cpus, 0, n_cpus - 1) < 0 ||
            cpuset_add_range(&fake->cpuset, 0, n_cpus - 1) < 0) {
                fake_free(&fake->kernel);
                return NULL;
        }
        return fake;
}

struct kernel *fake_kernel_door(struct fake_kernel *fake)
{
        return &fake->kernel;
}

static void replace(struct cpuset *set, const char *list)
{
        struct cpuset parsed = {0};

        if (cpuset_parse_list(list, strlen(list), &parsed) < 0)
                abort();
        cpuset_done(set);
        *set = parsed;
}

struct fake_thread *fake_thread_add(struct fake_kernel *fake, pid_t tgid, pid_t tid,
                                    uint64_t start_ticks, const char *mask)
{
        struct fake_thread *thread;

        if (fake->n_threads == N_THREADS_MAX)
                abort();
        thread = &fake->threads[fake->n_threads++];
        *thread = (struct fake_thread){
                .tgid = tgid,
                .tid = tid,
                .stat = {.state = 'R', .start_ticks = start_ticks, .ppid = 1},
        };
        replace(&thread->allowed, mask);
        return thread;
}

void fake_thread_set_mask(struct fake_thread *thread, const char *list)
{
        replace(&thread->allowed, list);
}

void fake_set_now(struct fake_kernel *fake, nsec_t now)
{
        (void)pthread_mutex_lock(&fake->lock);
        fake->now = now;
        (void)pthread_mutex_unlock(&fake->lock);
}

void fake_block(struct fake_kernel *fake, const struct fake_thread *thread)
{
        (void)pthread_mutex_lock(&fake->lock);
        fake->blocked = thread;
        (void)pthread_mutex_unlock(&fake->lock);
}

bool fake_is_blocking(struct fake_kernel *fake)
{
        bool is_blocking;

        (void)pthread_mutex_lock(&fake->lock);
        is_blocking = fake->is_blocking;
        (void)pthread_mutex_unlock(&fake->lock);
        return is_blocking;
}

void fake_unblock(struct fake_kernel *fake)
{
        (void)pthread_mutex_lock(&fake->lock);
        fake->blocked = NULL;
        fake->is_blocking = false;
        (void)pthread_cond_broadcast(&fake->unblocked);
        (void)pthread_mutex_unlock(&fake->lock);
}

void fake_set_cpuset(struct fake_kernel *fake, const char *list)
{
        replace(&fake->cpuset, list);
}

void fake_hide_cpusets(struct fake_kernel *fake)
{
        fake->cpusets_hidden = true;
}

void fake_fail(struct fake_kernel *fake, enum fake_op op, unsigned nth, int error)
{
        fake->errors[op] = (struct trap){.calls_left = nth, .error = error};
}

void fake_before(struct fake_kernel *fake, enum fake_op op, unsigned nth, fake_hook hook,
                 void *userdata)
{
        fake->hooks[op] = (struct trap){.calls_left = nth, .hook = hook, .userdata = userdata};
}

unsigned fake_n_handles(const struct fake_kernel *fake)
{
        unsigned n = 0;

        for (unsigned i = 0; i < N_HANDLES_MAX; i++)
                if (fake->handles[i])
                        n++;
        return n;
}
