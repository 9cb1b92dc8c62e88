/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service manager's side of the daemon (sd_notify(3)): readiness, reload, end, the watchdog,
 * and the descriptors that outlive it. Without a service manager all of it does nothing. It must
 * not know what is balanced, or what a descriptor is used for.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct notify;

/*
 * Takes over the descriptors that the service manager passed (sd_listen_fds(3)): sockets of the
 * socket unit, and what an earlier daemon had stored. Those that have no name of ours, or are not
 * what the name says, are closed and dropped from the store, with a line in the log. Before the
 * process starts threads or children. Returns 0 or a negative errno.
 */
int notify_new(struct notify **ret);
void notify_free(struct notify *notify);

static inline void notify_freep(struct notify **notify)
{
        notify_free(*notify);
}

/*
 * A listening stream socket that was passed, which does not block, or -1. The caller owns it. The
 * first call gives the one to listen on: the socket unit's where there is one. The second gives the
 * one that an earlier daemon had stored, if that is another: clients may wait there that connected
 * before the socket unit made a new one, as it does when the service is restarted (PartOf=).
 */
int notify_take_listener(struct notify *notify);

/*
 * Gives the service manager a copy of the listening socket, in place of what was stored before: the
 * next daemon takes it, with every client that connected meanwhile. Returns whether there is a
 * manager that was asked to: then the name of a socket that the daemon made by itself must stay in
 * the file system when the daemon ends.
 */
bool notify_store_listener(struct notify *notify, int fd);

/* The ledger that an earlier daemon had stored, or -1, and the one to store in its place: an open
 * file of its own (open(2)) that holds no lock, since locks live as long as the store. */
int notify_take_ledger(struct notify *notify);
void notify_store_ledger(struct notify *notify, int fd);

/* What systemctl(1) shows behind "Status:", one line; and readiness, after the start and after each
 * notify_reloading(). */
void notify_ready(struct notify *notify, const char *status);
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify);

/*
 * Feeds the watchdog, where the service has one, from EVENT, as long as notify_progress() is called
 * in time. Returns 0 or a negative errno.
 */
int notify_watch(struct notify *notify, sd_event *event);

/* The daemon has done what was due; the next is due at NEXT_USEC (CLOCK_MONOTONIC, microseconds).
 * From a quarter of the watchdog's time after that on nothing is fed until the next call. */
void notify_progress(struct notify *notify, uint64_t next_usec);
