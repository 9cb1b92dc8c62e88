/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/procevents.h"

#include <errno.h>
#include <sys/socket.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "base/macro.h"
#include "kernel/netlink.h"
#include "kernel/sequences.h"

/* The kernel takes some 0.8 kB for an event that waits and doubles what it is asked for: room for
 * some 10,000, taken up only while they wait. */
#define RECEIVE_BYTES (4 << 20)

/* Events read by one system call, and the room for one: longer messages are none. */
#define BATCH_SIZE   32U
#define MESSAGE_SIZE 128U

/* Lost ground is made up for in steps, so that a storm of forks cannot keep a caller. */
#define DISCARD_BATCHES 64U

struct procevents {
        struct nl_sock *socket;
        bool discarding; /* some were lost: what is in the queue is older than the rescan to come */
        struct sequences sequences;
        unsigned n_read, n_taken; /* messages of the last batch */
        struct mmsghdr headers[BATCH_SIZE];
        struct iovec vectors[BATCH_SIZE];
        struct sockaddr_nl senders[BATCH_SIZE];
        _Alignas(struct nlmsghdr) unsigned char data[BATCH_SIZE][MESSAGE_SIZE];
};

int procevents_fd(const struct procevents *p)
{
        return nl_socket_get_fd(p->socket);
}

static void fork_event(const struct proc_event *e, struct kernel_event *ret)
{
        *ret = (struct kernel_event){
                .type = KERNEL_EVENT_FORK,
                .tid = e->event_data.fork.child_pid,
                .tgid = e->event_data.fork.child_tgid,
                .parent_tid = e->event_data.fork.parent_pid,
                .parent_tgid = e->event_data.fork.parent_tgid,
        };
}

/* Every kind but fork begins with the thread that it is about. */
static void thread_event(const struct proc_event *e, enum kernel_event_type type,
                         struct kernel_event *ret)
{
        *ret = (struct kernel_event){
                .type = type,
                .tid = e->event_data.exec.process_pid,
                .tgid = e->event_data.exec.process_tgid,
        };
}

static void parse_event(const struct proc_event *e, struct procevents_message *ret)
{
        /* Not a switch over the enumeration: what comes is a number of the kernel's. */
        uint32_t what = (uint32_t)e->what;

        ret->has_event = true;
        if (what == (uint32_t)PROC_EVENT_FORK)
                fork_event(e, &ret->event);
        else if (what == (uint32_t)PROC_EVENT_EXEC)
                thread_event(e, KERNEL_EVENT_EXEC, &ret->event);
        else if (what == (uint32_t)PROC_EVENT_COMM)
                thread_event(e, KERNEL_EVENT_COMM, &ret->event);
        else if (what == (uint32_t)PROC_EVENT_EXIT)
                thread_event(e, KERNEL_EVENT_EXIT, &ret->event);
        else
                ret->has_event = false;
}

int procevents_parse(const void *message, size_t length, struct procevents_message *ret)
{
        struct procevents_message parsed = {0};
        struct proc_event event = {0};
        struct nlmsghdr header;
        struct cn_msg connector;
        const size_t overhead = NLMSG_HDRLEN + sizeof(connector);

        if (length < overhead)
                return -EBADMSG;
        memcpy(&header, message, sizeof(header));
        memcpy(&connector, (const char *)message + NLMSG_HDRLEN, sizeof(connector));
        if (header.nlmsg_len < overhead || header.nlmsg_len > length ||
            connector.id.idx != CN_IDX_PROC || connector.id.val != CN_VAL_PROC ||
            connector.len > header.nlmsg_len - overhead ||
            connector.len < offsetof(struct proc_event, event_data) + sizeof(event.event_data.fork))
                return -EBADMSG;
        memcpy(&event, (const char *)message + overhead, MIN(connector.len, sizeof(event)));

        parsed.cpu = event.cpu;
        parsed.seq = connector.seq;
        parsed.ack = connector.ack;
        if (event.what == PROC_EVENT_NONE) {
                parsed.acknowledges = true;
                parsed.error = event.event_data.ack.err > 0 && event.event_data.ack.err < 4096
                                       ? -(int)event.event_data.ack.err
                                       : 0;
        } else {
                parse_event(&event, &parsed);
        }
        *ret = parsed;
        return 0;
}

/* Reads a batch. Returns how many, 0 when there is none now, or a negative errno. */
static int read_batch(struct procevents *p)
{
        int n;

        p->n_read = p->n_taken = 0;
        for (unsigned i = 0; i < BATCH_SIZE; i++) {
                p->vectors[i] = (struct iovec){p->data[i], MESSAGE_SIZE};
                p->headers[i].msg_hdr = (struct msghdr){
                        .msg_name = &p->senders[i],
                        .msg_namelen = sizeof(p->senders[i]),
                        .msg_iov = &p->vectors[i],
                        .msg_iovlen = 1,
                };
        }
        do
                n = recvmmsg(procevents_fd(p), p->headers, BATCH_SIZE, MSG_DONTWAIT, NULL);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        p->n_read = (unsigned)n;
        return n;
}

