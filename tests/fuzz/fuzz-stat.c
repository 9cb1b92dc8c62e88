/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#include "kernel/thread.h"

/* The fields that the parser keeps, as the kernel would write them. */
static void format(const struct kernel_thread *t, char *text, size_t size)
{
        (void)snprintf(text, size,
                       "1 (%s) %c %d 1 1 0 -1 %u 0 0 0 0 0 0 0 0 20 %d 1 0 %" PRIu64
                       " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 %u %u %d\n",
                       t->comm, t->state, t->ppid, t->kernel_thread ? 0x00200000U : 0U, t->nice,
                       t->start_ticks, t->cpu, t->rt_priority, t->policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct kernel_thread thread, again;
        char text[512];

        if (thread_parse_stat((const char *)data, size, &thread) < 0)
                return 0;
        REQUIRE(data[size - 1] == '\n');
        REQUIRE(thread_parse_stat((const char *)data, size - 1, &again) < 0);
        REQUIRE(thread.comm[KERNEL_COMM_SIZE - 1] == '\0');
        REQUIRE(thread.nice >= -20 && thread.nice <= 19 && thread.cpu < CPUSET_MAX &&
                thread.rt_priority < 100 && thread.policy >= 0 && thread.ppid >= 0);
        format(&thread, text, sizeof(text));
        REQUIRE(thread_parse_stat(text, strlen(text), &again) == 0);
        REQUIRE(memcmp(again.comm, thread.comm, sizeof(again.comm)) == 0);
        REQUIRE(again.state == thread.state && again.ppid == thread.ppid &&
                again.kernel_thread == thread.kernel_thread && again.nice == thread.nice &&
                again.start_ticks == thread.start_ticks && again.cpu == thread.cpu &&
                again.rt_priority == thread.rt_priority && again.policy == thread.policy);
        return 0;
}
