/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The ledger: what balancerd has narrowed and not yet given back, in a file that outlives it. One
 * record a narrowed thread, written before the system call that narrows it, in a file that is
 * allocated and locked in memory beforehand: writing a record can neither fail nor wait. The file's
 * lock is the daemon's claim to the machine: there is one owner at a time.
 *
 * A record goes FREE -> NARROW (before the mask is set) -> SETTLED (the mask is back; children born
 * meanwhile may still be narrow) -> FREE.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "base/time.h"
#include "kernel/kernel.h"

enum ledger_why {
        LEDGER_NUDGE, /* given back within microseconds */
        LEDGER_HOLD,  /* kept while a rule or window says so */
};

struct ledger_entry {
        pid_t tgid, tid;
        uint64_t start_ticks;
        enum ledger_why why;
        bool whole;             /* the original mask was the whole cpuset: give back all ones */
        struct cpuset original; /* what the owner chose (not owned here) */
        struct cpuset set;      /* what balancerd sets */
};

struct ledger;

/*
 * Opens (makes, if need be) "ledger" below RUNTIME_DIR_FD for N_RECORDS threads and CPUs up to
 * N_IDS, and locks it. Records of a daemon that died are kept for ledger_restore(). Returns 0,
 * -EBUSY while another daemon has it, -EBADMSG if the file is no ledger of this version (it is left
 * alone), -ENOSPC, -EROFS, -EACCES, ...
 */
int ledger_open(struct ledger **ret, int runtime_dir_fd, unsigned n_records, unsigned n_ids);
void ledger_free(struct ledger *ledger); /* releases the lock; the file stays */

/* Writes ENTRY as NARROW. Returns the record's number (0 or more), -ENOSPC when all are taken, or
 * -ERANGE for a mask wider than the ledger. [any thread] */
int ledger_begin(struct ledger *ledger, const struct ledger_entry *entry);
/* The thread has its mask back. [any thread] */
void ledger_settle(struct ledger *ledger, int record);
/* Nothing is left to give back; the record may be used again. [any thread] */
void ledger_clear(struct ledger *ledger, int record);
/* Records that are not FREE. */
unsigned ledger_count(const struct ledger *ledger);

/* What ledger_restore() did. */
struct ledger_report {
        unsigned n_records;  /* that were not FREE */
        unsigned n_restored; /* threads that got their mask back */
        unsigned n_children; /* children born narrow that got their parent's original mask */
        unsigned n_foreign;  /* threads whose mask somebody else has set since: left as they are */
        unsigned n_gone;     /* threads that are no more */
        unsigned n_failed;   /* could not be restored (no permission): their records stay */
};

/* Gives back everything in the ledger: each thread that is the same and still has the mask that was
 * set, and its children born narrow since. Returns 0 or a negative errno; RET_REPORT is always
 * filled. */
int ledger_restore(struct ledger *ledger, struct kernel *kernel, struct ledger_report *ret_report);
