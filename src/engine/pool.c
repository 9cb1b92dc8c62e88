/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define STACK_SIZE      ((size_t)64 << 10)
#define RTTIME_USEC     1000000U
#define STOP_WAIT_NSEC  NSEC_PER_SEC
#define N_WORKERS_LIMIT 64U

struct worker {
        struct pool *pool;
        pthread_t thread;
        unsigned number;
        bool started;            /* to be joined */
        bool ended;              /* joining it does not wait */
        struct pool_job *job;    /* under way */
        int avoid_cpu;           /* what its affinity was last set for; -1: no CPU in particular */
        unsigned choice;         /* the pool's `choice` at that time; 0: none yet */
        struct cpuset placement; /* its affinity, as far as the pool set it */
};

struct pool {
        struct kernel *kernel;
        void (*run)(struct pool_job *job, void *userdata);
        void (*free_job)(struct pool_job *job);
        void *userdata;
        unsigned n_usual;
        bool realtime;
        int event_fd;

        pthread_mutex_t lock; /* of all that follows */
        pthread_cond_t work;  /* a job was added, or the pool stops */
        pthread_cond_t idle;  /* a worker ended */
        struct cpuset cpus;
        unsigned choice; /* the number of the choice of `cpus`, from 1 on */
        bool stopping;
        struct pool_job *queue, **queue_end;
        struct pool_job *done, **done_end;
        unsigned n_queued, n_under_way, n_done;
        unsigned n_workers; /* the length of `workers` */
        struct worker workers[];
};

static void append(struct pool_job ***end, struct pool_job *job)
{
        job->next = NULL;
        **end = job;
        *end = &job->next;
}

static struct pool_job *take_first(struct pool_job **list, struct pool_job ***end)
{
        struct pool_job *first = *list;

        if (first) {
                *list = first->next;
                if (!*list)
                        *end = list;
        }
        return first;
}

static bool is_under_way(const struct pool *pool, pid_t tid)
{
        for (unsigned i = 0; i < pool->n_workers; i++)
                if (pool->workers[i].job && pool->workers[i].job->tid == tid)
                        return true;
        return false;
}

/* The first job of a thread that no other worker is busy with. */
static struct pool_job *next_job(struct pool *pool)
{
        for (struct pool_job **link = &pool->queue; *link; link = &(*link)->next) {
                struct pool_job *job = *link;

                if (is_under_way(pool, job->tid))
                        continue;
                *link = job->next;
                if (!*link)
                        pool->queue_end = link;
                pool->n_queued--;
                return job;
        }
        return NULL;
}

static void post(struct pool *pool, struct pool_job *job)
{
        const uint64_t one = 1;

        append(&pool->done_end, job);
        pool->n_done++;
        /* Cannot fail: the counter is drained before it can overflow. */
        (void)!write(pool->event_fd, &one, sizeof(one));
}

/* Whether the worker's affinity does for a thread that goes to AVOID_CPU, or -1. */
static bool is_well_placed(const struct worker *worker, unsigned choice, int avoid_cpu)
{
        if (worker->choice != choice)
                return false;
        return avoid_cpu < 0 || avoid_cpu == worker->avoid_cpu ||
               (!cpuset_is_empty(&worker->placement) &&
                !cpuset_contains(&worker->placement, (unsigned)avoid_cpu));
}

/* Copies the pool's choice of CPUs if the worker has to be placed anew. */
static bool needs_place(struct worker *worker, int avoid_cpu, struct cpuset *ret_cpus)
{
        struct pool *pool = worker->pool;
        bool needed = false;

        (void)pthread_mutex_lock(&pool->lock);
        if (!is_well_placed(worker, pool->choice, avoid_cpu) &&
            cpuset_copy(ret_cpus, &pool->cpus) == 0) {
                worker->choice = pool->choice;
                needed = true;
        }
        (void)pthread_mutex_unlock(&pool->lock);
        return needed;
}

/* Keeps this worker on the pool's CPUs, and off the one that the thread goes to: moving a running
 * thread onto the mover's own CPU waits for that thread's time slice. A failure only costs that
 * wait. */
