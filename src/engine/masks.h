/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Affinity masks, interned: threads with the same mask share a class of the snapshot. */

#include "model/snapshot.h"

struct mask_entry;

struct mask_table {
        struct mask_entry *by_words;    /* hash */
        struct snapshot_class *classes; /* by class number */
        struct cpuset *ids;             /* the same masks as CPU numbers, by class number */
        unsigned n_classes, capacity;
};

void masks_done(struct mask_table *table);

/* Forgets every class. Their numbers mean nothing from then on. */
void masks_clear(struct mask_table *table);

/* The class of the mask IDS (CPU numbers): 0 or more; -ENODATA if none of its CPUs is online; or
 * -ENOMEM. */
int masks_intern(struct mask_table *table, const struct topology *topology,
                 const struct cpuset *ids);
