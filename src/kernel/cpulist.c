/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/cpulist.h"

#include "base/io.h"

int cpulist_read_at(int dir_fd, const char *path, struct cpuset *ret)
{
        _cleanup_buffer_ struct buffer text = {0};
        int r;

        r = buffer_read_at(&text, dir_fd, path);
        if (r < 0)
                return r;
        return cpuset_parse_list(text.data, text.length, ret);
}