static void place(struct worker *worker, int avoid_cpu)
{
        struct pool *pool = worker->pool;
        _cleanup_cpuset_ struct cpuset wanted = {0};
        int r;

        if (!needs_place(worker, avoid_cpu, &wanted))
                return;
        worker->avoid_cpu = avoid_cpu;
        if (avoid_cpu >= 0)
                cpuset_remove(&wanted, (unsigned)avoid_cpu);
        r = cpuset_is_empty(&wanted)
                    ? -EINVAL
                    : pool->kernel->ops->set_affinity(pool->kernel, gettid(), &wanted);
        if (r == -EINVAL && avoid_cpu >= 0) {
                if (cpuset_add_range(&wanted, 0, CPUSET_MAX - 1) < 0)
                        return;
                cpuset_remove(&wanted, (unsigned)avoid_cpu);
                r = pool->kernel->ops->set_affinity(pool->kernel, gettid(), &wanted);
        }
        cpuset_done(&worker->placement);
        if (r == 0)
                worker->placement = TAKE_CPUSET(wanted);
}

static nsec_t oldest_start(const struct pool *pool)
{
        nsec_t oldest = 0;

        for (unsigned i = 0; i < pool->n_workers; i++) {
                const struct pool_job *job = pool->workers[i].job;

                if (job && (oldest == 0 || job->took_up < oldest))
                        oldest = job->took_up;
        }
        return oldest;
}

static unsigned count_stuck(const struct pool *pool)
{
        nsec_t now = pool->kernel->ops->now(pool->kernel);
        unsigned n = 0;

        for (unsigned i = 0; i < pool->n_workers; i++) {
                const struct pool_job *job = pool->workers[i].job;

                if (job && now > job->took_up + POOL_STUCK_NSEC)
                        n++;
        }
        return n;
}

static unsigned count_workers(const struct pool *pool)
{
        unsigned n = 0;

        for (unsigned i = 0; i < pool->n_workers; i++)
                if (pool->workers[i].started && !pool->workers[i].ended)
                        n++;
        return n;
}

/* A worker that was started because another was stuck ends when there is nothing to do. */
static bool is_superfluous(const struct pool *pool)
{
        return count_workers(pool) > pool->n_usual + count_stuck(pool);
}

static void do_job(struct worker *worker, struct pool_job *job)
{
        struct pool *pool = worker->pool;

        worker->job = job;
        job->took_up = pool->kernel->ops->now(pool->kernel);
        pool->n_under_way++;
        (void)pthread_mutex_unlock(&pool->lock);
        place(worker, job->avoid_cpu);
        pool->run(job, pool->userdata);
        (void)pthread_mutex_lock(&pool->lock);
        pool->n_under_way--;
        worker->job = NULL;
        post(pool, job);
        /* A job for the same thread may have waited for this one. */
        if (pool->queue)
                (void)pthread_cond_signal(&pool->work);
}

/* What it was placed for last may be where it is not to run any more. The lock is held. */
static void place_idle(struct worker *worker)
{
        struct pool *pool = worker->pool;

        (void)pthread_mutex_unlock(&pool->lock);
        place(worker, -1);
        (void)pthread_mutex_lock(&pool->lock);
}

static void work(struct worker *worker)
{
        struct pool *pool = worker->pool;

        while (!pool->stopping) {
                struct pool_job *job = next_job(pool);

                if (job)
                        do_job(worker, job);
                else if (is_superfluous(pool))
                        return;
                else if (worker->choice != pool->choice)
                        place_idle(worker);
                else
                        (void)pthread_cond_wait(&pool->work, &pool->lock);
        }
}

static void *worker_main(void *userdata)
{
        struct worker *worker = userdata;
        struct pool *pool = worker->pool;
        char name[16];

        (void)snprintf(name, sizeof(name), "mover/%u", worker->number);
        (void)pthread_setname_np(pthread_self(), name);
        (void)pthread_mutex_lock(&pool->lock);
        work(worker);
        cpuset_done(&worker->placement);
        worker->ended = true;
        (void)pthread_cond_broadcast(&pool->idle);
        (void)pthread_mutex_unlock(&pool->lock);
        return NULL;
}

static int set_attributes(pthread_attr_t *attributes, bool realtime)
{
        const struct sched_param param = {.sched_priority = 1};
        sigset_t all;
        int r;

        (void)sigfillset(&all);
        r = pthread_attr_setsigmask_np(attributes, &all);
        if (r == 0)
                r = pthread_attr_setstacksize(attributes, STACK_SIZE);
        if (r == 0 && realtime)
                r = pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
        if (r == 0 && realtime)
                r = pthread_attr_setschedpolicy(attributes, SCHED_FIFO);
        if (r == 0 && realtime)
                r = pthread_attr_setschedparam(attributes, &param);
        return -r;
}

