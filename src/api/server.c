/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/server.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <utlist.h>

#include "api/connection.h"

/* How late a deadline may be met, so that the kernel can join wake-ups. */
#define TIMER_SLACK_USEC 20000U
/* Out of memory: the next try to give somebody a turn. */
#define TURN_AGAIN (100 * NSEC_PER_MSEC)
/* Out of descriptors or memory: the next try to take a connection. */
#define ACCEPT_AGAIN (NSEC_PER_SEC)
/* The last turns take no longer, whoever has asked for how much. */
#define FINISH_WITHIN (100 * NSEC_PER_MSEC)
/* A shortage that comes again within this time is still the same, and was told. */
#define SHORTAGE_OVER (60 * NSEC_PER_SEC)
/* Notices of dropped clients: so many at once, and one more in that time. */
#define NOTICES_AT_ONCE 10
#define NOTICE_EVERY    (10 * NSEC_PER_SEC)

void api_fault_done(struct api_fault *fault)
{
        free(fault->file);
        free(fault->pointer);
        free(fault->expected);
        *fault = (struct api_fault){0};
}

nsec_t server_now(const struct server *server)
{
        uint64_t usec = 0;

        (void)sd_event_now(server->event, CLOCK_MONOTONIC, &usec);
        return usec * NSEC_PER_USEC;
}

void server_look_at_clock(struct server *server)
{
        struct calendar_reading reading;
        uint64_t iteration = 0;

        (void)sd_event_get_iteration(server->event, &iteration);
        if (iteration == server->clock_seen_in)
                return;
        server->clock_seen_in = iteration;
        reading = calendar_read();
        calendar_correct(&server->calendar, &reading);
}

bool server_shows_all(const struct server *server, const struct peer *caller)
{
        return caller->privileged || server->settings.observe_all;
}

bool server_shows(const struct server *server, const struct peer *caller, uid_t uid)
{
        return caller->uid == uid || server_shows_all(server, caller);
}

nsec_t server_cost(nsec_t began)
{
        return SERVER_EVENT_COST + clock_now_nsec(CLOCK_THREAD_CPUTIME_ID) - began;
}

/* Deadlines */

void server_wake_by(struct server *server, nsec_t at)
{
        if (at >= server->timer_at)
                return;
        server->timer_at = at;
        (void)sd_event_source_set_time(server->timer, at / NSEC_PER_USEC);
        (void)sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT);
}

/* Taking turns */

static int on_turn(sd_event_source *source, void *userdata);

/* A new source each time: the loop serves what has been pending longest, and one that is kept would
 * count as pending from its beginning, and be served before all clients' sockets. */
