/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Round trips over the daemon's socket beside bare ones: a call of GetStatus, and to a process of
 * our own that answers as many bytes with as many and does nothing else. Both ends are pinned, to
 * two CPUs or to one; rounds of both take turns. Shares nothing with the daemon.
 *
 *      round-trips SOCKET PID    PID: the daemon, which is pinned as well
 *
 * Prints a line for each placement:
 * cpus=2 bytes=43:790 bare_p50_nsec=... bare_p99_nsec=... status_p50_nsec=... status_p99_nsec=...
 */

#include <dirent.h>
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        N_ROUNDS = 40,
        N_TRIPS = 250,  /* of each kind in a round */
        N_WARMING = 25, /* of them not counted: caches, and the CPU's clock */
        N_COUNTED = N_ROUNDS * (N_TRIPS - N_WARMING),
        REPLY_MAX = 64 << 10,
};

static const char call[] = "{\"method\":\"io.balancerd.GetStatus\"}";

/* One kind of round trips. */
struct line {
        int fd;
        uint64_t nsec[N_COUNTED];
        size_t n;
};

static uint64_t now_nsec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int connect_to(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path))
                errx(EXIT_FAILURE, "%s: too long", path);
        memcpy(address.sun_path, path, strlen(path));
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                err(EXIT_FAILURE, "%s", path);
        return fd;
}

/* Receives up to a NUL; returns how many bytes that were, 0 at the end of the stream. */
static size_t receive_message(int fd)
{
        static char buffer[REPLY_MAX];
        size_t n = 0;

        do {
                ssize_t r = recv(fd, buffer + n, sizeof(buffer) - n, 0);

                if (r < 0)
                        err(EXIT_FAILURE, "recv");
                if (r == 0)
                        return 0;
                n += (size_t)r;
        } while (buffer[n - 1] != '\0');
        return n;
}

static void send_all(int fd, const char *data, size_t length)
{
        if (send(fd, data, length, MSG_NOSIGNAL) != (ssize_t)length)
                err(EXIT_FAILURE, "send");
}

static size_t round_trip(int fd)
{
        size_t n;

        send_all(fd, call, sizeof(call));
        n = receive_message(fd);
        if (n == 0)
                errx(EXIT_FAILURE, "the other end has closed the connection");
        return n;
}

/* The yardstick: answers every message with REPLY_SIZE bytes, until the stream ends. */
static pid_t start_bare(size_t reply_size, int *ret_fd)
{
        int pair[2];
        char *reply;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                err(EXIT_FAILURE, "socketpair");
        pid = fork();
        if (pid < 0)
                err(EXIT_FAILURE, "fork");
        if (pid > 0) {
                close(pair[1]);
                *ret_fd = pair[0];
                return pid;
        }
        close(pair[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        reply = calloc(1, reply_size);
        if (!reply)
                err(EXIT_FAILURE, "calloc");
        memset(reply, 'x', reply_size - 1);
        while (receive_message(pair[1]) > 0)
                send_all(pair[1], reply, reply_size);
        _exit(EXIT_SUCCESS);
}

static void pin_thread(pid_t tid, int cpu)
{
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        if (sched_setaffinity(tid, sizeof(set), &set) < 0)
                err(EXIT_FAILURE, "pinning %d to CPU %d", tid, cpu);
}

/* Calls FUNCTION for each thread of a process. */
static void each_thread(pid_t pid, int cpu, void (*function)(pid_t tid, int cpu))
{
        char path[64];
        struct dirent *entry;
        DIR *dir;

        snprintf(path, sizeof(path), "/proc/%d/task", pid);
        dir = opendir(path);
        if (!dir)
                err(EXIT_FAILURE, "%s", path);
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        function(atoi(entry->d_name), cpu);
        closedir(dir);
}

/* The daemon chooses CPUs for itself when the machine changes: then the figures would be of another
 * placement. */
static void check_pinned(pid_t tid, int cpu)
{
        cpu_set_t set;

        if (sched_getaffinity(tid, sizeof(set), &set) < 0)
                err(EXIT_FAILURE, "sched_getaffinity");
        if (CPU_COUNT(&set) != 1 || !CPU_ISSET((size_t)cpu, &set))
                errx(EXIT_FAILURE, "thread %d has not stayed on CPU %d", tid, cpu);
}

static void run_round(struct line *line)
{
        for (int i = 0; i < N_TRIPS; i++) {
                uint64_t began = now_nsec();

                round_trip(line->fd);
                if (i >= N_WARMING)
                        line->nsec[line->n++] = now_nsec() - began;
        }
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

static uint64_t percentile(struct line *line, unsigned percent)
{
        qsort(line->nsec, line->n, sizeof(line->nsec[0]), compare);
        return line->nsec[line->n * percent / 100];
}

static void print_line(int n_cpus, size_t reply_size, struct line *bare, struct line *status)
{
        printf("cpus=%d bytes=%zu:%zu bare_p50_nsec=%ju bare_p99_nsec=%ju status_p50_nsec=%ju "
               "status_p99_nsec=%ju\n",
               n_cpus, sizeof(call), reply_size, (uintmax_t)percentile(bare, 50),
               (uintmax_t)percentile(bare, 99), (uintmax_t)percentile(status, 50),
               (uintmax_t)percentile(status, 99));
        fflush(stdout);
}

/* Our end stays on CPU, the servers' on OTHER. */
static void measure(const char *path, pid_t daemon, int cpu, int other)
{
        static struct line bare, status;
        size_t reply_size;
        pid_t server;

        status = (struct line){.fd = connect_to(path)};
        reply_size = round_trip(status.fd);
        bare = (struct line){0};
        server = start_bare(reply_size, &bare.fd);
        pin_thread(0, cpu);
        pin_thread(server, other);
        each_thread(daemon, other, pin_thread);
        for (int i = 0; i < N_ROUNDS; i++) {
                run_round(i % 2 ? &status : &bare);
                run_round(i % 2 ? &bare : &status);
        }
        each_thread(daemon, other, check_pinned);
        close(bare.fd);
        close(status.fd);
        waitpid(server, NULL, 0);
        print_line(cpu == other ? 1 : 2, reply_size, &bare, &status);
}

/* The first two CPUs that we may use; the same twice where there is one. */
static void choose_cpus(int ret[2])
{
        cpu_set_t set;
        int n = 0;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                err(EXIT_FAILURE, "sched_getaffinity");
        for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
                if (CPU_ISSET((size_t)cpu, &set))
                        ret[n++] = cpu;
        if (n == 1)
                ret[1] = ret[0];
}

int main(int argc, char *argv[])
{
        int cpus[2];

        if (argc != 3)
                errx(EXIT_FAILURE, "usage: round-trips SOCKET PID");
        choose_cpus(cpus);
        if (cpus[0] != cpus[1])
                measure(argv[1], atoi(argv[2]), cpus[0], cpus[1]);
        measure(argv[1], atoi(argv[2]), cpus[1], cpus[1]);
        return EXIT_SUCCESS;
}
