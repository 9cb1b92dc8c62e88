/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The mover alone, on real threads, for tests that kill it: moves the main threads of the given
 * processes to another CPU of their masks, round after round, a line each, as fast as it can. It
 * can end itself by SIGKILL before or after any operation on the kernel, and restore afterwards.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/parse.h"
#include "dying-kernel.h"
#include "engine/mover.h"
#include "kernel/linux.h"

#define N_RECORDS   16384U
#define TIDS_MAX    (4U << 20) /* PID_MAX_LIMIT */
#define BIRTHS_NSEC (20 * NSEC_PER_MSEC)

struct options {
        const char *runtime_dir;
        bool restore;
        bool hold;          /* otherwise nudge */
        bool births;        /* look for children all the time */
        uint64_t n_rounds;  /* 0: for ever */
        uint64_t hold_msec; /* between a hold and its release */
        bool until_told;    /* hold until there is a line to read, too */
        uint64_t n_workers;
        bool sets_only;
        bool restless;
        uint64_t die_before, die_after;
        char **pids;
        unsigned n_pids;
};

struct tids {
        uint64_t words[TIDS_MAX / 64];
};

struct driver {
        const struct options *options;
        struct kernel *real;
        struct dying_kernel dying; /* what the mover sees */
        struct ledger *ledger;
        struct mover *mover;
        struct tids *before, *now; /* threads at the last look, and at this one */
        nsec_t looked_at;
};

static void driver_done(struct driver *driver)
{
        (void)mover_free(driver->mover);
        ledger_free(driver->ledger);
        kernel_free(driver->real);
        free(driver->before);
        free(driver->now);
}

/* Asking for what to move is no step of the mover: it goes to the real kernel, uncounted. Returns
 * 1, or 0 if there is no other CPU or no such thread. */
static int make_request(const struct driver *driver, pid_t pid, struct mover_request *ret)
{
        _cleanup_cpuset_ struct cpuset mask = {0};
        const struct kernel_ops *ops = driver->real->ops;
        struct kernel_thread thread;
        int to;

        if (ops->read_thread(driver->real, pid, pid, &thread) < 0 ||
            ops->get_affinity(driver->real, pid, &mask) < 0)
                return 0;
        to = cpuset_next(&mask, thread.cpu + 1);
        if (to < 0)
                to = cpuset_next(&mask, 0);
        if (to < 0 || (unsigned)to == thread.cpu)
                return 0;
        *ret = (struct mover_request){
                .kind = driver->options->hold ? MOVER_HOLD : MOVER_NUDGE,
                .tgid = pid,
                .tid = pid,
                .start_ticks = thread.start_ticks,
                .from = thread.cpu,
                .to = (unsigned)to,
                .expected = TAKE_CPUSET(mask),
        };
        return 1;
}

static void print_report(const struct mover_report *report)
{
        static const char *const kinds[] = {
                [MOVER_NUDGE] = "nudge",
                [MOVER_HOLD] = "hold",
                [MOVER_RELEASE] = "release",
        };

        printf("%s tid=%d from=%u to=%u result=%s error=%d took_nsec=%" PRIu64 "\n",
               kinds[report->request.kind], report->request.tid, report->request.from,
               report->request.to, mover_result_to_string(report->result), -report->error,
               report->took);
}

/* Takes N reports; those whose hold succeeded become the release that is to follow. */
static void collect(struct driver *driver, unsigned n, struct mover_request *releases,
                    unsigned *ret_n_releases)
{
        unsigned n_releases = 0;

        while (n > 0) {
                struct pollfd ready = {.fd = mover_fd(driver->mover), .events = POLLIN};
                struct mover_report report;

                if (mover_next_report(driver->mover, &report) == 0) {
                        (void)poll(&ready, 1, 10);
                        continue;
                }
                n--;
                print_report(&report);
                if (report.request.kind == MOVER_HOLD && report.result == MOVER_MOVED) {
                        releases[n_releases] = report.request;
                        releases[n_releases++].kind = MOVER_RELEASE;
                }
                mover_report_done(&report);
        }
        *ret_n_releases = n_releases;
}