static int add_turn(struct server *server)
{
        _cleanup_(sd_event_source_disable_unrefp) sd_event_source *turn = NULL;
        int r;

        r = sd_event_add_defer(server->event, &turn, on_turn, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(turn, SERVER_PRIORITY);
        if (r < 0)
                return r;
        server->turn = TAKE_PTR(turn);
        return 0;
}

/* Makes sure that a turn comes. Without memory it comes later. */
static void await_turn(struct server *server)
{
        if (server->turns && !server->turn && add_turn(server) < 0)
                server_wake_by(server, server_now(server) + TURN_AGAIN);
}

void server_queue(struct server *server, struct connection *connection)
{
        if (connection->has_turn)
                return;
        connection->has_turn = true;
        DL_APPEND2(server->turns, connection, turn_prev, turn_next);
        await_turn(server);
}

static void unqueue(struct server *server, struct connection *connection)
{
        connection->has_turn = false;
        DL_DELETE2(server->turns, connection, turn_prev, turn_next);
}

static void give_turn(struct server *server)
{
        struct connection *connection = server->turns;

        unqueue(server, connection);
        connection_take_turn(connection);
}

static int on_turn(sd_event_source *source, void *userdata)
{
        struct server *server = userdata;

        (void)source;
        server->turn = sd_event_source_disable_unref(server->turn);
        if (server->turns)
                give_turn(server);
        await_turn(server);
        return 0;
}

void server_finish(struct server *server)
{
        nsec_t until = clock_now_nsec(CLOCK_MONOTONIC) + FINISH_WITHIN;

        while (server->turns && clock_now_nsec(CLOCK_MONOTONIC) < until)
                give_turn(server);
}

/* The timer */

/* Takes no connections until AT. */
static void stop_accepting(struct server *server, nsec_t at)
{
        server->accept_again_at = at;
        (void)sd_event_source_set_enabled(server->accept, SD_EVENT_OFF);
        server_wake_by(server, at);
}

/* Who comes next is not known before he is taken, and taking costs: while all unprivileged users
 * together are in debt nobody is. */
static void accept_again(struct server *server)
{
        nsec_t paid_at = limits_paid_at(&server->limits, server_now(server));

        if (paid_at != 0) {
                stop_accepting(server, paid_at);
                return;
        }
        server->accept_again_at = 0;
        (void)sd_event_source_set_enabled(server->accept, SD_EVENT_ON);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct server *server = userdata;
        struct connection *connection, *next;
        nsec_t now = server_now(server), at = NSEC_INFINITY;

        (void)source;
        (void)usec;
        server->timer_at = NSEC_INFINITY;
        await_turn(server);
        if (server->accept_again_at != 0 && now >= server->accept_again_at)
                accept_again(server);
        DL_FOREACH_SAFE (server->connections, connection, next) {
                nsec_t look_at = connection_look(connection, now);

                at = MIN(at, look_at);
        }
        if (server->accept_again_at != 0)
                at = MIN(at, server->accept_again_at);
        server_wake_by(server, at);
        return 0;
}

/* Notices */

static void tell(struct server *server, const struct notice *notice)
{
        if (server->host.on_notice)
                server->host.on_notice(notice, server->host.userdata);
}

/* Whether one more notice may be told now. */
static bool may_tell(struct server *server)
{
        nsec_t now = server_now(server);
        double earned = (double)(now - server->notices_at) / (double)NOTICE_EVERY;

        server->notices_at = now;
        server->notices_left = MIN(server->notices_left + earned, (double)NOTICES_AT_ONCE);
        if (server->notices_left < 1) {
                server->n_silenced++;
                return false;
        }
        server->notices_left--;
        return true;
}

void server_tell_dropped(struct server *server, const struct peer *peer, const char *reason)
{
        char line[160], others[48] = "";
        const struct notice notice = {
                .kind = NOTICE_CLIENT_DROPPED,
                .level = LOG_NOTICE,
                .text = line,
                .tgid = peer->pid,
                .detail = reason,
        };

        if (!may_tell(server))
                return;
        if (server->n_silenced > 0)
                snprintf(others, sizeof(others), "; %u others were not told", server->n_silenced);
        server->n_silenced = 0;
        snprintf(line, sizeof(line), "dropped a client (process %d, user %u): %s%s", peer->pid,
                 peer->uid, reason, others);
        tell(server, &notice);
}

/* Taking connections */

void server_forget(struct server *server, struct connection *connection)
{
        if (connection->has_turn)
                unqueue(server, connection);
        DL_DELETE(server->connections, connection);
        limits_release(&server->limits, connection->user);
        if (server->accept_again_at != 0)
                accept_again(server);
}

/* Nothing can be taken for want of descriptors or memory: listens again when there may be some. */
static void pause_accepting(struct server *server, int error)
{
        nsec_t now = server_now(server);
        bool lasts = server->short_at != 0 && now - server->short_at < SHORTAGE_OVER;
        char line[128];
        const struct notice notice = {
                .kind = NOTICE_CLIENTS_WAIT,
                .level = LOG_WARNING,
                .text = line,
                .detail = strerrorname_np(-error),
        };

        stop_accepting(server, now + ACCEPT_AGAIN);
        server->short_at = now;
        if (lasts)
                return;
        snprintf(line, sizeof(line), "clients have to wait: no connection can be taken (%s)",
                 notice.detail);
        tell(server, &notice);
}

/* Says why there is no room, as far as that fits into the socket, which it does. */
static void turn_away(struct server *server, int fd, const struct peer *peer, unsigned limit)
{
        _cleanup_varlink_stream_ struct varlink_stream stream = VARLINK_STREAM_NONE;
        json_auto_t *parameters = json_pack("{s:i}", "limit", (int)limit);
        const struct varlink_reply reply = {.error = "io.balancerd.TooManyConnections",
                                            .parameters = parameters};

        varlink_stream_init(&stream, fd);
        if (parameters && varlink_reply_put(&stream, &reply) >= 0)
                (void)varlink_stream_send(&stream);
        server_tell_dropped(server, peer, "too many connections");
}

/* FD is taken over; BEGAN: when the work for it has. */
static int admit(struct server *server, int fd, nsec_t began)
{
        _cleanup_close_ int owned = fd;
        struct user *user;
        struct peer peer;
        unsigned limit;
        int r;

        r = peer_read(fd, server->settings.group, &peer);
        if (r < 0)
                return r;
        r = limits_admit(&server->limits, &peer, server->settings.connections_per_user,
                         server_now(server), &user, &limit);
        if (r < 0)
                return r;
        if (r != ADMISSION_GRANTED) {
                turn_away(server, TAKE_FD(owned), &peer, limit);
                limits_charge(&server->limits, &peer, server_now(server), server_cost(began));
                return 0;
        }
        r = connection_new(server, fd, &peer, user, began);
        if (r < 0) {
                limits_release(&server->limits, user);
                return r;
        }
        (void)TAKE_FD(owned);
        return 0;
}

/* Takes one client that waits at FD. Returns 0 or the error of accept4(2). */
static int take_client(struct server *server, int fd)
{
        nsec_t began = clock_now_nsec(CLOCK_THREAD_CPUTIME_ID);
        int client;

        /* cppcheck-suppress nullPointer ; who it is the kernel tells in other ways */
        client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0)
                return -errno;
        (void)admit(server, client, began); /* where it fails the client sees its connection end */
        return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        struct server *server = userdata;
        int r;

        (void)source;
        (void)revents;
        r = take_client(server, fd);
        if (r == 0)
                accept_again(server);
        else if (r != -EAGAIN && r != -ECONNABORTED && r != -EINTR)
                pause_accepting(server, r);
        return 0;
}

