/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/narrowings.h"

#include <errno.h>

struct narrowing *narrowing_new(void)
{
        struct narrowing *narrowing = calloc(1, sizeof(*narrowing));

        if (!narrowing)
                return NULL;
        narrowing->record = -1;
        narrowing->handle = -1;
        narrowing->settled_at = NSEC_INFINITY;
        return narrowing;
}

void narrowing_free(struct narrowing *narrowing)
{
        if (!narrowing)
                return;
        ledger_entry_done(&narrowing->entry);
        free(narrowing);
}

static struct narrowing **bucket_of(struct narrowings *table, pid_t tgid)
{
        return &table->buckets[(unsigned)tgid % NARROWINGS_N_BUCKETS];
}

void narrowings_done(struct narrowings *table)
{
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                while (table->buckets[i]) {
                        struct narrowing *first = table->buckets[i];

                        table->buckets[i] = first->next;
                        narrowing_free(first);
                }
}

void narrowings_add(struct narrowings *table, struct narrowing *narrowing)
{
        struct narrowing **bucket = bucket_of(table, narrowing->entry.tgid);

        narrowing->next = *bucket;
        *bucket = narrowing;
}

void narrowings_remove(struct narrowings *table, struct narrowing *narrowing)
{
        struct narrowing **link = bucket_of(table, narrowing->entry.tgid);

        while (*link != narrowing)
                link = &(*link)->next;
        *link = narrowing->next;
        narrowing->next = NULL;
}

static const struct narrowing *first_of(const struct narrowings *table, pid_t tgid)
{
        return table->buckets[(unsigned)tgid % NARROWINGS_N_BUCKETS];
}

struct narrowing *narrowings_find(const struct narrowings *table, pid_t tgid, pid_t tid)
{
        struct narrowing *n = table->buckets[(unsigned)tgid % NARROWINGS_N_BUCKETS];

        while (n &&
               !(n->entry.tid == tid && n->entry.tgid == tgid && n->settled_at == NSEC_INFINITY))
                n = n->next;
        return n;
}

bool narrowings_concern(const struct narrowings *table, pid_t tgid, pid_t ppid)
{
        for (const struct narrowing *n = first_of(table, tgid); n; n = n->next)
                if (n->entry.tgid == tgid)
                        return true;
        for (const struct narrowing *n = first_of(table, ppid); n; n = n->next)
                if (n->entry.tgid == ppid)
                        return true;
        return false;
}

static bool is_same_entry(const struct ledger_entry *a, const struct ledger_entry *b)
{
        return a->tgid == b->tgid && a->tid == b->tid && a->start_ticks == b->start_ticks &&
               a->why == b->why && a->whole == b->whole && cpuset_equal(&a->set, &b->set) &&
               cpuset_equal(&a->original, &b->original);
}

struct narrowing *narrowings_find_twin(const struct narrowings *table,
                                       const struct ledger_entry *fresh)
{
        struct narrowing *n = table->buckets[(unsigned)fresh->tgid % NARROWINGS_N_BUCKETS];

        while (n && !(!n->busy && n->record >= 0 && n->settled_at != NSEC_INFINITY &&
                      n->births.threads_end == 0 && is_same_entry(&n->entry, fresh)))
                n = n->next;
        return n;
}

/* Both ends are rounded to whole ticks, and down, as the kernel rounds start times. BIRTHS_END is 0
 * while it is not known. */
static bool was_under_way(const struct narrowing *narrowing, nsec_t births_end,
                          uint64_t start_ticks)
{
        nsec_t tick_nsec = NSEC_PER_SEC / (nsec_t)sysconf(_SC_CLK_TCK);
        nsec_t limit;

        if (start_ticks < narrowing->entry.narrowed_at / tick_nsec)
                return false;
        if (narrowing->settled_at == NSEC_INFINITY)
                return true;
        limit = narrowing->settled_at + NARROWING_BIRTH_LIMIT_NSEC;
        return start_ticks <= (births_end > 0 ? MIN(births_end, limit) : limit) / tick_nsec;
}

