/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/affinity.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>

int affinity_get(pid_t tid, struct cpuset *ret)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        /* Room for every CPU that a kernel can have, so that it never finds the mask too narrow. */
        uint64_t words[CPUSET_MAX / 64] = {0};
        unsigned n_words = ARRAY_SIZE(words);
        int r;

        if (tid <= 0)
                return -ESRCH;
        if (syscall(SYS_sched_getaffinity, tid, sizeof(words), words) < 0)
                return -errno;
        while (n_words > 0 && words[n_words - 1] == 0)
                n_words--;
        r = cpuset_from_words(&set, words, n_words);
        if (r < 0)
                return r;
        *ret = TAKE_CPUSET(set);
        return 0;
}

int affinity_set(pid_t tid, const struct cpuset *set)
{
        if (tid <= 0)
                return -ESRCH;
        if (syscall(SYS_sched_setaffinity, tid, set->n_words * sizeof(*set->words), set->words) < 0)
                return -errno;
        return 0;
}

int affinity_probe(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        return data[CAP_TO_INDEX(CAP_SYS_NICE)].effective & CAP_TO_MASK(CAP_SYS_NICE) ? 0 : -EPERM;
}