static void hold_on(const struct driver *driver)
{
        struct timespec span = {.tv_nsec = (long)(driver->options->hold_msec * NSEC_PER_MSEC)};

        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
        if (driver->options->until_told)
                for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
                        ;
}

static int submit(struct driver *driver, struct mover_request *request, unsigned *n)
{
        int r = mover_submit(driver->mover, request);

        if (r < 0)
                mover_request_done(request);
        else
                (*n)++;
        return r == -EBUSY ? 0 : r;
}

static int look_for_births(struct driver *driver);

static int release_all(struct driver *driver, struct mover_request *releases, unsigned n_releases)
{
        unsigned n = 0;
        int r;

        hold_on(driver);
        r = look_for_births(driver);
        for (unsigned i = 0; i < n_releases && r >= 0; i++)
                r = submit(driver, &releases[i], &n);
        collect(driver, n, releases, &n_releases);
        return r;
}

static int do_round(struct driver *driver, const pid_t *pids, struct mover_request *releases)
{
        unsigned n = 0, n_releases;
        int r = 0;

        for (unsigned i = 0; i < driver->options->n_pids && r >= 0; i++) {
                struct mover_request request;

                if (make_request(driver, pids[i], &request))
                        r = submit(driver, &request, &n);
        }
        collect(driver, n, releases, &n_releases);
        if (r == 0 && n_releases > 0)
                r = release_all(driver, releases, n_releases);
        return r;
}

static int meet(pid_t tgid, pid_t tid, void *userdata)
{
        struct driver *driver = userdata;
        struct kernel_thread thread;
        uint64_t bit = UINT64_C(1) << tid % 64;

        driver->now->words[tid / 64] |= bit;
        if (driver->before->words[tid / 64] & bit)
                return 0;
        if (driver->real->ops->read_thread(driver->real, tgid, tid, &thread) < 0)
                return 0;
        if (mover_check_birth(driver->mover, tgid, tid, thread.ppid, thread.start_ticks) > 0)
                printf("child tid=%d\n", tid);
        return 0;
}

static int look_for_births(struct driver *driver)
{
        nsec_t now = driver->real->ops->now(driver->real);
        struct tids *swap = driver->before;
        int r;

        if (!driver->options->births || now < driver->looked_at + BIRTHS_NSEC)
                return 0;
        driver->before = driver->now;
        driver->now = swap;
        memset(driver->now, 0, sizeof(*driver->now));
        r = driver->real->ops->list_threads(driver->real, meet, driver);
        mover_births_checked(driver->mover, now);
        driver->looked_at = now;
        return r;
}

static int do_rounds(struct driver *driver, const pid_t *pids, struct mover_request *releases)
{
        uint64_t n_rounds = driver->options->n_rounds;

        puts("begin");
        for (uint64_t n = 0; n_rounds == 0 || n < n_rounds; n++) {
                int r;

                r = do_round(driver, pids, releases);
                if (r == 0)
                        r = look_for_births(driver);
                if (r < 0)
                        return r;
        }
        printf("end calls=%u\n", atomic_load(&driver->dying.n_calls));
        return 0;
}

static int move(struct driver *driver)
{
        const struct options *options = driver->options;
        struct mover_options mover_options = {.n_workers = (unsigned)options->n_workers};
        _cleanup_free_ struct mover_request *releases = NULL;
        _cleanup_free_ pid_t *pids = NULL;
        bool realtime;
        int r;

        pids = calloc(options->n_pids + 1, sizeof(*pids));
        releases = calloc(options->n_pids + 1, sizeof(*releases));
        driver->before = calloc(1, sizeof(*driver->before));
        driver->now = calloc(1, sizeof(*driver->now));
        if (!pids || !releases || !driver->before || !driver->now)
                return -ENOMEM;
        for (unsigned i = 0; i < options->n_pids; i++) {
                r = parse_pid(options->pids[i], &pids[i]);
                if (r < 0)
                        return r;
        }
        r = mover_new(&driver->mover, &driver->dying.kernel, driver->ledger, &mover_options,
                      &realtime);
        if (r < 0)
                return r;
        return do_rounds(driver, pids, releases);
}

