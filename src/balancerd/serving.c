/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/serving.h"

#include <errno.h>
#include <grp.h>

#include "api/socket.h"
#include "base/log.h"

/* Its members may do what root may. */
#define PRIVILEGED_GROUP "balancerd"

struct serving {
        struct server *server;
        int runtime_fd;
        struct socket_name name;
        bool removes_name; /* it was made here, and nobody keeps the socket */
};

/* Asked for once: it may take long where users come from the network, and what cannot be looked up
 * at a reload would take the members' leave away. */
static gid_t privileged_group(void)
{
        const struct group *group;

        errno = 0;
        /* cppcheck-suppress getgrnamCalled ; the mover's threads, the only others, do not ask */
        group = getgrnam(PRIVILEGED_GROUP);
        if (group)
                return group->gr_gid;
        /* Where there is no such group that may be any of these (getgrnam(3)). */
        if (errno != 0 && errno != ENOENT && errno != ESRCH && errno != EBADF && errno != EPERM)
                log_warning("cannot look up the group " PRIVILEGED_GROUP
                            " (%s): only root is privileged",
                            strerrorname_np(errno));
        return GID_NONE;
}

static struct api_settings api_settings(const struct settings *settings, gid_t group)
{
        return (struct api_settings){
                .observe_all = settings->observe == OBSERVE_ALL,
                .connections_per_user = settings->windows.connections_per_user,
                .group = group,
        };
}

/* The socket that systemd passed, or one of our own. */
static int take_or_make_socket(struct serving *serving, const struct serving_options *options)
{
        int fd;

        fd = notify_take_listener(options->notify);
        serving->removes_name = fd < 0;
        if (fd >= 0)
                return fd;
        fd = socket_listen(serving->runtime_fd, &serving->name);
        if (fd == -EADDRINUSE)
                return log_error_errno(fd, "another program listens on " SOCKET_NAME
                                           " in the runtime directory (balancerd.socket?)");
        if (fd == -EEXIST)
                return log_error_errno(fd, SOCKET_NAME " in the runtime directory is no socket");
        if (fd < 0)
                return log_error_errno(fd, "cannot make the socket " SOCKET_NAME);
        return fd;
}

/* Clients may wait on the socket of an earlier daemon still. Whoever comes after this one finds
 * only the new socket in the store. */
static void succeed(struct serving *serving, struct notify *notify)
{
        int old_fd = notify_take_listener(notify);
        unsigned n = old_fd < 0 ? 0 : server_drain(serving->server, old_fd);

        if (n > 0)
                log_info("took %u clients that waited on the socket of an earlier daemon", n);
        if (notify_store_listener(notify, serving->server->fd))
                serving->removes_name = false;
}

int serving_new(struct serving **ret, sd_event *event, const struct api_host *host,
                const struct serving_options *options)
{
        const struct api_settings settings = api_settings(options->settings, privileged_group());
        struct serving *serving;
        int fd, r;

        serving = calloc(1, sizeof(*serving));
        if (!serving)
                return log_error_errno(-ENOMEM, "cannot serve");
        serving->runtime_fd = options->runtime_fd;
        fd = take_or_make_socket(serving, options);
        r = fd < 0 ? fd : server_new(&serving->server, event, fd, host, &settings);
        if (r < 0) {
                if (fd >= 0)
                        log_error_errno(r, "cannot serve");
                serving_free(serving);
                return r;
        }
        succeed(serving, options->notify);
        *ret = serving;
        return 0;
}

void serving_configure(struct serving *serving, const struct settings *settings)
{
        const struct api_settings changed = api_settings(settings, serving->server->settings.group);

        server_configure(serving->server, &changed);
}

void serving_free(struct serving *serving)
{
        if (!serving)
                return;
        server_free(serving->server);
        if (serving->removes_name)
                socket_remove(serving->runtime_fd, &serving->name);
        free(serving);
}

void serving_finish(struct serving *serving)
{
        server_finish(serving->server);
}

void serving_tell_decision(struct serving *serving)
{
        if (serving)
                monitor_tell_decision(&serving->server->monitor);
}

void serving_tell_notice(struct serving *serving, const struct notice *notice)
{
        if (serving)
                monitor_tell_notice(&serving->server->monitor, notice);
}
