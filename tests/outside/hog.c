/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Busy threads or processes that report on themselves: how much work they did, on which CPU each
 * finds itself, with which mask, how long it waited. Every line on standard output is an event and
 * its key=value pairs; times are CLOCK_MONOTONIC. The tests, the benches and the demonstration
 * judge balancerd by it, so it shares no code with the daemon, helper macros apart.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/macro.h"

#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC  1000000000ULL
#define WORKERS_MAX   256U
#define CHANGES_MAX   4096U

/* Where a worker found itself from then on. */
struct change {
        uint64_t at_nsec;
        uint64_t mask; /* bit n: it may run on CPU n; CPUs of 64 and more are not told */
        unsigned cpu;
};

/* Written by the worker alone, read by the parent. */
struct worker {
        _Alignas(64) _Atomic uint64_t work; /* batches done since the start */
        _Atomic uint32_t n_changes;
        _Atomic pid_t tid;
        struct change changes[CHANGES_MAX];
};

struct shared {
        _Atomic bool go, stop;
        struct worker workers[WORKERS_MAX];
};

struct options {
        unsigned n_workers;
        bool processes;
        int stack; /* CPU that all start on; -1: wherever the kernel puts them */
        unsigned every_msec;
        unsigned for_msec; /* 0: until a signal ends it */
        char name[16];
};

/* What a worker is started with. */
struct start {
        const struct options *options;
        const struct shared *shared;
        struct worker *worker;
};

/* What the parent knows of its workers. */
struct crowd {
        const struct options *options;
        struct shared *shared;
        cpu_set_t all;
        struct start starts[WORKERS_MAX];
        pthread_t threads[WORKERS_MAX];
        pid_t pids[WORKERS_MAX]; /* with --processes */
        unsigned n_started;
        uint32_t n_told[WORKERS_MAX]; /* changes printed so far */
        uint64_t started_at_nsec;
};

static uint64_t now_nsec(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t mask_of(pid_t tid)
{
        cpu_set_t set;
        uint64_t mask = 0;

        if (sched_getaffinity(tid, sizeof(set), &set) < 0)
                return 0;
        for (unsigned cpu = 0; cpu < 64; cpu++)
                if (CPU_ISSET(cpu, &set))
                        mask |= UINT64_C(1) << cpu;
        return mask;
}

static void note_change(struct worker *worker, unsigned cpu, uint64_t mask)
{
        uint32_t n = atomic_load_explicit(&worker->n_changes, memory_order_relaxed);

        if (n == CHANGES_MAX)
                return;
        worker->changes[n] = (struct change){.at_nsec = now_nsec(), .mask = mask, .cpu = cpu};
        atomic_store_explicit(&worker->n_changes, n + 1, memory_order_release);
}

/* A batch takes about a microsecond. */
static uint64_t do_batch(uint64_t seed)
{
        for (unsigned i = 0; i < 1000; i++)
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return seed;
}

/* Asks for its CPU after each batch, for its mask (a system call) once in about a millisecond. */
static void work(const struct shared *shared, struct worker *worker)
{
        volatile uint64_t sink = 1;
        unsigned cpu = (unsigned)sched_getcpu();
        uint64_t mask = mask_of(0);

        note_change(worker, cpu, mask);
        for (uint64_t n = 1; !atomic_load_explicit(&shared->stop, memory_order_relaxed); n++) {
                unsigned cpu_now = (unsigned)sched_getcpu();
                uint64_t mask_now = n % 1024 == 0 || cpu_now != cpu ? mask_of(0) : mask;

                if (cpu_now != cpu || mask_now != mask) {
                        cpu = cpu_now;
                        mask = mask_now;
                        note_change(worker, cpu, mask);
                }
                sink = do_batch(sink);
                if (atomic_load_explicit(&shared->go, memory_order_relaxed))
                        atomic_fetch_add_explicit(&worker->work, 1, memory_order_relaxed);
        }
}

static void *worker_main(void *argument)
{
        const struct start *start = argument;

        (void)prctl(PR_SET_NAME, start->options->name);
        atomic_store(&start->worker->tid, (pid_t)syscall(SYS_gettid));
        work(start->shared, start->worker);
        return NULL;
}

static int start_process(struct crowd *crowd, unsigned i)
{
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                /* Nothing is left behind if the parent is killed. */
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(EXIT_FAILURE);
                (void)worker_main(&crowd->starts[i]);
                _exit(EXIT_SUCCESS);
        }
        crowd->pids[i] = pid;
        return 0;
}

static int start_worker(struct crowd *crowd, unsigned i)
{
        int r;

        crowd->starts[i] = (struct start){.options = crowd->options,
                                          .shared = crowd->shared,
                                          .worker = &crowd->shared->workers[i]};
        if (crowd->options->processes)
                r = start_process(crowd, i);
        else
                r = -pthread_create(&crowd->threads[i], NULL, worker_main, &crowd->starts[i]);
        if (r == 0)
                crowd->n_started++;
        return r;
}

