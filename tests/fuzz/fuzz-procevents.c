/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include "kernel/procevents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct procevents_message message;

        if (procevents_parse(data, size, &message) < 0)
                return 0;
        REQUIRE(message.error <= 0 && message.error > -4096);
        REQUIRE(!(message.acknowledges && message.has_event));
        REQUIRE(message.acknowledges || message.error == 0);
        if (message.has_event)
                REQUIRE(message.event.type == KERNEL_EVENT_FORK ||
                        (message.event.parent_tid == 0 && message.event.parent_tgid == 0));
        return 0;
}
