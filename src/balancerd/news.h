/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the daemon tells its administrator: every kind of event has a message id, an entry in
 * systemd/balancerd.catalog, and fields of its own, which balancerd(8) lists. Where a line goes is
 * base/log.h's business.
 */

#include "base/journal.h"
#include "base/log.h"
#include "engine/decisions.h"
#include "engine/ledger.h"
#include "model/notice.h"

enum news_kind {
        NEWS_MOVED,
        NEWS_WOULD_MOVE, /* observing */
        NEWS_MOVE_FAILED,
        NEWS_SUPPRESSED, /* moves of a thread that were not told, and no more will be for a while */
        NEWS_FOREIGN,
        NEWS_STUCK,
        NEWS_NARROW_CHILD,
        NEWS_MISSING,
        NEWS_CLIENT_DROPPED,
        NEWS_CLIENTS_WAIT,
        NEWS_READY,
        NEWS_ENDING,
        NEWS_RESTORED,
        NEWS_CONFIGURATION_LOADED,
        NEWS_CONFIGURATION_REFUSED,
        _NEWS_MAX,
};

struct news;

int news_new(struct news **ret);
/* Tells what is suppressed still. */
void news_free(struct news *news);

/* A move: its line and fields, as long as its thread has not been told of too often (quota.h). */
void news_tell_decision(struct news *news, const struct decision *decision);
void news_tell_notice(const struct notice *notice);
void news_tell_restored(const struct ledger_report *report);

/* Any other event. FIELDS are those of its kind, put in by journal_entry_init(), journal_add() and
 * journal_addf() under names that begin with BALANCERD_; NULL where it has none. */
void news_tell(enum news_kind kind, int level, struct journal_entry *fields, const char *format,
               ...) _printf_(4, 5);
