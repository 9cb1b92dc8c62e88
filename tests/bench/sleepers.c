/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Many threads that sleep, some of them waking at a steady rate for a moment's work, others living
 * only for a moment: what a daemon that watches threads pays for. Prints "ready" once all are
 * there, and lives until SIGTERM or SIGINT.
 */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/macro.h"

#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_SEC  1000000000ULL

struct options {
        unsigned n_threads;
        unsigned n_active;
        unsigned hz;        /* wakeups a second of each active thread */
        unsigned work_usec; /* of an active thread at each wakeup */
        unsigned births_hz; /* threads born a second that end at once; 0: none */
};

static uint64_t now_nsec(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static struct timespec to_timespec(uint64_t nsec)
{
        return (struct timespec){.tv_sec = (time_t)(nsec / NSEC_PER_SEC),
                                 .tv_nsec = (long)(nsec % NSEC_PER_SEC)};
}

static bool sleep_until(uint64_t at_nsec)
{
        struct timespec ts = to_timespec(at_nsec);
        int r;

        do
                r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        while (r == EINTR);
        return r == 0;
}

static void work_for(uint64_t nsec)
{
        uint64_t end = now_nsec() + nsec;

        while (now_nsec() < end)
                ;
}

static void *sleep_forever(void *argument)
{
        (void)argument;
        while (pause() < 0)
                ;
        return NULL;
}

static void *wake_often(void *argument)
{
        const struct options *options = argument;
        uint64_t period = NSEC_PER_SEC / options->hz;

        /* Each begins at its own point of the period: they were started one after the other. */
        for (uint64_t at = now_nsec() + period; sleep_until(at); at += period)
                work_for(options->work_usec * NSEC_PER_USEC);
        return NULL;
}

static void *live_for_a_moment(void *argument)
{
        (void)argument;
        work_for(50 * NSEC_PER_USEC);
        return NULL;
}

static int start_thread(const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
        pthread_t thread;

        return -pthread_create(&thread, attributes, function, argument);
}

static int start_all(struct options *options, const pthread_attr_t *attributes)
{
        for (unsigned i = 0; i < options->n_threads; i++) {
                int r = start_thread(attributes, i < options->n_active ? wake_often : sleep_forever,
                                     options);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Waits for a signal; meanwhile threads are born, if that was asked for. */
static int wait_for_end(const struct options *options, const pthread_attr_t *attributes,
                        const sigset_t *signals)
{
        struct timespec pause = to_timespec(NSEC_PER_SEC / MAX(options->births_hz, 1U));
        int r;

        if (!options->births_hz)
                return sigwaitinfo(signals, NULL) < 0 ? -errno : 0;
        while (sigtimedwait(signals, NULL, &pause) < 0) {
                r = start_thread(attributes, live_for_a_moment, NULL);
                if (r < 0 && r != -EAGAIN)
                        return r;
        }
        return 0;
}

static int run(struct options *options)
{
        pthread_attr_t attributes;
        sigset_t signals;
        int r;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
        r = -pthread_attr_init(&attributes);
        if (r < 0)
                return r;
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setguardsize(&attributes, 0);
        r = -pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN + 16384);
        if (r == 0)
                r = start_all(options, &attributes);
        if (r == 0) {
                (void)puts("ready");
                (void)fflush(stdout);
                r = wait_for_end(options, &attributes, &signals);
        }
        (void)pthread_attr_destroy(&attributes);
        return r;
}

static const char usage[] = "Usage: sleepers [OPTION]...\n"
                            "  --threads=N    threads (1000)\n"
                            "  --active=N     how many of them wake and work (0)\n"
                            "  --hz=N         wakeups a second of each active one (10)\n"
                            "  --work-usec=N  work at each wakeup (20)\n"
                            "  --births-hz=N  short-lived threads born a second (0)\n";

static bool parse_unsigned(const char *text, unsigned *ret)
{
        char *end;
        unsigned long value;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || end == text || *end || value > 1000000)
                return false;
        *ret = (unsigned)value;
        return true;
}

static bool parse_options(int argc, char **argv, struct options *ret)
{
        static const struct option table[] = {
                {"threads", required_argument, NULL, 't'},
                {"active", required_argument, NULL, 'a'},
                {"hz", required_argument, NULL, 'h'},
                {"work-usec", required_argument, NULL, 'w'},
                {"births-hz", required_argument, NULL, 'b'},
                {0},
        };
        struct options options = {.n_threads = 1000, .hz = 10, .work_usec = 20};
        int c;

        while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
                unsigned *field = c == 't'   ? &options.n_threads
                                  : c == 'a' ? &options.n_active
                                  : c == 'h' ? &options.hz
                                  : c == 'w' ? &options.work_usec
                                  : c == 'b' ? &options.births_hz
                                             : NULL;

                if (!field || !parse_unsigned(optarg, field))
                        return false;
        }
        *ret = options;
        return optind == argc && options.hz > 0;
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
                (void)fprintf(stderr, "sleepers: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        /* At once: a leak checker would stop and look through thousands of threads, for minutes. */
        _exit(EXIT_SUCCESS);
}
