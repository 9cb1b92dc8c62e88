/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <string.h>

#include "kernel/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data, *path;
        size_t length;
        bool unified;

        if (cgroup_parse_membership(text, size, &unified, &path, &length) < 0)
                return 0;
        REQUIRE(path >= text && length <= size && path + length <= text + size);
        REQUIRE(length > 0 && path[0] == '/' && !memchr(path, '\n', length));
        return 0;
}