/* Whether the kernel sent it: anyone with CAP_NET_ADMIN can send to this socket. */
static bool is_from_kernel(const struct procevents *p, unsigned i)
{
        const struct msghdr *header = &p->headers[i].msg_hdr;

        return header->msg_namelen == sizeof(struct sockaddr_nl) && p->senders[i].nl_pid == 0 &&
               !(header->msg_flags & MSG_TRUNC);
}

/* Takes the next message; 1, 0 or a negative errno. */
static int next_message(struct procevents *p, struct procevents_message *ret)
{
        for (;;) {
                int r;

                while (p->n_taken < p->n_read) {
                        unsigned i = p->n_taken++;

                        if (is_from_kernel(p, i) &&
                            procevents_parse(p->data[i], p->headers[i].msg_len, ret) == 0)
                                return 1;
                }
                r = read_batch(p);
                if (r <= 0)
                        return r;
        }
}

/*
 * From the moment that the queue overflows to that when it is empty the kernel drops what comes
 * (NETLINK_S_CONGESTED), and says ENOBUFS only at the start. So the queue is emptied first and the
 * loss told after that. Returns -ENOBUFS when it is done, -EAGAIN when it must go on later.
 */
static int discard(struct procevents *p)
{
        p->discarding = true;
        for (unsigned i = 0; i < DISCARD_BATCHES; i++) {
                int r = read_batch(p);

                p->n_taken = p->n_read;
                if (r > 0 || r == -ENOBUFS)
                        continue;
                if (r < 0)
                        return r;
                sequences_forget(&p->sequences);
                p->discarding = false;
                return -ENOBUFS;
        }
        return -EAGAIN;
}

int procevents_next(struct procevents *p, struct kernel_event *ret)
{
        struct procevents_message message;

        if (p->discarding)
                return discard(p);
        for (;;) {
                int r = next_message(p, &message);

                if (r == -ENOBUFS)
                        return discard(p);
                if (r <= 0)
                        return r;
                /* Most losses show as ENOBUFS, but not those where the kernel had no memory for
                 * the message: those only leave a hole in the numbers. */
                r = sequences_take(&p->sequences, message.cpu, message.seq);
                if (r < 0)
                        return r;
                if (r > 0) {
                        p->n_taken--; /* it came behind the hole, and is told next */
                        return -ENOBUFS;
                }
                if (message.has_event) {
                        *ret = message.event;
                        return 1;
                }
        }
}

static int send_operation(struct procevents *p, enum proc_cn_mcast_op operation, uint32_t ack)
{
        const struct cn_msg connector = {
                .id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC},
                .ack = ack,
                .len = sizeof(operation),
        };
        struct nl_msg *message;
        int r;

        message = nlmsg_alloc_simple(NLMSG_DONE, 0);
        if (!message)
                return -ENOMEM;
        r = nlmsg_append(message, (void *)(uintptr_t)&connector, sizeof(connector), 0);
        if (r >= 0)
                r = nlmsg_append(message, &operation, sizeof(operation), 0);
        if (r >= 0)
                r = nl_send_auto(p->socket, message);
        nlmsg_free(message);
        return r < 0 ? netlink_errno(r) : 0;
}

/*
 * The kernel answers a subscription before send(2) returns, unless it ignores it. Answers go to all
 * subscribers, so ours is known by a number of our own. Events before it may be dropped: nobody was
 * promised them yet.
 */
static int subscribe(struct procevents *p)
{
        uint32_t ack = (uint32_t)clock_now_nsec(CLOCK_MONOTONIC) ^ (uint32_t)getpid() << 16;
        struct procevents_message message;
        int r;

        r = send_operation(p, PROC_CN_MCAST_LISTEN, ack);
        if (r < 0)
                return r;
        do {
                r = next_message(p, &message);
                if (r < 0)
                        return r;
                if (r == 0)
                        return -EOPNOTSUPP;
        } while (!message.acknowledges || message.ack != ack + 1);
        return message.error;
}

static void set_receive_buffer(int fd)
{
        int bytes = RECEIVE_BYTES;

        /* Beyond the limit of the system where that is permitted, up to it where it is not. */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static int connect_socket(struct procevents *p)
{
        int r;

        p->socket = nl_socket_alloc();
        if (!p->socket)
                return -ENOMEM;
        nl_socket_disable_auto_ack(p->socket);
        r = nl_connect(p->socket, NETLINK_CONNECTOR);
        if (r < 0)
                return netlink_errno(r);
        set_receive_buffer(procevents_fd(p));
        r = nl_socket_set_nonblocking(p->socket);
        if (r < 0)
                return netlink_errno(r);
        r = nl_socket_add_membership(p->socket, CN_IDX_PROC);
        return r < 0 ? netlink_errno(r) : 0;
}

int procevents_new(struct procevents **ret)
{
        _cleanup_(procevents_freep) struct procevents *p = NULL;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        r = connect_socket(p);
        if (r < 0)
                return r;
        r = subscribe(p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

void procevents_free(struct procevents *p)
{
        if (!p)
                return;
        if (p->socket) {
                /* Kernels before 6.6 count subscribers, and do not notice that one closes. */
                if (procevents_fd(p) >= 0)
                        (void)send_operation(p, PROC_CN_MCAST_IGNORE, 0);
                nl_socket_free(p->socket);
        }
        sequences_done(&p->sequences);
        free(p);
}