static int create(struct worker *worker, bool realtime)
{
        pthread_attr_t attributes;
        int r;

        r = -pthread_attr_init(&attributes);
        if (r < 0)
                return r;
        r = set_attributes(&attributes, realtime);
        if (r == 0)
                r = -pthread_create(&worker->thread, &attributes, worker_main, worker);
        (void)pthread_attr_destroy(&attributes);
        return r;
}

/* The lock is held. */
static int start_worker(struct pool *pool, struct worker *worker)
{
        int r = -EPERM;

        worker->ended = false;
        worker->avoid_cpu = -1;
        worker->choice = 0;
        if (pool->realtime)
                r = create(worker, true);
        if (r == -EPERM) {
                pool->realtime = false;
                r = create(worker, false);
        }
        worker->started = r == 0;
        return r;
}

static void join(struct worker *worker)
{
        if (worker->started)
                (void)pthread_join(worker->thread, NULL);
        worker->started = false;
}

/* Starts a further worker if something waits and every worker is stuck. The lock is held. */
static void help_out(struct pool *pool)
{
        if (!pool->queue || pool->stopping || count_stuck(pool) < count_workers(pool))
                return;
        for (unsigned i = 0; i < pool->n_workers; i++) {
                struct worker *worker = &pool->workers[i];

                if (worker->started && !worker->ended)
                        continue;
                join(worker);
                /* Without it the job waits for one of the others, as it would have anyway. */
                (void)start_worker(pool, worker);
                return;
        }
}

static void limit_realtime(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_RTTIME, &limit) < 0)
                return;
        limit.rlim_max = MIN(limit.rlim_max, (rlim_t)RTTIME_USEC);
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_RTTIME, &limit);
}

static int start_usual(struct pool *pool)
{
        int r = 0;

        (void)pthread_mutex_lock(&pool->lock);
        for (unsigned i = 0; i < pool->n_usual && r == 0; i++)
                r = start_worker(pool, &pool->workers[i]);
        (void)pthread_mutex_unlock(&pool->lock);
        return r;
}

static struct pool *allocate(unsigned n_usual)
{
        unsigned n_workers = n_usual > 0 ? n_usual + POOL_EXTRA_WORKERS : 0;
        struct pool *pool;

        pool = calloc(1, sizeof(*pool) + n_workers * sizeof(pool->workers[0]));
        if (!pool)
                return NULL;
        pool->n_usual = n_usual;
        pool->n_workers = n_workers;
        pool->event_fd = -1;
        pool->queue_end = &pool->queue;
        pool->done_end = &pool->done;
        for (unsigned i = 0; i < n_workers; i++) {
                pool->workers[i].pool = pool;
                pool->workers[i].number = i;
        }
        /* These cannot fail with default attributes. */
        (void)pthread_mutex_init(&pool->lock, NULL);
        (void)pthread_cond_init(&pool->work, NULL);
        (void)pthread_cond_init(&pool->idle, NULL);
        return pool;
}

static int set_up(struct pool *pool, const struct pool_options *options)
{
        int r;

        pool->run = options->run;
        pool->free_job = options->free_job;
        pool->userdata = options->userdata;
        pool->choice = 1;
        r = cpuset_copy(&pool->cpus, options->cpus);
        if (r < 0)
                return r;
        pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (pool->event_fd < 0)
                return -errno;
        if (pool->n_usual == 0)
                return 0;
        limit_realtime();
        pool->realtime = true;
        return start_usual(pool);
}

int pool_new(struct pool **ret, struct kernel *kernel, const struct pool_options *options,
             bool *ret_realtime)
{
        _cleanup_(pool_freep) struct pool *pool = NULL;
        int r;

        if (options->n_workers > N_WORKERS_LIMIT)
                return -EINVAL;
        pool = allocate(options->n_workers);
        if (!pool)
                return -ENOMEM;
        pool->kernel = kernel;
        r = set_up(pool, options);
        if (r < 0) {
                (void)pool_stop(pool);
                return r;
        }
        *ret_realtime = pool->realtime;
        *ret = TAKE_PTR(pool);
        return 0;
}

static void free_jobs(const struct pool *pool, struct pool_job *job)
{
        while (job) {
                struct pool_job *next = job->next;

                pool->free_job(job);
                job = next;
        }
}