static bool is_child_of(const struct narrowing *narrowing, pid_t tgid, pid_t tid, pid_t ppid,
                        uint64_t start_ticks, const struct cpuset *mask)
{
        const struct ledger_entry *entry = &narrowing->entry;
        const struct births *births = &narrowing->births;

        if (!cpuset_equal(&entry->set, mask) ||
            (entry->tid == tid && entry->start_ticks == start_ticks))
                return false;
        return (entry->tgid == tgid &&
                was_under_way(narrowing, births->threads_end, start_ticks)) ||
               (entry->tgid == ppid &&
                was_under_way(narrowing, births->processes_end, start_ticks));
}

/* "Whole" is more than any mask that names its CPUs. */
static bool is_smaller(const struct ledger_entry *a, const struct ledger_entry *b)
{
        if (a->whole != b->whole)
                return b->whole;
        return cpuset_count(&a->original) < cpuset_count(&b->original);
}

struct narrowing *narrowings_find_origin(const struct narrowings *table, pid_t tgid, pid_t tid,
                                         pid_t ppid, uint64_t start_ticks,
                                         const struct cpuset *mask)
{
        const pid_t families[] = {tgid, ppid};
        struct narrowing *best = NULL;

        for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
                for (struct narrowing *n =
                             table->buckets[(unsigned)families[i] % NARROWINGS_N_BUCKETS];
                     n; n = n->next)
                        if (is_child_of(n, tgid, tid, ppid, start_ticks, mask) &&
                            (!best || is_smaller(&n->entry, &best->entry)))
                                best = n;
        return best;
}

static int read_run(const struct narrowing *narrowing, struct kernel *kernel, nsec_t *ret)
{
        const struct ledger_entry *entry = &narrowing->entry;
        struct kernel_counters counters;
        int r;

        if (narrowing->handle >= 0)
                r = kernel->ops->read_counters(kernel, narrowing->handle, &counters);
        else
                r = kernel->ops->read_counters_once(kernel, entry->tgid, entry->tid, &counters);
        if (r == 0)
                *ret = counters.run_nsec;
        return r;
}

nsec_t narrowing_read_run(const struct narrowing *narrowing, struct kernel *kernel)
{
        nsec_t run_nsec = 0;

        return read_run(narrowing, kernel, &run_nsec) < 0 ? NSEC_INFINITY : run_nsec;
}

void narrowing_settle(struct narrowing *narrowing, nsec_t at, nsec_t run_nsec)
{
        narrowing->settled_at = at;
        narrowing->run_nsec = run_nsec;
        narrowing->looked_at = 0;
        narrowing->births = (struct births){0};
}

static void end_births(struct births *births, nsec_t at)
{
        if (births->threads_end == 0)
                births->threads_end = at;
        if (births->processes_end == 0)
                births->processes_end = at;
}

/* When a thread that has RUN_NSEC of CPU time NOW had LIMIT of it since it was settled, at the
 * latest: it cannot have run for longer than has passed. 0: not yet. */
static nsec_t reached(const struct narrowing *narrowing, nsec_t run_nsec, nsec_t now, nsec_t limit)
{
        nsec_t more;

        if (narrowing->run_nsec == NSEC_INFINITY || run_nsec < narrowing->run_nsec + limit)
                return 0;
        more = run_nsec - narrowing->run_nsec - limit;
        return narrowing->settled_at + more < now ? now - more : narrowing->settled_at;
}

static bool is_out_of_forks(const struct narrowing *narrowing, struct kernel *kernel)
{
        const struct ledger_entry *entry = &narrowing->entry;
        struct kernel_thread thread;
        int r;

        r = kernel->ops->read_thread(kernel, entry->tgid, entry->tid, &thread);
        if (r < 0)
                return r == -ESRCH;
        return thread.start_ticks != entry->start_ticks || !strchr("RD", thread.state);
}

struct births narrowing_look(const struct narrowing *narrowing, struct kernel *kernel)
{
        struct births births = narrowing->births;
        nsec_t run_nsec = 0, now;
        int r;

        r = read_run(narrowing, kernel, &run_nsec);
        now = boottime_of(kernel->ops->now(kernel));
        if (r == 0 && births.threads_end == 0)
                births.threads_end = reached(narrowing, run_nsec, now, NARROWING_THREAD_RUN_NSEC);
        if (r == 0 && births.processes_end == 0)
                births.processes_end =
                        reached(narrowing, run_nsec, now, NARROWING_PROCESS_RUN_NSEC);
        if (births.processes_end == 0 && (r == -ESRCH || is_out_of_forks(narrowing, kernel)))
                end_births(&births, now);
        if (now >= narrowing->settled_at + NARROWING_BIRTH_LIMIT_NSEC)
                end_births(&births, narrowing->settled_at + NARROWING_BIRTH_LIMIT_NSEC);
        return births;
}

