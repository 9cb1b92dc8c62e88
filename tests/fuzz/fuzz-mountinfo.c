/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"

#include <string.h>

#include "kernel/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct cgroup_mount_line mount;

        if (cgroup_parse_mount((const char *)data, size, &mount) <= 0)
                return 0;
        /* Undoing escapes never makes a text longer. */
        REQUIRE(strlen(mount.mount_point) + strlen(mount.top) <= size);
        REQUIRE(!(mount.unified && mount.noprefix));
        free(mount.mount_point);
        free(mount.top);
        return 0;
}
