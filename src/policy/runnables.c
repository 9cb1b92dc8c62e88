/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/runnables.h"

#include "policy/contention.h"

#define SHORT_RUN 8U

void runnables_layout(struct runnables *r, struct arena *arena, unsigned n_cpus, unsigned n_threads)
{
        ARENA_TAKE(arena, r->start, (size_t)n_cpus + 1);
        ARENA_TAKE(arena, r->n_groups, n_cpus);
        ARENA_TAKE(arena, r->away, n_cpus);
        ARENA_TAKE(arena, r->seen, n_cpus);
        ARENA_TAKE(arena, r->weight, n_cpus);
        ARENA_TAKE(arena, r->promising, n_cpus);
        ARENA_TAKE(arena, r->threads, n_threads);
        ARENA_TAKE(arena, r->demands, n_threads);
        ARENA_TAKE(arena, r->groups, n_threads);
        ARENA_TAKE(arena, r->spare_groups, n_threads);
        ARENA_TAKE(arena, r->keys, n_threads);
        ARENA_TAKE(arena, r->spare, n_threads);
}

static nsec_t cooldown_of(const struct snapshot_thread *thread, bool balanced,
                          const struct plan_params *params)
{
        bool cold = thread->flags & THREAD_COLD_MOVED;

        if (balanced)
                return cold ? params->cooldown_balanced_node : params->cooldown_balanced;
        return cold ? params->cooldown_node : params->cooldown;
}

bool runnables_cooled(const struct snapshot *snapshot, const struct snapshot_thread *thread,
                      const struct plan_params *params)
{
        nsec_t cooldown = cooldown_of(thread, snapshot->cpus[thread->cpu].balanced, params);

        return thread->moved_at == 0 || snapshot->now - thread->moved_at >= cooldown;
}

static bool may_move(const struct snapshot *snapshot, const struct snapshot_thread *thread,
                     const struct settings *settings, const struct plan_params *params)
{
        if (!(thread->flags & THREAD_RUNNABLE) || (thread->flags & THREAD_IMMOVABLE))
                return false;
        if ((thread->flags & THREAD_REALTIME) && !settings->balance.realtime)
                return false;
        if (!(thread->demand > 0) || snapshot->classes[thread->mask_class].n_cpus < 2)
                return false;
        return runnables_cooled(snapshot, thread, params);
}

void runnables_init(struct runnables *r, const struct snapshot *snapshot,
                    const struct settings *settings, const struct plan_params *params)
{
        unsigned n_cpus = snapshot->topology->n_cpus;
        struct runnable_key *chosen = r->keys; /* not needed for sorting yet */
        unsigned n = 0;

        r->snapshot = snapshot;
        memset(r->start, 0, (n_cpus + 1) * sizeof(*r->start));
        memset(r->n_groups, 0, n_cpus * sizeof(*r->n_groups));
        for (unsigned i = 0; i < snapshot->n_threads; i++)
                if (may_move(snapshot, &snapshot->threads[i], settings, params)) {
                        chosen[n++] = (struct runnable_key){.major = snapshot->threads[i].cpu,
                                                            .index = i};
                        r->start[snapshot->threads[i].cpu]++;
                }
        /* Ends by CPU; counted down to beginnings while the threads are put in their places. */
        for (unsigned cpu = 1; cpu <= n_cpus; cpu++)
                r->start[cpu] += r->start[cpu - 1];
        for (unsigned i = n; i-- > 0;)
                r->threads[--r->start[chosen[i].major]] = chosen[i].index;
}

static bool precedes(const struct runnable_key *a, const struct runnable_key *b)
{
        return a->major != b->major ? a->major < b->major : a->minor < b->minor;
}

static void sort_short(struct runnable_key *keys, unsigned n)
{
        for (unsigned i = 1; i < n; i++) {
                struct runnable_key key = keys[i];
                unsigned j = i;

                for (; j > 0 && precedes(&key, &keys[j - 1]); j--)
                        keys[j] = keys[j - 1];
                keys[j] = key;
        }
}

static void merge(const struct runnable_key *a, const struct runnable_key *a_end,
                  const struct runnable_key *b, const struct runnable_key *b_end,
                  struct runnable_key *out)
{
        while (a < a_end && b < b_end)
                *out++ = precedes(b, a) ? *b++ : *a++;
        while (a < a_end)
                *out++ = *a++;
        while (b < b_end)
                *out++ = *b++;
}

