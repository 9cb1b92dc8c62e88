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
        LEDGER_CHILD, /* born narrow, out of a thread that has a record of its own */
};

enum ledger_state {
        LEDGER_FREE,
        LEDGER_NARROW,
        LEDGER_SETTLED,
        LEDGER_DAMAGED, /* no record that this program writes: never applied */
};

struct ledger_entry {
        pid_t tgid, tid;
        uint64_t start_ticks;
        nsec_t narrowed_at; /* CLOCK_BOOTTIME, as start_ticks; read before the mask is set */
        enum ledger_why why;
        bool whole;             /* the original mask was the whole cpuset: give back all ones */
        struct cpuset original; /* what the owner chose */
        struct cpuset set;      /* what balancerd sets */
};

/* Frees the masks of an entry that owns them (ledger_get). */
void ledger_entry_done(struct ledger_entry *entry);

struct ledger;

/*
 * Opens (makes, if need be) "ledger" below RUNTIME_DIR_FD for N_RECORDS threads and CPUs up to
 * N_IDS, and locks it. Records of a daemon that died are kept for ledger_restore(), and as long as
 * there are any the file keeps its old sizes; those from before a reboot are dropped. Returns 0,
 * -EBUSY while another daemon has it, -EBADMSG if the file is no ledger of this version (it is left
 * alone), -ENOSPC, -EROFS, -EACCES, ... and leaves no file behind that it could not finish.
 */
int ledger_open(struct ledger **ret, int runtime_dir_fd, unsigned n_records, unsigned n_ids);

/* A descriptor on the same file that holds no lock, to be kept by somebody who outlives the daemon:
 * its lock must end with it. Returns it, or a negative errno. */
int ledger_open_unlocked(const struct ledger *ledger);

/*
 * Opens and locks the ledger that FD (of ledger_open_unlocked()) is on, for ledger_restore(): its
 * folder may have lost it since. Returns 0; -EBUSY where it is open already, by this process or
 * another, and so has been or will be seen to; -ENODATA if it is of this boot no more, or was never
 * finished; -EBADMSG, -EACCES, ... FD stays the caller's.
 */
int ledger_open_stored(struct ledger **ret, int fd);

/* The N_IDS for the machine whose /sys is SYS_FD: as wide as the kernel's own masks, which name all
 * CPUs that are possible, online or not. CPUSET_MAX where that cannot be read. */
unsigned ledger_width(int sys_fd);

void ledger_free(struct ledger *ledger); /* releases the lock; the file stays */

static inline void ledger_freep(struct ledger **ledger)
{
        ledger_free(*ledger);
}

/* Writes ENTRY, whose masks stay the caller's, as NARROW. Returns the record's number (0 or more),
 * -ENOSPC when all are taken, or -ERANGE for a mask wider than the ledger. [any thread] */
int ledger_begin(struct ledger *ledger, const struct ledger_entry *entry);
/* The thread has its mask back since AT (CLOCK_BOOTTIME). [any thread] */
void ledger_settle(struct ledger *ledger, int number, nsec_t at);
/* The same thread is to get the same mask again. [any thread] */
void ledger_reopen(struct ledger *ledger, int number);
/* Nothing is left to give back; the record may be used again. [any thread] */
void ledger_clear(struct ledger *ledger, int number);

/* Records in the file, FREE or not. [any thread] */
unsigned ledger_size(const struct ledger *ledger);
/* Those that were begun since ledger_open() and are not FREE again: what an earlier daemon left and
 * could not be restored is waited for by nobody. [any thread] */
unsigned ledger_count(struct ledger *ledger);

/* Those of them that are NARROW. [any thread] */
unsigned ledger_count_narrow(struct ledger *ledger);

/*
 * Reads record NUMBER, 0 <= NUMBER < ledger_size(). Returns its enum ledger_state, or
 * -ENOMEM. RET_ENTRY, whose masks the caller owns, is filled where that is NARROW or SETTLED, and
 * RET_SETTLED_AT where it is SETTLED (NSEC_INFINITY for NARROW).
 */
int ledger_get(const struct ledger *ledger, int number, struct ledger_entry *ret_entry,
               nsec_t *ret_settled_at);

/* What ledger_restore() did. */
struct ledger_report {
        unsigned n_records;  /* that were not FREE */
        unsigned n_restored; /* threads that got their mask back */
        unsigned n_children; /* children born narrow that got their parent's original mask */
        unsigned n_intact;   /* threads that had their mask: killed before the one step or after the
                                other */
        unsigned n_foreign;  /* threads whose mask somebody else has set since: left as they are */
        unsigned n_gone;     /* threads that are no more */
        unsigned n_failed;   /* could not be restored (no permission): their records stay */
        unsigned n_damaged;  /* records that made no sense: dropped */
};

/*
 * Gives back everything in the ledger: each thread that is the same and still has the mask that was
 * set, and its children born narrow since. May be repeated, and killed at any time and repeated. It
 * takes a tenth of a second where a child may be on its way into the world, and up to ten where the
 * parent waits for a CPU as long. Returns 0 or a negative
 * errno; RET_REPORT is always filled. (restore.c)
 */
int ledger_restore(struct ledger *ledger, struct kernel *kernel, struct ledger_report *ret_report);
