/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/table.h"

#include <errno.h>

#include "base/macro.h"

/* Stands at the end of what was cut. */
#define CUT "..."
/* Between two columns. */
#define GAP 2U
/* Before the last column is made smaller than this, others are left out. */
#define LAST_LEAST 16U

struct row {
        char *text; /* the cells, a NUL behind each, and one more at the end */
        enum colour colour;
};

struct table {
        const struct column *columns;
        size_t n_columns;
        struct row *rows; /* the first are the headers */
        size_t n_rows, n_allocated;
};

/* How a table is shown. */
struct layout {
        unsigned widths[TABLE_COLUMNS_MAX];
        bool hidden[TABLE_COLUMNS_MAX];
};

static int add_headers(struct table *table)
{
        const char *headers[TABLE_COLUMNS_MAX];

        for (size_t i = 0; i < table->n_columns; i++)
                headers[i] = table->columns[i].header;
        return table_add(table, headers, COLOUR_HEADER);
}

int table_new(struct table **ret, const struct column *columns, size_t n_columns)
{
        _cleanup_(table_freep) struct table *table = NULL;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;
        table->columns = columns;
        table->n_columns = n_columns;
        if (add_headers(table) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(table);
        return 0;
}

void table_free(struct table *table)
{
        if (!table)
                return;
        for (size_t i = 0; i < table->n_rows; i++)
                free(table->rows[i].text);
        free(table->rows);
        free(table);
}

static int reserve_row(struct table *table)
{
        size_t n = MAX(table->n_allocated * 2, (size_t)64);
        struct row *rows;

        if (table->n_rows < table->n_allocated)
                return 0;
        rows = reallocarray(table->rows, n, sizeof(*rows));
        if (!rows)
                return -ENOMEM;
        table->rows = rows;
        table->n_allocated = n;
        return 0;
}

int table_add(struct table *table, const char *const *cells, enum colour colour)
{
        size_t length = 1; /* a NUL behind the last cell's own */
        char *text, *at;

        if (reserve_row(table) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_columns; i++)
                length += strlen(cells[i]) + 1;
        text = at = malloc(length);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_columns; i++)
                at = stpcpy(at, cells[i]) + 1;
        *at = '\0';
        table->rows[table->n_rows++] = (struct row){text, colour};
        return 0;
}

static const char *next_cell(const char *cell)
{
        return cell + strlen(cell) + 1;
}

/* The width of each column of the rows [FIRST, END). */
static void measure(const struct table *table, size_t first, size_t end, bool on_terminal,
                    struct layout *ret)
{
        *ret = (struct layout){0};
        for (size_t row = first; row < end; row++) {
                const char *cell = table->rows[row].text;

                for (size_t i = 0; i < table->n_columns; i++, cell = next_cell(cell))
                        ret->widths[i] = MAX(ret->widths[i], (unsigned)strlen(cell));
        }
        for (size_t i = 0; on_terminal && i < table->n_columns; i++)
                if (table->columns[i].most > 0)
                        ret->widths[i] = MIN(ret->widths[i], table->columns[i].most);
}

/* What all columns but the last one take. */
static unsigned width_before_last(const struct table *table, const struct layout *layout)
{
        unsigned width = 0;

        for (size_t i = 0; i + 1 < table->n_columns; i++)
                if (!layout->hidden[i])
                        width += layout->widths[i] + GAP;
        return width;
}

/* Returns whether there was a column that could be left out. */
static bool leave_one_out(const struct table *table, struct layout *layout)
{
        unsigned most = 0;
        size_t chosen = 0;

        for (size_t i = 0; i < table->n_columns; i++)
                if (!layout->hidden[i] && table->columns[i].dispensable > most) {
                        most = table->columns[i].dispensable;
                        chosen = i;
                }
        if (most > 0)
                layout->hidden[chosen] = true;
        return most > 0;
}

static void fit(const struct table *table, unsigned width, struct layout *layout)
{
        unsigned *last = &layout->widths[table->n_columns - 1], least = MIN(*last, LAST_LEAST);
        unsigned before;

        while (width_before_last(table, layout) + least > width && leave_one_out(table, layout))
                ;
        before = width_before_last(table, layout);
        *last = before < width ? MIN(*last, width - before) : 0;
}

static void print_cell(const char *cell, unsigned width, bool right, bool last)
{
        unsigned length = (unsigned)strlen(cell);

        if (length > width && width > strlen(CUT))
                printf("%.*s" CUT, (int)(width - strlen(CUT)), cell);
        else if (length > width)
                printf("%.*s", (int)width, cell);
        else
                printf("%*s%s%*s", right ? (int)(width - length) : 0, "", cell,
                       right || last ? 0 : (int)(width - length), "");
}

static void print_row(const struct table *table, const struct layout *layout, const char *cell)
{
        bool is_first = true;

        for (size_t i = 0; i < table->n_columns; i++, cell = next_cell(cell)) {
                if (layout->hidden[i])
                        continue;
                if (!is_first)
                        printf("%*s", (int)GAP, "");
                is_first = false;
                print_cell(cell, layout->widths[i], table->columns[i].right,
                           i + 1 == table->n_columns);
        }
}

void table_print(const struct table *table, size_t n_rows, const struct terminal *terminal,
                 bool headers)
{
        size_t first = headers ? 0 : 1, end = 1 + MIN(n_rows, table->n_rows - 1);
        struct layout layout;

        measure(table, first, end, terminal->width > 0, &layout);
        if (terminal->width > 0)
                fit(table, terminal->width, &layout);
        for (size_t i = first; i < end; i++) {
                const struct row *row = &table->rows[i];

                printf("%s", terminal_on(terminal, row->colour));
                print_row(table, &layout, row->text);
                printf("%s\n", terminal_off(terminal, row->colour));
        }
}