static void sleep_msec(unsigned msec)
{
        struct timespec ts = {.tv_sec = msec / 1000,
                              .tv_nsec = (long)(msec % 1000 * NSEC_PER_MSEC)};

        (void)nanosleep(&ts, NULL);
}

/* Confines the caller to CPU, or to all CPUs but that; its children inherit it. */
static int confine(const struct crowd *crowd, unsigned cpu, bool but)
{
        cpu_set_t set = crowd->all;

        if (but) {
                CPU_CLR(cpu, &set);
        } else {
                CPU_ZERO(&set);
                CPU_SET(cpu, &set);
        }
        return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

static int start_workers(struct crowd *crowd)
{
        for (unsigned i = 0; i < crowd->options->n_workers; i++) {
                int r = start_worker(crowd, i);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Starts them where the caller is confined to, and leaves that CPU to them. */
static int start_stacked(struct crowd *crowd, unsigned cpu)
{
        int r;

        r = confine(crowd, cpu, false);
        if (r < 0)
                return r;
        r = start_workers(crowd);
        if (r < 0)
                return r;
        if (CPU_COUNT(&crowd->all) > 1) {
                r = confine(crowd, cpu, true);
                if (r < 0)
                        return r;
        }
        return sched_setaffinity(0, sizeof(crowd->all), &crowd->all) < 0 ? -errno : 0;
}

/* Starts all, each on the CPU that was asked for, then gives each the whole mask: being allowed
 * more moves no thread by itself. From then on work counts. */
static int crowd_start(struct crowd *crowd)
{
        int stack = crowd->options->stack;
        int r = stack < 0 ? start_workers(crowd) : start_stacked(crowd, (unsigned)stack);

        if (r < 0)
                return r;
        for (unsigned i = 0; i < crowd->n_started; i++)
                while (!atomic_load(&crowd->shared->workers[i].n_changes))
                        sleep_msec(1);
        for (unsigned i = 0; i < crowd->n_started; i++)
                if (sched_setaffinity(crowd->shared->workers[i].tid, sizeof(crowd->all),
                                      &crowd->all) < 0)
                        return -errno;
        atomic_store(&crowd->shared->go, true);
        crowd->started_at_nsec = now_nsec();
        return 0;
}

static void crowd_stop(struct crowd *crowd)
{
        atomic_store(&crowd->shared->stop, true);
        for (unsigned i = 0; i < crowd->n_started; i++)
                if (crowd->options->processes)
                        (void)waitpid(crowd->pids[i], NULL, 0);
                else
                        (void)pthread_join(crowd->threads[i], NULL);
}

/* Time that a thread has run and waited since it was born, as the kernel counts it. */
static void read_schedstat(pid_t tgid, pid_t tid, uint64_t *ret_run_nsec, uint64_t *ret_wait_nsec)
{
        char path[64];
        _cleanup_fclose_ FILE *file = NULL;

        *ret_run_nsec = *ret_wait_nsec = 0;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", tgid, tid);
        file = fopen(path, "re");
        if (file && fscanf(file, "%" SCNu64 " %" SCNu64, ret_run_nsec, ret_wait_nsec) != 2)
                *ret_run_nsec = *ret_wait_nsec = 0;
}

static pid_t tgid_of(const struct crowd *crowd, unsigned i)
{
        return crowd->options->processes ? crowd->pids[i] : getpid();
}

static void print_changes(struct crowd *crowd)
{
        for (unsigned i = 0; i < crowd->n_started; i++) {
                struct worker *worker = &crowd->shared->workers[i];
                uint32_t n = atomic_load_explicit(&worker->n_changes, memory_order_acquire);

                for (; crowd->n_told[i] < n; crowd->n_told[i]++) {
                        const struct change *change = &worker->changes[crowd->n_told[i]];

                        printf("change tid=%d at_nsec=%" PRIu64 " cpu=%u mask=%" PRIx64 "\n",
                               worker->tid, change->at_nsec, change->cpu, change->mask);
                }
        }
}

static void print_workers(struct crowd *crowd, const char *event)
{
        uint64_t at_nsec = now_nsec();

        print_changes(crowd);
        for (unsigned i = 0; i < crowd->n_started; i++) {
                struct worker *worker = &crowd->shared->workers[i];
                uint32_t n = atomic_load_explicit(&worker->n_changes, memory_order_acquire);
                uint64_t run_nsec, wait_nsec;

                read_schedstat(tgid_of(crowd, i), worker->tid, &run_nsec, &wait_nsec);
                printf("%s tid=%d at_nsec=%" PRIu64 " since_start_usec=%" PRIu64 " work=%" PRIu64
                       " run_nsec=%" PRIu64 " wait_nsec=%" PRIu64 " cpu=%u mask=%" PRIx64 "\n",
                       event, worker->tid, at_nsec, (at_nsec - crowd->started_at_nsec) / 1000,
                       atomic_load(&worker->work), run_nsec, wait_nsec, worker->changes[n - 1].cpu,
                       mask_of(worker->tid));
        }
        (void)fflush(stdout);
}

/* Sleeps until AT_NSEC; true if a signal asked for the end. */
static bool asked_to_stop(const sigset_t *signals, uint64_t at_nsec)
{
        uint64_t now = now_nsec();
        uint64_t left = at_nsec > now ? at_nsec - now : 0;
        struct timespec ts = {.tv_sec = (time_t)(left / NSEC_PER_SEC),
                              .tv_nsec = (long)(left % NSEC_PER_SEC)};

        return sigtimedwait(signals, NULL, &ts) >= 0;
}

static void crowd_watch(struct crowd *crowd, const sigset_t *signals)
{
        const struct options *options = crowd->options;
        uint64_t every = options->every_msec * NSEC_PER_MSEC;
        uint64_t end = options->for_msec
                               ? crowd->started_at_nsec + options->for_msec * NSEC_PER_MSEC
                               : UINT64_MAX;

        print_workers(crowd, "start");
        for (uint64_t n = 1;; n++) {
                uint64_t at = MIN(crowd->started_at_nsec + n * every, end);

                if (asked_to_stop(signals, at) || at == end)
                        break;
                print_workers(crowd, "tick");
        }
        print_workers(crowd, "end");
}

static const char usage[] = "Usage: hog [OPTION]...\n"
                            "  --threads=N     busy threads (4)\n"
                            "  --processes=N   busy processes\n"
                            "  --stack=CPU     start them all on CPU, then let them run anywhere\n"
                            "  --every-msec=N  report so often (1000)\n"
                            "  --for-msec=N    end after so long; otherwise on SIGTERM or SIGINT\n"
                            "  --name=COMM     what they call themselves (hog)\n";

static bool parse_unsigned(const char *text, unsigned max, unsigned *ret)
{
        char *end;
        unsigned long value;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || end == text || *end || value > max)
                return false;
        *ret = (unsigned)value;
        return true;
}

static bool parse_options(int argc, char **argv, struct options *ret)
{
        static const struct option table[] = {
                {"threads", required_argument, NULL, 't'},
                {"processes", required_argument, NULL, 'p'},
                {"stack", required_argument, NULL, 's'},
                {"every-msec", required_argument, NULL, 'e'},
                {"for-msec", required_argument, NULL, 'f'},
                {"name", required_argument, NULL, 'n'},
                {0},
        };
        struct options options = {.n_workers = 4, .stack = -1, .every_msec = 1000, .name = "hog"};
        unsigned cpu;
        int c;

        while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
                bool good = true;

                if (c == 't' || c == 'p') {
                        good = parse_unsigned(optarg, WORKERS_MAX, &options.n_workers);
                        options.processes = c == 'p';
                } else if (c == 's') {
                        good = parse_unsigned(optarg, CPU_SETSIZE - 1, &cpu);
                        options.stack = good ? (int)cpu : -1;
                } else if (c == 'e') {
                        good = parse_unsigned(optarg, 3600000, &options.every_msec);
                } else if (c == 'f') {
                        good = parse_unsigned(optarg, 3600000, &options.for_msec);
                } else if (c == 'n') {
                        (void)snprintf(options.name, sizeof(options.name), "%s", optarg);
                } else {
                        good = false;
                }
                if (!good)
                        return false;
        }
        *ret = options;
        return optind == argc && options.n_workers > 0 && options.every_msec > 0;
}

static int run(const struct options *options)
{
        struct crowd crowd = {.options = options};
        sigset_t signals;
        int r;

        /* Busy threads that nobody waits for are nothing to leave behind. */
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        if (sched_getaffinity(0, sizeof(crowd.all), &crowd.all) < 0)
                return -errno;
        crowd.shared = mmap(NULL, sizeof(*crowd.shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (crowd.shared == MAP_FAILED)
                return -errno;
        r = crowd_start(&crowd);
        if (r == 0)
                crowd_watch(&crowd, &signals);
        crowd_stop(&crowd);
        (void)munmap(crowd.shared, sizeof(*crowd.shared));
        return r;
}

int main(int argc, char **argv)
{
        struct options options;
        int r;

        if (!parse_options(argc, argv, &options)) {
                (void)fputs(usage, stderr);
                return 2;
        }
        r = run(&options);
        if (r < 0) {
                (void)fprintf(stderr, "hog: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
