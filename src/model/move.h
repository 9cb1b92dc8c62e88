/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a plan consists of. */

enum move_reason {
        MOVE_BALANCE, /* the thread competes where it is, and less where it goes */
        MOVE_CHAIN,   /* a hop of a path that ends in a gain: none of its hops need gain alone */
        MOVE_STUCK,  /* on a CPU that the kernel balances: the thread kept waiting, the target idled
                      */
        MOVE_ROTATE, /* threads that do not divide by CPUs take turns */
};

/* "balance", "chain", "stuck", "rotate". */
const char *move_reason_to_string(enum move_reason reason);

struct move {
        unsigned thread; /* index into snapshot.threads */
        unsigned from;   /* CPU indexes */
        unsigned to;
        enum move_reason reason;
        unsigned chain;  /* 0: a move of its own; hops of one chain share a number from 1 up */
        float gain;      /* contention that the thread is expected to lose, in competing threads
                            (for MOVE_CHAIN: the whole chain's gain; for MOVE_ROTATE: seconds of lag) */
        float load_from; /* demand on the two CPUs as the plan saw it before this move, in threads
                          */
        float load_to;
};
