/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine/masks.h"

#include <errno.h>

#define HASH_NONFATAL_OOM          1
#define uthash_nonfatal_oom(entry) ((entry)->lost = true)
#include <uthash.h>

struct mask_entry {
        unsigned number;
        bool lost; /* could not be put into the hash */
        unsigned n_words;
        UT_hash_handle hh;
        uint64_t words[];
};

void masks_clear(struct mask_table *table)
{
        struct mask_entry *entry, *next;

        HASH_ITER (hh, table->by_words, entry, next) {
                HASH_DEL(table->by_words, entry);
                free(entry);
        }
        for (unsigned i = 0; i < table->n_classes; i++) {
                cpuset_done(&table->classes[i].cpus);
                cpuset_done(&table->ids[i]);
        }
        table->n_classes = 0;
}

void masks_done(struct mask_table *table)
{
        masks_clear(table);
        free(table->classes);
        free(table->ids);
        *table = (struct mask_table){0};
}

static int reserve(struct mask_table *table)
{
        unsigned capacity = table->capacity ? table->capacity * 2 : 16;
        struct snapshot_class *classes;
        struct cpuset *ids;

        if (table->n_classes < table->capacity)
                return 0;
        classes = reallocarray(table->classes, capacity, sizeof(*classes));
        if (!classes)
                return -ENOMEM;
        table->classes = classes;
        ids = reallocarray(table->ids, capacity, sizeof(*ids));
        if (!ids)
                return -ENOMEM;
        table->ids = ids;
        table->capacity = capacity;
        return 0;
}

/* Words without the zeroes at their end, so that equal sets have equal keys. */
static unsigned significant_words(const struct cpuset *set)
{
        unsigned n = set->n_words;

        while (n > 0 && set->words[n - 1] == 0)
                n--;
        return n;
}

static int add_entry(struct mask_table *table, const struct cpuset *ids, unsigned n_words)
{
        struct mask_entry *entry;

        entry = calloc(1, sizeof(*entry) + n_words * sizeof(*entry->words));
        if (!entry)
                return -ENOMEM;
        entry->number = table->n_classes;
        entry->n_words = n_words;
        memcpy(entry->words, ids->words, n_words * sizeof(*entry->words));
        HASH_ADD_KEYPTR(hh, table->by_words, entry->words, n_words * sizeof(*entry->words), entry);
        if (entry->lost) {
                free(entry);
                return -ENOMEM;
        }
        return 0;
}

static int add_class(struct mask_table *table, const struct topology *topology,
                     const struct cpuset *ids, unsigned n_words)
{
        _cleanup_cpuset_ struct cpuset indexes = {0}, copy = {0};
        int r;

        r = topology_to_indexes(topology, ids, &indexes);
        if (r < 0)
                return r;
        if (cpuset_is_empty(&indexes))
                return -ENODATA;
        r = cpuset_copy(&copy, ids);
        if (r < 0)
                return r;
        r = reserve(table);
        if (r < 0)
                return r;
        r = add_entry(table, ids, n_words);
        if (r < 0)
                return r;
        table->classes[table->n_classes].n_cpus = cpuset_count(&indexes);
        table->classes[table->n_classes].cpus = TAKE_CPUSET(indexes);
        table->ids[table->n_classes] = TAKE_CPUSET(copy);
        return (int)table->n_classes++;
}

int masks_intern(struct mask_table *table, const struct topology *topology,
                 const struct cpuset *ids)
{
        unsigned n_words = significant_words(ids);
        struct mask_entry *entry;

        if (n_words == 0)
                return -ENODATA;
        HASH_FIND(hh, table->by_words, ids->words, n_words * sizeof(*ids->words), entry);
        if (entry)
                return (int)entry->number;
        return add_class(table, topology, ids, n_words);
}