int copy_origin(struct ledger_entry *entry, const struct ledger_entry *origin)
{
        int r;

        r = cpuset_copy(&entry->original, &origin->original);
        if (r < 0)
                return r;
        r = cpuset_copy(&entry->set, &origin->set);
        if (r < 0)
                return r;
        entry->whole = origin->whole;
        entry->narrowed_at = origin->narrowed_at;
        return 0;
}

static int is_same_thread(struct kernel *kernel, const struct ledger_entry *entry, int handle)
{
        struct kernel_counters counters;
        struct kernel_thread thread;
        int r;

        if (handle >= 0)
                r = kernel->ops->read_counters(kernel, handle, &counters);
        else
                r = kernel->ops->read_thread(kernel, entry->tgid, entry->tid, &thread);
        if (r == -ESRCH)
                return false;
        if (r < 0)
                return r;
        return handle >= 0 || thread.start_ticks == entry->start_ticks;
}

static int set_original(struct kernel *kernel, const struct ledger_entry *entry,
                        const struct cpuset *all)
{
        int r = -EINVAL;

        if (!entry->whole)
                r = kernel->ops->set_affinity(kernel, entry->tid, &entry->original);
        /* If no CPU of the original is left in the thread's cpuset, all ones is what the kernel
         * itself would make of it. */
        if (r == -EINVAL)
                r = kernel->ops->set_affinity(kernel, entry->tid, all);
        return r;
}

/* What the thread's cpuset permits, as far as anyone can tell. Returns 1, 0 where that will not be
 * told, or a negative errno of what may be tried again. */
static int read_permitted(struct kernel *kernel, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        int r = kernel->ops->read_cpuset(kernel, tgid, tid, ret);

        if (r == -ENOENT || r == -EACCES)
                return 0;
        return r < 0 ? r : 1;
}

/* Whether FOUND is what was set, or is taken for what the kernel made of it: where none of the CPUs
 * set is left in its cpuset, a thread gets all that is left there. From 6.2 on the mask that was
 * set is remembered beside that, and would come back with its CPUs. It is an inference: an owner
 * who chose all CPUs since looks the same. Returns 1, 0, or a negative errno. */
static int is_ours(struct kernel *kernel, const struct ledger_entry *entry,
                   const struct cpuset *found)
{
        _cleanup_cpuset_ struct cpuset permitted = {0};
        int r;

        if (cpuset_equal(found, &entry->set))
                return 1;
        r = read_permitted(kernel, entry->tgid, entry->tid, &permitted);
        if (r <= 0)
                return r;
        return cpuset_equal(found, &permitted) && !cpuset_intersects(&entry->set, &permitted);
}

int give_back(struct kernel *kernel, const struct ledger_entry *entry, const struct cpuset *all,
              int handle, struct cpuset *ret_found)
{
        _cleanup_cpuset_ struct cpuset found = {0};
        int r;

        r = is_same_thread(kernel, entry, handle);
        if (r <= 0)
                return r < 0 ? r : GIVEBACK_GONE;
        r = kernel->ops->get_affinity(kernel, entry->tid, &found);
        if (r == 0)
                r = is_ours(kernel, entry, &found);
        if (r == 0) {
                *ret_found = TAKE_CPUSET(found);
                return GIVEBACK_FOREIGN;
        }
        if (r > 0)
                r = set_original(kernel, entry, all);
        if (r == -ESRCH)
                return GIVEBACK_GONE;
        return r < 0 ? r : GIVEBACK_DONE;
}

int every_cpu(struct cpuset *ret)
{
        struct cpuset all = {0};
        int r;

        r = cpuset_add_range(&all, 0, CPUSET_MAX - 1);
        if (r < 0)
                return r;
        *ret = all;
        return 0;
}

nsec_t boottime_of(nsec_t at)
{
        /* In this order, a pause between the two makes the result too early, not too late. */
        nsec_t boottime = clock_now_nsec(CLOCK_BOOTTIME);
        nsec_t monotonic = clock_now_nsec(CLOCK_MONOTONIC);

        return boottime > monotonic ? at + (boottime - monotonic) : at;
}
