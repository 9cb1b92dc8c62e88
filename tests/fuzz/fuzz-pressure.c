/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#include "kernel/pressure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint64_t total, again;
        char text[64];

        if (pressure_parse((const char *)data, size, &total) < 0)
                return 0;
        (void)snprintf(text, sizeof(text), "some total=%" PRIu64 "\n", total);
        REQUIRE(pressure_parse(text, strlen(text), &again) == 0 && again == total);
        /* One byte less and the line is cut. */
        REQUIRE(pressure_parse(text, strlen(text) - 1, &again) < 0);
        return 0;
}
