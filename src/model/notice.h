/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the floors below the program tell its administrator, moves apart. Plain data: where it goes
 * (journal, Monitor) is the program's business. */

#include <sys/types.h>

enum notice_kind {
        NOTICE_MISSING,      /* a source of the kernel, or a power, that the daemon does without */
        NOTICE_FOREIGN,      /* somebody else set a thread's mask */
        NOTICE_STUCK,        /* the kernel does not finish a move */
        NOTICE_NARROW_CHILD, /* a newborn thread could not be given its mask */
        NOTICE_CLIENT_DROPPED, /* a client broke a limit or the protocol, or did not read */
        NOTICE_CLIENTS_WAIT,   /* no connection can be taken for the moment */
        _NOTICE_MAX,
};

/* Nothing in it outlives the call that hands it over. */
struct notice {
        enum notice_kind kind;
        int level;        /* of syslog(3) */
        const char *text; /* one line, foreign bytes escaped */
        pid_t tgid, tid;  /* the thread, or the client's process and 0; 0: about none */
        /* MISSING: the source's name (kernel_source_to_string()), or "realtime". FOREIGN: the mask,
         * as a list of CPUs. CLIENT_DROPPED: the limit, or the rule, in a word or two.
         * CLIENTS_WAIT: the error's name, "EMFILE". NULL where there is none. */
        const char *detail;
};
