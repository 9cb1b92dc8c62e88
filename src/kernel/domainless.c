/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/domainless.h"

void domainless_done(struct domainless *d)
{
        cpuset_done(&d->settled);
        cpuset_done(&d->doubted);
}

static int begin(struct domainless *d, const struct cpuset *seen, nsec_t now)
{
        int r;

        r = cpuset_copy(&d->settled, seen);
        if (r < 0)
                return r;
        d->begun = true;
        d->begun_at = now;
        return !cpuset_is_empty(seen);
}

static int begin_doubt(struct domainless *d, const struct cpuset *fresh, nsec_t now)
{
        int r;

        r = cpuset_copy(&d->doubted, fresh);
        if (r < 0)
                return r;
        d->doubted_at = now;
        d->n_looks = 1;
        return 1;
}

/* FRESH: those without a domain that are not settled; there are some. */
static int doubt(struct domainless *d, const struct cpuset *fresh, nsec_t now)
{
        int r;

        cpuset_intersect(&d->doubted, fresh);
        if (cpuset_is_empty(&d->doubted))
                return begin_doubt(d, fresh, now);
        if (++d->n_looks < DOMAINLESS_LOOKS || now - d->doubted_at < DOMAINLESS_SETTLE)
                return 1;
        r = cpuset_unite(&d->settled, &d->doubted);
        if (r < 0)
                return r;
        cpuset_clear(&d->doubted);
        return !cpuset_is_subset(fresh, &d->settled);
}

int domainless_take(struct domainless *d, const struct cpuset *seen, nsec_t now)
{
        _cleanup_cpuset_ struct cpuset fresh = {0};
        int r;

        if (!d->begun)
                return begin(d, seen, now);
        cpuset_intersect(&d->settled, seen);
        r = cpuset_copy(&fresh, seen);
        if (r < 0)
                return r;
        cpuset_subtract(&fresh, &d->settled);
        if (!cpuset_is_empty(&fresh))
                return doubt(d, &fresh, now);
        cpuset_clear(&d->doubted);
        return !cpuset_is_empty(&d->settled) && now - d->begun_at < DOMAINLESS_SETTLE;
}
