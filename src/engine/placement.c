/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/placement.h"

#include <errno.h>
#include <unistd.h>

void placement_init(struct placement *p, pid_t tid)
{
        *p = (struct placement){.tid = tid};
}

void placement_done(struct placement *p)
{
        cpuset_done(&p->wanted);
        cpuset_done(&p->set);
        cpuset_done(&p->found);
}

void placement_want(struct placement *p, struct cpuset *wanted)
{
        cpuset_done(&p->wanted);
        p->wanted = TAKE_CPUSET(*wanted);
        p->due = true;
}

/* Whether MASK is what was set, as far as the cpuset has it, or what the kernel made of it. Returns
 * 1, 0 or -ENOMEM. */
static int is_ours(const struct placement *p, struct kernel *kernel, const struct cpuset *mask)
{
        _cleanup_cpuset_ struct cpuset permitted = {0}, left = {0};
        int r;

        if (cpuset_is_empty(&p->set) || cpuset_equal(mask, &p->set))
                return 1;
        r = kernel->ops->read_cpuset(kernel, getpid(), p->tid, &permitted);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = cpuset_copy(&left, &p->set);
        if (r < 0)
                return r;
        cpuset_intersect(&left, &permitted);
        return cpuset_equal(mask, &permitted) || cpuset_equal(mask, &left);
}

/* MASK becomes what the thread has now. */
static int place(struct placement *p, struct kernel *kernel, struct cpuset *mask)
{
        int r;

        if (kernel->ops->set_affinity(kernel, p->tid, &p->wanted) < 0)
                return 0;
        r = cpuset_copy(&p->set, &p->wanted);
        if (r < 0)
                return r;
        cpuset_done(mask);
        return kernel->ops->get_affinity(kernel, p->tid, mask) == -ENOMEM ? -ENOMEM : 0;
}

int placement_look(struct placement *p, struct kernel *kernel)
{
        _cleanup_cpuset_ struct cpuset mask = {0};
        int r;

        r = kernel->ops->get_affinity(kernel, p->tid, &mask);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (!p->due && cpuset_equal(&mask, &p->found))
                return 0;
        r = is_ours(p, kernel, &mask);
        if (r < 0)
                return r;
        p->foreign = r == 0;
        if (!p->foreign)
                r = place(p, kernel, &mask);
        if (r < 0)
                return r;
        p->due = false;
        cpuset_done(&p->found);
        p->found = TAKE_CPUSET(mask);
        return 1;
}

const struct cpuset *placement_cpus(const struct placement *p)
{
        return p->foreign ? &p->found : &p->wanted;
}
