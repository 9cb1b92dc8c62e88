/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Giving back what the ledger says. A thread's own record first; then a search of all threads for
 * children that were born narrow. It keeps nothing but the ledger, clears a record only when all
 * that stood in it is done, and so may be killed at any step and run again.
 */

#include <errno.h>

#include "engine/narrowings.h"

#define LOOK_INTERVAL_NSEC (100 * NSEC_PER_MSEC)

/* A child that was found narrow, in order of discovery. */
struct found {
        struct found *next;
        struct ledger_entry entry; /* `original` and `whole` are its parent's */
};

struct restorer {
        struct kernel *kernel;
        struct ledger *ledger;
        struct ledger_report *report;
        struct narrowings table;     /* the records, and the children: they have children too */
        const struct cpuset **masks; /* those of `table`, without repeats; not owned */
        unsigned n_masks;
        struct cpuset all;
        struct found *found; /* the last one first */
        bool children_failed;
        bool all_barren;
};

static void found_free(struct found *found)
{
        ledger_entry_done(&found->entry);
        free(found);
}

static void restorer_done(struct restorer *restorer)
{
        while (restorer->found) {
                struct found *first = restorer->found;

                restorer->found = first->next;
                found_free(first);
        }
        free(restorer->masks);
        narrowings_done(&restorer->table);
        cpuset_done(&restorer->all);
}

static void clear_damaged(struct restorer *restorer, int record)
{
        restorer->report->n_damaged++;
        ledger_clear(restorer->ledger, record);
}

static int load_record(struct restorer *restorer, int record)
{
        _cleanup_(narrowing_freep) struct narrowing *narrowing = NULL;
        int r;

        narrowing = narrowing_new();
        if (!narrowing)
                return -ENOMEM;
        r = ledger_get(restorer->ledger, record, &narrowing->entry, &narrowing->settled_at);
        if (r < 0 || r == LEDGER_FREE)
                return r;
        restorer->report->n_records++;
        if (r == LEDGER_DAMAGED) {
                clear_damaged(restorer, record);
                return 0;
        }
        narrowing->record = record;
        narrowings_add(&restorer->table, TAKE_PTR(narrowing));
        return 0;
}

static int load(struct restorer *restorer)
{
        for (unsigned i = 0; i < ledger_size(restorer->ledger); i++) {
                int r = load_record(restorer, (int)i);

                if (r < 0)
                        return r;
        }
        return 0;
}

static nsec_t now(const struct restorer *restorer)
{
        return boottime_of(restorer->kernel->ops->now(restorer->kernel));
}

static void settle(struct restorer *restorer, struct narrowing *narrowing)
{
        narrowing_settle(narrowing, now(restorer), narrowing_read_run(narrowing, restorer->kernel));
        ledger_settle(restorer->ledger, narrowing->record, narrowing->settled_at);
}

static void restore_thread(struct restorer *restorer, struct narrowing *narrowing)
{
        _cleanup_cpuset_ struct cpuset foreign = {0};
        struct ledger_report *report = restorer->report;
        int r;

        r = give_back(restorer->kernel, &narrowing->entry, &restorer->all, -1, &foreign);
        if (r < 0) {
                report->n_failed++;
                return;
        }
        if (r == GIVEBACK_DONE)
                report->n_restored++;
        else if (r == GIVEBACK_GONE)
                report->n_gone++;
        else if (cpuset_equal(&foreign, &narrowing->entry.original))
                report->n_intact++;
        else
                report->n_foreign++;
        settle(restorer, narrowing);
}

/* Calls FN for every narrowing; FN may not remove it. */
static void for_each(struct restorer *restorer, void (*fn)(struct restorer *, struct narrowing *))
{
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                for (struct narrowing *n = restorer->table.buckets[i]; n; n = n->next)
                        fn(restorer, n);
}