/* Sorts N keys. Returns where the sorted ones are: KEYS or SPARE. qsort() would allocate. */
static struct runnable_key *sort_keys(struct runnable_key *keys, struct runnable_key *spare,
                                      unsigned n)
{
        for (unsigned i = 0; i < n; i += SHORT_RUN)
                sort_short(keys + i, MIN(SHORT_RUN, n - i));
        for (unsigned run = SHORT_RUN; run < n; run *= 2) {
                struct runnable_key *sorted = spare;

                for (unsigned i = 0; i < n; i += 2 * run) {
                        unsigned middle = MIN(i + run, n), end = MIN(middle + run, n);

                        merge(keys + i, keys + middle, keys + middle, keys + end, spare + i);
                }
                spare = keys;
                keys = sorted;
        }
        return keys;
}

static uint64_t pack(uint32_t major, uint32_t minor)
{
        return (uint64_t)major << 32 | minor;
}

/* Not negative: in the order of its bits. */
static uint32_t bits_of(float value)
{
        uint32_t bits;

        memcpy(&bits, &value, sizeof(bits));
        return bits;
}

static void sort_threads(struct runnables *r, unsigned first, unsigned n)
{
        struct runnable_key *keys = r->keys;

        for (unsigned i = 0; i < n; i++) {
                const struct snapshot_thread *thread = &r->snapshot->threads[r->threads[first + i]];

                keys[i] = (struct runnable_key){
                        .major = pack(thread->mask_class, bits_of(thread->weight)),
                        .minor = pack((uint32_t)(load_of(thread).demand * (1U << 30)),
                                      (uint32_t)thread->tid),
                        .index = r->threads[first + i],
                };
        }
        keys = sort_keys(keys, r->spare, n);
        for (unsigned i = 0; i < n; i++) {
                r->threads[first + i] = keys[i].index;
                r->demands[first + i] = load_of(&r->snapshot->threads[keys[i].index]).demand;
        }
}

static unsigned find_groups(struct runnables *r, unsigned first, unsigned end)
{
        struct runnable_group *groups = r->groups + first;
        unsigned n = 0;

        for (unsigned i = first; i < end; i++) {
                const struct snapshot_thread *thread = &r->snapshot->threads[r->threads[i]];

                if (n == 0 || groups[n - 1].mask_class != thread->mask_class ||
                    groups[n - 1].weight < (double)thread->weight)
                        groups[n++] = (struct runnable_group){.first = i,
                                                              .mask_class = thread->mask_class,
                                                              .weight = (double)thread->weight,
                                                              .bound = (double)INFINITY};
                groups[n - 1].end = i + 1;
                groups[n - 1].largest = r->demands[i];
                groups[n - 1].away |=
                        thread->home_node != r->snapshot->topology->cpus[thread->cpu].node;
        }
        return n;
}

/* By the demand and tid of their last threads: numbers of classes mean nothing, and the plan must
 * not depend on them. */
static void sort_groups(struct runnables *r, struct runnable_group *groups, unsigned n)
{
        struct runnable_key *keys = r->keys;

        for (unsigned i = 0; i < n; i++) {
                unsigned last = groups[i].end - 1;

                keys[i] = (struct runnable_key){
                        .major = UINT64_MAX - (uint64_t)(r->demands[last] * (1U << 30)),
                        .minor = (uint64_t)r->snapshot->threads[r->threads[last]].tid,
                        .index = i,
                };
        }
        keys = sort_keys(keys, r->spare, n);
        memcpy(r->spare_groups, groups, n * sizeof(*groups));
        for (unsigned i = 0; i < n; i++)
                groups[i] = r->spare_groups[keys[i].index];
}

void runnables_sort(struct runnables *r, unsigned cpu)
{
        unsigned first = r->start[cpu], n = runnables_count(r, cpu);

        if (n == 0 || r->n_groups[cpu] > 0)
                return;
        sort_threads(r, first, n);
        r->n_groups[cpu] = find_groups(r, first, first + n);
        sort_groups(r, r->groups + first, r->n_groups[cpu]);
        r->seen[cpu] = r->weight[cpu] = (double)INFINITY; /* no bounds yet */
        r->promising[cpu] = 0;
        r->away[cpu] = false;
        for (unsigned i = 0; i < r->n_groups[cpu]; i++)
                r->away[cpu] |= r->groups[first + i].away;
}

unsigned runnables_find(const struct runnables *r, const struct runnable_group *group,
                        double demand)
{
        unsigned low = group->first, high = group->end;

        while (low < high) {
                unsigned middle = low + (high - low) / 2;

                if (r->demands[middle] < demand)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}