static int restore(struct driver *driver)
{
        struct ledger_report report;
        int r;

        r = ledger_restore(driver->ledger, &driver->dying.kernel, &report);
        printf("records=%u restored=%u children=%u intact=%u foreign=%u gone=%u failed=%u "
               "damaged=%u left=%u calls=%u\n",
               report.n_records, report.n_restored, report.n_children, report.n_intact,
               report.n_foreign, report.n_gone, report.n_failed, report.n_damaged,
               ledger_count(driver->ledger), atomic_load(&driver->dying.n_calls));
        return r;
}

static int run(const struct options *options)
{
        _cleanup_(driver_done) struct driver driver = {.options = options};
        _cleanup_close_ int dir_fd = -1;
        int r;

        dir_fd = open(options->runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        r = linux_kernel_new(&driver.real, NULL);
        if (r < 0)
                return r;
        dying_kernel_init(&driver.dying, driver.real);
        driver.dying.sets_only = options->sets_only;
        driver.dying.restless = options->restless;
        driver.dying.die_before = (unsigned)options->die_before;
        driver.dying.die_after = (unsigned)options->die_after;
        r = ledger_open(&driver.ledger, dir_fd, N_RECORDS, CPUSET_MAX / 8);
        if (r < 0)
                return r;
        return options->restore ? restore(&driver) : move(&driver);
}

static const char usage[] = "Usage: mover-steps --runtime-dir=DIR [OPTION]... PID...\n"
                            "  --hold            hold and release; otherwise nudge\n"
                            "  --hold-msec=N     how long to hold (0)\n"
                            "  --until-told      hold until a line comes on standard input\n"
                            "  --rounds=N        end after so many rounds (1; 0: never)\n"
                            "  --workers=N       of the mover (0: within the call)\n"
                            "  --births          look for children while moving\n"
                            "  --die-before=N    SIGKILL before the Nth operation on the kernel\n"
                            "  --die-after=N     or after it\n"
                            "  --sets-only       only operations that set a mask count for these\n"
                            "  --restless        take every step, also where a thread that sleeps "
                            "or\n"
                            "                    has arrived by itself needs none\n"
                            "  --restore         only give back what the ledger says\n";

static bool parse_options(int argc, char **argv, struct options *ret)
{
        static const struct option table[] = {
                {"runtime-dir", required_argument, NULL, 'd'},
                {"hold", no_argument, NULL, 'h'},
                {"hold-msec", required_argument, NULL, 'm'},
                {"until-told", no_argument, NULL, 'u'},
                {"rounds", required_argument, NULL, 'n'},
                {"workers", required_argument, NULL, 'w'},
                {"births", no_argument, NULL, 'c'},
                {"die-before", required_argument, NULL, 'b'},
                {"die-after", required_argument, NULL, 'a'},
                {"sets-only", no_argument, NULL, 's'},
                {"restless", no_argument, NULL, 'l'},
                {"restore", no_argument, NULL, 'r'},
                {0},
        };
        struct options options = {.n_rounds = 1};
        int c;

        while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
                uint64_t *number = NULL;

                if (c == 'd')
                        options.runtime_dir = optarg;
                else if (c == 'h')
                        options.hold = true;
                else if (c == 'u')
                        options.until_told = true;
                else if (c == 'c')
                        options.births = true;
                else if (c == 's')
                        options.sets_only = true;
                else if (c == 'l')
                        options.restless = true;
                else if (c == 'r')
                        options.restore = true;
                else if (c == 'm')
                        number = &options.hold_msec;
                else if (c == 'n')
                        number = &options.n_rounds;
                else if (c == 'w')
                        number = &options.n_workers;
                else if (c == 'b')
                        number = &options.die_before;
                else if (c == 'a')
                        number = &options.die_after;
                else
                        return false;
                if (number && parse_u64(optarg, number) < 0)
                        return false;
        }
        options.pids = argv + optind;
        options.n_pids = (unsigned)(argc - optind);
        *ret = options;
        return options.runtime_dir && options.hold_msec < 1000;
}

int main(int argc, char **argv)
{
        struct options options;
        int r;

        if (!parse_options(argc, argv, &options)) {
                (void)fputs(usage, stderr);
                return 2;
        }
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        r = run(&options);
        if (r < 0) {
                (void)fprintf(stderr, "mover-steps: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
