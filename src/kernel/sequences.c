/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/sequences.h"

#include <errno.h>

#include "base/cpuset.h"
#include "base/macro.h"

void sequences_done(struct sequences *sequences)
{
        free(sequences->by_cpu);
        *sequences = (struct sequences){0};
}

static int reserve(struct sequences *sequences, unsigned n)
{
        struct sequence *by_cpu;

        if (n <= sequences->n)
                return 0;
        by_cpu = realloc(sequences->by_cpu, n * sizeof(*by_cpu));
        if (!by_cpu)
                return -ENOMEM;
        memset(by_cpu + sequences->n, 0, (n - sequences->n) * sizeof(*by_cpu));
        sequences->by_cpu = by_cpu;
        sequences->n = n;
        return 0;
}

int sequences_take(struct sequences *sequences, unsigned cpu, uint32_t seq)
{
        struct sequence *sequence;
        bool hole;
        int r;

        if (cpu >= CPUSET_MAX)
                return 0;
        r = reserve(sequences, cpu + 1);
        if (r < 0)
                return r;
        sequence = &sequences->by_cpu[cpu];
        hole = sequence->known && sequence->next != seq;
        *sequence = (struct sequence){.next = hole ? seq : seq + 1, .known = true};
        return hole;
}

void sequences_forget(struct sequences *sequences)
{
        for (unsigned cpu = 0; cpu < sequences->n; cpu++)
                sequences->by_cpu[cpu].known = false;
}
