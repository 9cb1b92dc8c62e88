/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "base/escape.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/time.h"

/* What FileDescriptorName= of balancerd.socket says, and what the store gives back. */
#define LISTENER_NAME "varlink"
#define LEDGER_NAME   "ledger"

struct notify {
        bool has_manager;
        /* A socket to the manager, kept so that it is told without a descriptor to spare:
         * sd_notify(3) opens one each time. -1: its address is none that is known here, or there is
         * no manager. */
        int manager_fd;
        struct sockaddr_un manager;
        socklen_t manager_length;
        /* Passed, and not taken yet; -1: none. The socket unit's come before what is stored. */
        int listener_fd, old_listener_fd, ledger_fd;
        sd_event_source *watchdog; /* NULL: the service has none */
        uint64_t watchdog_usec;    /* without a ping for so long it is killed */
        uint64_t next_usec;        /* when notify_progress() is due */
        bool owed;                 /* a ping was left out */
};

/* The service manager may pass it either way (NonBlocking= of systemd.exec(5)). */
static int stop_blocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static bool is_listener(int fd)
{
        return sd_is_socket_unix(fd, SOCK_STREAM, true, NULL, 0) > 0 && stop_blocking(fd) == 0;
}

static bool is_ledger(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* As sd_notify(3) reads $NOTIFY_SOCKET. */
static void open_manager(struct notify *n)
{
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length = path ? strlen(path) : 0;

        if (length < 2 || length >= sizeof(n->manager.sun_path) || !strchr("/@", *path))
                return;
        n->manager.sun_family = AF_UNIX;
        memcpy(n->manager.sun_path, path, length + 1);
        n->manager_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
        if (*path == '@') {
                n->manager.sun_path[0] = '\0';
                n->manager_length--;
        }
        n->manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void tell(const struct notify *n, const char *state)
{
        if (!n->has_manager)
                return;
        if (n->manager_fd < 0)
                (void)sd_notify(false, state);
        else
                (void)sendto(n->manager_fd, state, strlen(state), MSG_NOSIGNAL,
                             (const struct sockaddr *)&n->manager, n->manager_length);
}

static void tellf(const struct notify *n, const char *format, ...) _printf_(2, 3);

static void tellf(const struct notify *n, const char *format, ...)
{
        _cleanup_free_ char *state = NULL;
        va_list args;
        int length;

        va_start(args, format);
        length = vasprintf(&state, format, args);
        va_end(args);
        if (length < 0)
                state = NULL; /* vasprintf(3) leaves it undefined */
        else
                tell(n, state);
}

/* A name that is in the store no more, or is in no store, is no error. */
static void drop_stored(const struct notify *n, const char *name)
{
        tellf(n, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static void refuse(const struct notify *n, int fd, const char *name, const char *why)
{
        _cleanup_free_ char *shown = malloc(ESCAPED_SIZE(strlen(name)));

        close(fd);
        drop_stored(n, name);
        log_warning("closed the descriptor \"%s\" that the service manager passed: %s",
                    shown ? escape_text(name, strlen(name), shown) : "?", why);
}

/* WRONG: why FD is not what its name says, or NULL. */
static void keep(const struct notify *n, int fd, const char *name, const char *wrong, int *kept)
{
        if (wrong)
                refuse(n, fd, name, wrong);
        else if (*kept >= 0)
                refuse(n, fd, name, "there are enough of that name");
        else
                *kept = fd;
}

/* Whether A, which may be none, is the very socket that B is: passed by the unit and the store. */
static bool is_same_socket(int a, int b)
{
        struct stat first, second;

        return a >= 0 && fstat(a, &first) == 0 && fstat(b, &second) == 0 &&
               first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static void take_listener(struct notify *n, int fd)
{
        if (!is_listener(fd))
                refuse(n, fd, LISTENER_NAME,
                       "it is no listening stream socket of the family AF_UNIX");
        else if (is_same_socket(n->listener_fd, fd) || is_same_socket(n->old_listener_fd, fd))
                close(fd);
        else
                keep(n, fd, LISTENER_NAME, NULL,
                     n->listener_fd < 0 ? &n->listener_fd : &n->old_listener_fd);
}

static void take_one(struct notify *n, int fd, const char *name)
{
        if (streq(name, LISTENER_NAME))
                take_listener(n, fd);
        else if (streq(name, LEDGER_NAME))
                keep(n, fd, name, is_ledger(fd) ? NULL : "it is no regular file", &n->ledger_fd);
        else
                refuse(n, fd, name, "balancerd has no use for that name");
}

static void free_names(char ***names)
{
        for (char **name = *names; name && *name; name++)
                free(*name);
        free(*names);
}

static int take_passed(struct notify *n)
{
        _cleanup_(free_names) char **names = NULL;
        int n_fds;

        n_fds = sd_listen_fds_with_names(true, &names);
        for (int i = 0; i < n_fds; i++)
                take_one(n, SD_LISTEN_FDS_START + i, names[i]);
        return MIN(n_fds, 0);
}

int notify_new(struct notify **ret)
{
        _cleanup_(notify_freep) struct notify *n = NULL;
        int r;

        n = malloc(sizeof(*n));
        if (!n)
                return -ENOMEM;
        *n = (struct notify){
                .has_manager = getenv("NOTIFY_SOCKET"),
                .manager_fd = -1,
                .listener_fd = -1,
                .old_listener_fd = -1,
                .ledger_fd = -1,
        };
        open_manager(n);
        r = take_passed(n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

void notify_free(struct notify *n)
{
        if (!n)
                return;
        closep(&n->manager_fd);
        closep(&n->listener_fd);
        closep(&n->old_listener_fd);
        closep(&n->ledger_fd);
        sd_event_source_disable_unref(n->watchdog);
        free(n);
}

int notify_take_listener(struct notify *n)
{
        return n->listener_fd >= 0 ? TAKE_FD(n->listener_fd) : TAKE_FD(n->old_listener_fd);
}

int notify_take_ledger(struct notify *n)
{
        return TAKE_FD(n->ledger_fd);
}

/* Returns whether the manager was asked. */
static bool store(const struct notify *n, int fd, const char *name)
{
        _cleanup_free_ char *state = NULL;

        if (!n->has_manager)
                return false;
        if (asprintf(&state, "FDSTORE=1\nFDNAME=%s", name) < 0) {
                state = NULL; /* asprintf(3) leaves it undefined */
                return false;
        }
        return sd_pid_notify_with_fds(0, false, state, &fd, 1) > 0;
}

bool notify_store_listener(struct notify *n, int fd)
{
        drop_stored(n, LISTENER_NAME);
        return store(n, fd, LISTENER_NAME);
}

void notify_store_ledger(struct notify *n, int fd)
{
        drop_stored(n, LEDGER_NAME);
        (void)store(n, fd, LEDGER_NAME);
}

void notify_ready(struct notify *n, const char *status)
{
        tellf(n, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(struct notify *n)
{
        tellf(n, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
              clock_now_nsec(CLOCK_MONOTONIC) / NSEC_PER_USEC);
}

void notify_stopping(struct notify *n)
{
        tell(n, "STOPPING=1");
}

static bool is_overdue(const struct notify *n)
{
        uint64_t now_usec = clock_now_nsec(CLOCK_MONOTONIC) / NSEC_PER_USEC;

        return now_usec > n->next_usec && now_usec - n->next_usec > n->watchdog_usec / 4;
}

/* Twice in the watchdog's time, as sd_watchdog_enabled(3) advises. */
static int set_watchdog_timer(struct notify *n)
{
        return sd_event_source_set_time_relative(n->watchdog, n->watchdog_usec / 2);
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct notify *n = userdata;

        (void)source;
        (void)usec;
        n->owed = is_overdue(n);
        if (!n->owed)
                tell(n, "WATCHDOG=1");
        return set_watchdog_timer(n);
}

int notify_watch(struct notify *n, sd_event *event)
{
        int r;

        r = sd_watchdog_enabled(false, &n->watchdog_usec);
        if (r <= 0)
                return r;
        n->next_usec = clock_now_nsec(CLOCK_MONOTONIC) / NSEC_PER_USEC;
        r = sd_event_add_time_relative(event, &n->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, n);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(n->watchdog, SD_EVENT_ON);
}

void notify_progress(struct notify *n, uint64_t next_usec)
{
        n->next_usec = next_usec;
        if (!n->owed)
                return;
        /* It was late, and the next ping might be too late. */
        n->owed = false;
        tell(n, "WATCHDOG=1");
}
