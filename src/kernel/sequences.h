/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Messages that each CPU numbers one after the other: a hole in the numbers is a loss. */

#include <stdbool.h>
#include <stdint.h>

struct sequence {
        uint32_t next;
        bool known;
};

/* Zero-initialised it knows no CPU; sequences_done() frees it. */
struct sequences {
        struct sequence *by_cpu;
        unsigned n;
};

void sequences_done(struct sequences *sequences);

/*
 * Takes the number SEQ of a message of CPU. Returns 0 when it is the next one, the first of this
 * CPU, or of no CPU at all (CPUSET_MAX or more). Returns 1 when others should have come before it:
 * it is not taken then, but expected. Or -ENOMEM.
 */
int sequences_take(struct sequences *sequences, unsigned cpu, uint32_t seq);

/* Makes every CPU's next message its first: a loss is known of already. */
void sequences_forget(struct sequences *sequences);