unsigned server_drain(struct server *server, int fd)
{
        unsigned n = 0;

        /* No more than can wait at once: somebody may go on connecting. */
        while (n < SOMAXCONN && take_client(server, fd) == 0)
                n++;
        close(fd);
        return n;
}

/* Lifetime */

static int add_sources(struct server *server)
{
        int r;

        r = sd_event_add_io(server->event, &server->accept, server->fd, EPOLLIN, on_accept, server);
        if (r < 0)
                return r;
        r = sd_event_add_time(server->event, &server->timer, CLOCK_MONOTONIC, 0, TIMER_SLACK_USEC,
                              on_timer, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(server->accept, SERVER_PRIORITY);
        return r < 0 ? r : sd_event_source_set_priority(server->timer, SERVER_PRIORITY);
}

int server_new(struct server **ret, sd_event *event, int fd, const struct api_host *host,
               const struct api_settings *settings)
{
        const struct calendar_reading reading = calendar_read();
        _cleanup_(server_freep) struct server *server = NULL;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server) {
                close(fd);
                return -ENOMEM;
        }
        server->event = sd_event_ref(event);
        server->fd = fd;
        server->host = *host;
        server->settings = *settings;
        json_object_seed(0); /* reads a file: not within a call, with no descriptors left */
        server->pid = getpid();
        server->started_at = clock_now_nsec(CLOCK_BOOTTIME);
        calendar_init(&server->calendar, &reading);
        server->timer_at = NSEC_INFINITY;
        server->notices_left = NOTICES_AT_ONCE;
        server->notices_at = server_now(server);
        r = add_sources(server);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}

void server_free(struct server *server)
{
        struct connection *connection, *next;

        if (!server)
                return;
        server->accept_again_at = 0;
        DL_FOREACH_SAFE (server->connections, connection, next)
                connection_free(connection);
        monitor_done(&server->monitor);
        limits_done(&server->limits);
        sd_event_source_disable_unref(server->accept);
        sd_event_source_disable_unref(server->turn);
        sd_event_source_disable_unref(server->timer);
        sd_event_unref(server->event);
        close(server->fd);
        free(server);
}

void server_configure(struct server *server, const struct api_settings *settings)
{
        server->settings = *settings;
}
