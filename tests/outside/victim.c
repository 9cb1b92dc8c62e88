/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A busy process to be moved about: `victim plain NICE`. `victim fork NICE` also bears children,
 * and `victim threads NICE` threads: each sleeps through its second of life, so that its mask can
 * be looked at. It never touches a mask. It ends with its parent, after ten minutes at the latest.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/time.h"

#define LIFE_SEC        1
#define BIRTHS_NSEC     (20 * NSEC_PER_MSEC)
#define LIFE_LIMIT_NSEC (600 * NSEC_PER_SEC)

static void live(void)
{
        struct timespec left = {.tv_sec = LIFE_SEC};

        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
}

static void *thread_main(void *unused)
{
        live();
        return unused;
}

static void end_with_parent(pid_t parent)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
}

static void bear_process(void)
{
        pid_t self = getpid();

        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        if (fork() == 0) {
                end_with_parent(self);
                live();
                _exit(EXIT_SUCCESS);
        }
}

static void bear_thread(void)
{
        pthread_t thread;

        if (pthread_create(&thread, NULL, thread_main, NULL) == 0)
                (void)pthread_detach(thread);
}

int main(int argc, char **argv)
{
        nsec_t start = clock_now_nsec(CLOCK_MONOTONIC), last = start, now = start;
        bool forks = argc > 1 && streq(argv[1], "fork");
        bool threads = argc > 1 && streq(argv[1], "threads");

        end_with_parent(getppid());
        (void)setpriority(PRIO_PROCESS, 0, argc > 2 ? atoi(argv[2]) : 0);
        puts("ready");
        (void)fflush(stdout);
        while (now - start < LIFE_LIMIT_NSEC) {
                now = clock_now_nsec(CLOCK_MONOTONIC);
                if (now - last < BIRTHS_NSEC)
                        continue;
                last = now;
                if (forks)
                        bear_process();
                else if (threads)
                        bear_thread();
        }
        return EXIT_SUCCESS;
}