static void restore_if_narrow(struct restorer *restorer, struct narrowing *narrowing)
{
        if (narrowing->settled_at == NSEC_INFINITY)
                restore_thread(restorer, narrowing);
        else
                narrowing_settle(narrowing, narrowing->settled_at,
                                 narrowing_read_run(narrowing, restorer->kernel));
}

static bool is_known(const struct restorer *restorer, pid_t tid, uint64_t start_ticks)
{
        for (const struct found *f = restorer->found; f; f = f->next)
                if (f->entry.tid == tid && f->entry.start_ticks == start_ticks)
                        return true;
        return false;
}

/* Its own children were born narrow at any time up to now. */
static int add_as_parent(struct restorer *restorer, const struct ledger_entry *child)
{
        _cleanup_(narrowing_freep) struct narrowing *narrowing = NULL;
        int r;

        narrowing = narrowing_new();
        if (!narrowing)
                return -ENOMEM;
        r = copy_origin(&narrowing->entry, child);
        if (r < 0)
                return r;
        narrowing->entry.tgid = child->tgid;
        narrowing->entry.tid = child->tid;
        narrowing->entry.start_ticks = child->start_ticks;
        narrowing_settle(narrowing, now(restorer), narrowing_read_run(narrowing, restorer->kernel));
        narrowings_add(&restorer->table, TAKE_PTR(narrowing));
        return 0;
}

static int add_child(struct restorer *restorer, const struct ledger_entry *origin, pid_t tgid,
                     pid_t tid, uint64_t start_ticks)
{
        struct found *found;
        int r;

        found = calloc(1, sizeof(*found));
        if (!found)
                return -ENOMEM;
        found->entry.tgid = tgid;
        found->entry.tid = tid;
        found->entry.start_ticks = start_ticks;
        r = copy_origin(&found->entry, origin);
        if (r == 0)
                r = add_as_parent(restorer, &found->entry);
        if (r < 0) {
                found_free(found);
                return r;
        }
        found->next = restorer->found;
        restorer->found = found;
        return 0;
}

static bool is_set_by_any(const struct restorer *restorer, const struct cpuset *mask)
{
        for (unsigned i = 0; i < restorer->n_masks; i++)
                if (cpuset_equal(restorer->masks[i], mask))
                        return true;
        return false;
}

/* The distinct masks that were set: few, since most name one CPU. Children have their parents'. */
static int collect_masks(struct restorer *restorer)
{
        unsigned n_most = restorer->report->n_records;

        restorer->masks = calloc(MAX(n_most, 1U), sizeof(const struct cpuset *));
        if (!restorer->masks)
                return -ENOMEM;
        for (unsigned i = 0; i < NARROWINGS_N_BUCKETS; i++)
                for (const struct narrowing *n = restorer->table.buckets[i]; n; n = n->next)
                        if (!is_set_by_any(restorer, &n->entry.set))
                                restorer->masks[restorer->n_masks++] = &n->entry.set;
        return 0;
}

static int look_at(pid_t tgid, pid_t tid, void *userdata)
{
        struct restorer *restorer = userdata;
        struct kernel *kernel = restorer->kernel;
        _cleanup_cpuset_ struct cpuset mask = {0};
        const struct narrowing *origin;
        struct kernel_thread thread;
        int r;

        /* What cannot be read is gone, or is nothing that this process could restore. */
        r = kernel->ops->get_affinity(kernel, tid, &mask);
        if (r < 0 || !is_set_by_any(restorer, &mask))
                return r == -ENOMEM ? r : 0;
        r = kernel->ops->read_thread(kernel, tgid, tid, &thread);
        if (r < 0)
                return 0;
        if (thread.kernel_thread || is_known(restorer, tid, thread.start_ticks))
                return 0;
        origin = narrowings_find_origin(&restorer->table, tgid, tid, thread.ppid,
                                        thread.start_ticks, &mask);
        if (!origin)
                return 0;
        return add_child(restorer, &origin->entry, tgid, tid, thread.start_ticks);
}

