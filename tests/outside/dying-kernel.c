/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dying-kernel.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static struct dying_kernel *dying_of(struct kernel *kernel)
{
        return CONTAINER_OF(kernel, struct dying_kernel, kernel);
}

static void die(void)
{
        (void)kill(getpid(), SIGKILL);
}

static unsigned count(struct dying_kernel *dying)
{
        unsigned n = atomic_fetch_add(&dying->n_calls, 1) + 1;

        if (n == dying->die_before)
                die();
        return n;
}

/* Before each call: returns its number; 0: it does not count. */
static unsigned enter(struct dying_kernel *dying)
{
        return dying->sets_only ? 0 : count(dying);
}

/* Behind call number N: returns its result. */
static int leave(const struct dying_kernel *dying, unsigned n, int result)
{
        if (n > 0 && n == dying->die_after)
                die();
        return result;
}

static nsec_t dying_now(struct kernel *kernel)
{
        struct kernel *real = dying_of(kernel)->real;

        return real->ops->now(real);
}

static void dying_close_thread(struct kernel *kernel, int handle)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        dying->real->ops->close_thread(dying->real, handle);
        (void)leave(dying, n, 0);
}

static int dying_list_threads(struct kernel *kernel, kernel_thread_fn fn, void *userdata)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->list_threads(dying->real, fn, userdata));
}

static int dying_open_thread(struct kernel *kernel, pid_t tgid, pid_t tid)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->open_thread(dying->real, tgid, tid));
}

static int dying_read_counters(struct kernel *kernel, int handle, struct kernel_counters *ret)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->read_counters(dying->real, handle, ret));
}

static int dying_read_counters_once(struct kernel *kernel, pid_t tgid, pid_t tid,
                                    struct kernel_counters *ret)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->read_counters_once(dying->real, tgid, tid, ret));
}

static int dying_read_thread(struct kernel *kernel, pid_t tgid, pid_t tid,
                             struct kernel_thread *ret)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);
        int r;

        r = dying->real->ops->read_thread(dying->real, tgid, tid, ret);
        if (r >= 0 && dying->restless) {
                ret->state = 'R';
                ret->cpu = CPUSET_MAX;
        }
        return leave(dying, n, r);
}

static int dying_get_affinity(struct kernel *kernel, pid_t tid, struct cpuset *ret)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->get_affinity(dying->real, tid, ret));
}

static int dying_set_affinity(struct kernel *kernel, pid_t tid, const struct cpuset *set)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = count(dying);

        return leave(dying, n, dying->real->ops->set_affinity(dying->real, tid, set));
}

static int dying_read_allowed(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->read_allowed(dying->real, tgid, tid, ret));
}

static int dying_read_cpuset(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        struct dying_kernel *dying = dying_of(kernel);
        unsigned n = enter(dying);

        return leave(dying, n, dying->real->ops->read_cpuset(dying->real, tgid, tid, ret));
}

static const struct kernel_ops dying_ops = {
        .now = dying_now,
        .close_thread = dying_close_thread,
        .list_threads = dying_list_threads,
        .open_thread = dying_open_thread,
        .read_counters = dying_read_counters,
        .read_counters_once = dying_read_counters_once,
        .read_thread = dying_read_thread,
        .get_affinity = dying_get_affinity,
        .set_affinity = dying_set_affinity,
        .read_allowed = dying_read_allowed,
        .read_cpuset = dying_read_cpuset,
};

void dying_kernel_init(struct dying_kernel *dying, struct kernel *real)
{
        *dying = (struct dying_kernel){.kernel.ops = &dying_ops, .real = real};
}
