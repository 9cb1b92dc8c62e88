/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/domainless.h"

void domainless_done(struct domainless *d)
{
        cpuset_done(&d->settled);
        cpuset_done(&d->doubted);
}

static int begin(struct domainless *d, const struct cpuset *seen)
{
        int r;

        r = cpuset_copy(&d->settled, seen);
        if (r < 0)
                return r;
        d->begun = true;
        return 0;
}

int domainless_take(struct domainless *d, const struct cpuset *seen, nsec_t now)
{
        _cleanup_cpuset_ struct cpuset fresh = {0};
        int r;

        if (!d->begun)
                return begin(d, seen);
        cpuset_intersect(&d->settled, seen);
        r = cpuset_copy(&fresh, seen);
        if (r < 0)
                return r;
        cpuset_subtract(&fresh, &d->settled);
        cpuset_intersect(&d->doubted, &fresh);
        if (cpuset_is_empty(&fresh))
                return 0;
        if (cpuset_is_empty(&d->doubted)) {
                d->doubted_at = now;
                r = cpuset_copy(&d->doubted, &fresh);
                return r < 0 ? r : 1;
        }
        if (now - d->doubted_at < DOMAINLESS_SETTLE)
                return 1;
        r = cpuset_unite(&d->settled, &d->doubted);
        if (r < 0)
                return r;
        cpuset_clear(&d->doubted);
        return !cpuset_is_subset(&fresh, &d->settled);
}