static void restore_child(struct restorer *restorer, const struct found *child)
{
        _cleanup_cpuset_ struct cpuset foreign = {0};
        int r;

        r = give_back(restorer->kernel, &child->entry, &restorer->all, -1, &foreign);
        if (r < 0) {
                restorer->report->n_failed++;
                restorer->children_failed = true;
        } else if (r == GIVEBACK_DONE) {
                restorer->report->n_children++;
        }
}

/* Lists the narrow children until a pass finds no more: children's children are found through
 * their parents. */
static int find_children(struct restorer *restorer)
{
        const struct found *before;
        int r;

        do {
                before = restorer->found;
                r = restorer->kernel->ops->list_threads(restorer->kernel, look_at, restorer);
                if (r < 0)
                        return r;
        } while (restorer->found != before);
        return 0;
}

/* The last one found goes first: while a child is narrow, its own can still be found through it,
 * also by the next process, if this one is killed here. */
static int restore_children(struct restorer *restorer, const struct found *known)
{
        int r;

        r = find_children(restorer);
        if (r < 0)
                return r;
        for (const struct found *child = restorer->found; child != known; child = child->next)
                restore_child(restorer, child);
        return 0;
}

static void note_fertile(struct restorer *restorer, struct narrowing *narrowing)
{
        if (narrowing->settled_at == NSEC_INFINITY || narrowing->births.processes_end != 0)
                return;
        narrowing->births = narrowing_look(narrowing, restorer->kernel);
        if (narrowing->births.processes_end == 0)
                restorer->all_barren = false;
}

static bool may_be_more_births(struct restorer *restorer)
{
        restorer->all_barren = true;
        for_each(restorer, note_fertile);
        return !restorer->all_barren;
}

static void sleep_a_while(void)
{
        struct timespec left = {.tv_nsec = LOOK_INTERVAL_NSEC};

        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
}

static int restore_all_children(struct restorer *restorer)
{
        const struct found *known;
        int r;

        do {
                known = restorer->found;
                r = restore_children(restorer, known);
                if (r < 0)
                        return r;
        } while (restorer->found != known);
        return 0;
}

/* Searches until nothing more can be born narrow. A child of a fork(2) that has not ended cannot be
 * seen: there is nothing to wait for but time. What can be born is asked before each search, so
 * that the last search sees all. */
static int restore_until_barren(struct restorer *restorer)
{
        unsigned n_looks = NARROWING_BIRTH_LIMIT_NSEC / LOOK_INTERVAL_NSEC;
        bool more;
        int r;

        do {
                more = may_be_more_births(restorer) && n_looks-- > 0;
                r = restore_all_children(restorer);
                if (more && r == 0)
                        sleep_a_while();
        } while (more && r == 0);
        return r;
}

static void clear_done(struct restorer *restorer, struct narrowing *narrowing)
{
        if (narrowing->record < 0 || narrowing->settled_at == NSEC_INFINITY ||
            restorer->children_failed)
                return;
        ledger_clear(restorer->ledger, narrowing->record);
        narrowing->record = -1;
}

static int run(struct restorer *restorer)
{
        int r;

        r = every_cpu(&restorer->all);
        if (r < 0)
                return r;
        r = load(restorer);
        if (r < 0)
                return r;
        for_each(restorer, restore_if_narrow);
        if (restorer->report->n_records == restorer->report->n_damaged)
                return 0;
        r = collect_masks(restorer);
        if (r < 0)
                return r;
        r = restore_until_barren(restorer);
        if (r < 0)
                return r;
        for_each(restorer, clear_done);
        return 0;
}

int ledger_restore(struct ledger *ledger, struct kernel *kernel, struct ledger_report *ret_report)
{
        _cleanup_(restorer_done) struct restorer restorer = {
                .kernel = kernel,
                .ledger = ledger,
                .report = ret_report,
        };

        *ret_report = (struct ledger_report){0};
        return run(&restorer);
}
