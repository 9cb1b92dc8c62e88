/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"

/* glibc has no functions of its own for the two system calls. */
int privileges_drop_net_admin(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
        struct __user_cap_data_struct *set = &sets[CAP_TO_INDEX(CAP_NET_ADMIN)];

        if (syscall(SYS_capget, &header, sets) < 0)
                return -errno;
        set->effective &= ~CAP_TO_MASK(CAP_NET_ADMIN);
        set->permitted &= ~CAP_TO_MASK(CAP_NET_ADMIN);
        /* The kernel lowers the ambient set with it. */
        set->inheritable &= ~CAP_TO_MASK(CAP_NET_ADMIN);
        return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}
