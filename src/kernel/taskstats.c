/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/taskstats.h"

#include <errno.h>
#include <stdint.h>
#include <linux/taskstats.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include "base/macro.h"
#include "kernel/netlink.h"

/*
 * Where the fields lie in the kernel's struct taskstats, whatever header this is built with.
 * Versions append, so this holds from the oldest one to the newest, but for version 15, which put
 * two fields in the middle; 16 moved them to the end.
 */
#define OLDEST_VERSION     8
#define MISLAID_VERSION    15
#define VOLUNTARY_OFFSET   272
#define INVOLUNTARY_OFFSET 280

/* An answer takes some 500 bytes. */
#define ANSWER_MAX 4096

struct taskstats_client {
        struct nl_sock *socket;
        int family;
};

/* Finds the attribute TYPE among LENGTH bytes of attributes; NULL if it is not there. */
static const struct nlattr *find_attribute(const void *attributes, int length, int type)
{
        return nla_find((const struct nlattr *)attributes, length, type);
}

static int parse_stats(const struct nlattr *stats, struct kernel_switches *ret)
{
        const char *data = nla_data(stats);
        size_t length = (size_t)nla_len(stats);
        uint16_t version;

        if (length < sizeof(version))
                return -EBADMSG;
        memcpy(&version, data, sizeof(version));
        if (version < OLDEST_VERSION || version == MISLAID_VERSION)
                return -EPROTONOSUPPORT;
        if (length < INVOLUNTARY_OFFSET + sizeof(uint64_t))
                return -EBADMSG;
        memcpy(&ret->n_voluntary, data + VOLUNTARY_OFFSET, sizeof(uint64_t));
        memcpy(&ret->n_involuntary, data + INVOLUNTARY_OFFSET, sizeof(uint64_t));
        return 0;
}

int taskstats_parse(const void *payload, size_t length, pid_t tid, struct kernel_switches *ret)
{
        const struct nlattr *group, *pid, *stats;

        if (length < GENL_HDRLEN || length > INT32_MAX)
                return -EBADMSG;
        group = find_attribute((const char *)payload + GENL_HDRLEN, (int)(length - GENL_HDRLEN),
                               TASKSTATS_TYPE_AGGR_PID);
        if (!group)
                return -EBADMSG;
        pid = find_attribute(nla_data(group), nla_len(group), TASKSTATS_TYPE_PID);
        stats = find_attribute(nla_data(group), nla_len(group), TASKSTATS_TYPE_STATS);
        if (!pid || nla_len(pid) < (int)sizeof(uint32_t) || nla_get_u32(pid) != (uint32_t)tid ||
            !stats)
                return -EBADMSG;
        return parse_stats(stats, ret);
}

static int send_request(struct taskstats_client *client, pid_t tid, uint32_t *ret_seq)
{
        struct nl_msg *message;
        int r;

        message = nlmsg_alloc_size(NLMSG_HDRLEN + GENL_HDRLEN + 64);
        if (!message)
                return -ENOMEM;
        r = -ENOMEM;
        if (genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, client->family, 0, 0, TASKSTATS_CMD_GET,
                        TASKSTATS_GENL_VERSION) &&
            nla_put_u32(message, TASKSTATS_CMD_ATTR_PID, (uint32_t)tid) == 0) {
                r = nl_send_auto(client->socket, message);
                r = r < 0 ? netlink_errno(r) : 0;
                *ret_seq = nlmsg_hdr(message)->nlmsg_seq;
        }
        nlmsg_free(message);
        return r;
}

/* What the kernel says in a message of type NLMSG_ERROR. */
static int parse_error(const struct nlmsghdr *header)
{
        const struct nlmsgerr *error = nlmsg_data(header);

        if (nlmsg_datalen(header) < (int)sizeof(*error) || error->error >= 0 ||
            error->error < -4095)
                return -EBADMSG;
        return error->error;
}

/* Receives the answer to the request SEQ; answers to earlier ones, which nobody waited for, are
 * passed over. The kernel answers before send(2) returns, so there is nothing to wait for. */
static int receive_answer(struct taskstats_client *client, uint32_t seq, pid_t tid,
                          struct kernel_switches *ret)
{
        _Alignas(struct nlmsghdr) unsigned char data[ANSWER_MAX];
        const struct nlmsghdr *header = (const void *)data;

        for (;;) {
                struct sockaddr_nl sender = {0};
                socklen_t sender_size = sizeof(sender);
                ssize_t n;

                n = recvfrom(nl_socket_get_fd(client->socket), data, sizeof(data), MSG_DONTWAIT,
                             (struct sockaddr *)&sender, &sender_size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (sender.nl_pid != 0 || !nlmsg_ok(header, (int)n) || header->nlmsg_seq != seq)
                        continue;
                if (header->nlmsg_type == NLMSG_ERROR)
                        return parse_error(header);
                return taskstats_parse(nlmsg_data(header), (size_t)nlmsg_datalen(header), tid, ret);
        }
}

int taskstats_read(struct taskstats_client *client, pid_t tid, struct kernel_switches *ret)
{
        uint32_t seq;
        int r;

        r = send_request(client, tid, &seq);
        return r < 0 ? r : receive_answer(client, seq, tid, ret);
}

static int connect_client(struct taskstats_client *client)
{
        int r;

        client->socket = nl_socket_alloc();
        if (!client->socket)
                return -ENOMEM;
        nl_socket_disable_auto_ack(client->socket);
        r = genl_connect(client->socket);
        if (r < 0)
                return netlink_errno(r);
        r = genl_ctrl_resolve(client->socket, TASKSTATS_GENL_NAME);
        if (r < 0)
                return r == -NLE_OBJ_NOTFOUND ? -EPROTONOSUPPORT : netlink_errno(r);
        client->family = r;
        return 0;
}

int taskstats_new(struct taskstats_client **ret)
{
        _cleanup_(taskstats_freep) struct taskstats_client *client = NULL;
        struct kernel_switches own;
        int r;

        client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        r = connect_client(client);
        if (r < 0)
                return r;
        r = taskstats_read(client, gettid(), &own);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(client);
        return 0;
}

void taskstats_free(struct taskstats_client *client)
{
        if (!client)
                return;
        if (client->socket)
                nl_socket_free(client->socket);
        free(client);
}
