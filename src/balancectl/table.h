/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Aligned columns. In a pipe they are as wide as what stands in them. A terminal's lines are not
 * longer than it is wide: long cells are cut where their column says so, then columns that matter
 * less are left out, then the last one is cut. Cells are printable ASCII.
 */

#include <stdbool.h>
#include <stddef.h>

#include "balancectl/terminal.h"

#define TABLE_COLUMNS_MAX 16

struct column {
        const char *header;
        bool right;           /* numbers are aligned to the right */
        unsigned dispensable; /* columns with a greater number are left out before others; 0: never
                               */
        unsigned most;        /* on a terminal, cells are cut to this width; 0: they are not */
};

struct table;

/* COLUMNS, at most TABLE_COLUMNS_MAX, are static. Returns 0 or -ENOMEM. */
int table_new(struct table **ret, const struct column *columns, size_t n_columns);
void table_free(struct table *table);

static inline void table_freep(struct table **table)
{
        table_free(*table);
}

/* Adds a row: a text for each column, which is copied. Returns 0 or -ENOMEM. */
int table_add(struct table *table, const char *const *cells, enum colour colour);

/* Prints the first N_ROWS rows, or all where there are fewer, and in front of them the headers. */
void table_print(const struct table *table, size_t n_rows, const struct terminal *terminal,
                 bool headers);