void pool_free(struct pool *pool)
{
        if (!pool)
                return;
        for (unsigned i = 0; i < pool->n_workers; i++)
                join(&pool->workers[i]);
        free_jobs(pool, pool->queue);
        free_jobs(pool, pool->done);
        if (pool->event_fd >= 0)
                close(pool->event_fd);
        (void)pthread_cond_destroy(&pool->idle);
        (void)pthread_cond_destroy(&pool->work);
        (void)pthread_mutex_destroy(&pool->lock);
        cpuset_done(&pool->cpus);
        free(pool);
}

static struct timespec deadline_after(nsec_t span)
{
        nsec_t at = clock_now_nsec(CLOCK_MONOTONIC) + span;

        return (struct timespec){.tv_sec = (time_t)(at / NSEC_PER_SEC),
                                 .tv_nsec = (long)(at % NSEC_PER_SEC)};
}

int pool_set_cpus(struct pool *pool, const struct cpuset *cpus)
{
        _cleanup_cpuset_ struct cpuset copy = {0};
        int r;

        r = cpuset_copy(&copy, cpus);
        if (r < 0)
                return r;
        (void)pthread_mutex_lock(&pool->lock);
        cpuset_done(&pool->cpus);
        pool->cpus = TAKE_CPUSET(copy);
        pool->choice++;
        (void)pthread_cond_broadcast(&pool->work);
        (void)pthread_mutex_unlock(&pool->lock);
        return 0;
}

int pool_stop(struct pool *pool)
{
        struct timespec deadline = deadline_after(STOP_WAIT_NSEC);
        int r = 0;

        (void)pthread_mutex_lock(&pool->lock);
        pool->stopping = true;
        free_jobs(pool, pool->queue);
        pool->queue = NULL;
        pool->queue_end = &pool->queue;
        pool->n_queued = 0;
        (void)pthread_cond_broadcast(&pool->work);
        while (count_workers(pool) > 0 && r == 0)
                r = pthread_cond_clockwait(&pool->idle, &pool->lock, CLOCK_MONOTONIC, &deadline);
        r = count_workers(pool) > 0 ? -EBUSY : 0;
        (void)pthread_mutex_unlock(&pool->lock);
        return r;
}

static void do_at_once(struct pool *pool, struct pool_job *job)
{
        job->took_up = pool->kernel->ops->now(pool->kernel);
        pool->run(job, pool->userdata);
        (void)pthread_mutex_lock(&pool->lock);
        post(pool, job);
        (void)pthread_mutex_unlock(&pool->lock);
}

static unsigned count_room(const struct pool *pool)
{
        unsigned n_jobs = pool->n_queued + pool->n_under_way + pool->n_done;

        return pool->stopping || n_jobs >= POOL_JOBS_MAX ? 0 : POOL_JOBS_MAX - n_jobs;
}

unsigned pool_room(struct pool *pool)
{
        unsigned room;

        (void)pthread_mutex_lock(&pool->lock);
        room = count_room(pool);
        (void)pthread_mutex_unlock(&pool->lock);
        return room;
}

int pool_add(struct pool *pool, struct pool_job *job)
{
        bool full;

        (void)pthread_mutex_lock(&pool->lock);
        full = count_room(pool) == 0;
        if (!full && pool->n_usual > 0) {
                append(&pool->queue_end, job);
                pool->n_queued++;
                (void)pthread_cond_signal(&pool->work);
                help_out(pool);
        }
        (void)pthread_mutex_unlock(&pool->lock);
        if (full)
                return -EBUSY;
        if (pool->n_usual == 0)
                do_at_once(pool, job);
        return 0;
}

struct pool_job *pool_take(struct pool *pool)
{
        struct pool_job *job;
        uint64_t count;

        (void)pthread_mutex_lock(&pool->lock);
        help_out(pool);
        job = take_first(&pool->done, &pool->done_end);
        if (job)
                pool->n_done--;
        if (!pool->done)
                (void)!read(pool->event_fd, &count, sizeof(count));
        (void)pthread_mutex_unlock(&pool->lock);
        return job;
}

int pool_fd(const struct pool *pool)
{
        return pool->event_fd;
}

unsigned pool_pending(struct pool *pool)
{
        unsigned n;

        (void)pthread_mutex_lock(&pool->lock);
        n = pool->n_queued + pool->n_under_way;
        (void)pthread_mutex_unlock(&pool->lock);
        return n;
}

nsec_t pool_stuck_since(struct pool *pool)
{
        nsec_t oldest;

        (void)pthread_mutex_lock(&pool->lock);
        oldest = oldest_start(pool);
        (void)pthread_mutex_unlock(&pool->lock);
        return oldest;
}
