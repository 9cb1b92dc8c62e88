/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#include "base/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char input[256], text[64], shortest[NSEC_TEXT_SIZE];
        nsec_t nsec, again;

        if (size >= sizeof(input))
                return 0;
        memcpy(input, data, size);
        input[size] = '\0';
        if (parse_nsec(input, &nsec) < 0)
                return 0;
        REQUIRE((nsec == NSEC_INFINITY) == (strcmp(input, "infinity") == 0));
        REQUIRE(parse_nsec(format_nsec(nsec, shortest), &again) == 0 && again == nsec);
        if (nsec == NSEC_INFINITY)
                return 0;
        (void)snprintf(text, sizeof(text), "%" PRIu64 "ns", nsec);
        REQUIRE(parse_nsec(text, &again) == 0 && again == nsec);
        return 0;
}
