/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include "base/cpuset.h"

/* Groups of 32 bits, the highest first, as the kernel writes them. */
static void format_mask(const struct cpuset *set, char *text)
{
        for (unsigned group = CPUSET_MAX / 32; group-- > 0;) {
                uint64_t word = group / 2 < set->n_words ? set->words[group / 2] : 0;

                text += sprintf(text, "%08x%s", (unsigned)(word >> group % 2 * 32 & UINT32_MAX),
                                group ? "," : "");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_cpuset_ struct cpuset set = {0}, again = {0};
        char text[CPUSET_MAX / 32 * 9 + 1];

        if (cpuset_parse_mask((const char *)data, size, &set) < 0) {
                REQUIRE(!set.words);
                return 0;
        }
        format_mask(&set, text);
        REQUIRE(cpuset_parse_mask(text, strlen(text), &again) == 0);
        REQUIRE(cpuset_equal(&set, &again));
        return 0;
}
