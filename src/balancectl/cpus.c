/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl cpus: a row for each online CPU. */

#include "balancectl/cells.h"
#include "balancectl/fields.h"
#include "balancectl/print.h"
#include "balancectl/session.h"
#include "balancectl/table.h"
#include "balancectl/verbs.h"

/* As many threads waiting for one CPU are shown in colour. */
#define CROWDED 0.5

enum {
        COLUMN_CPU,
        COLUMN_CORE,
        COLUMN_LLC,
        COLUMN_NODE,
        COLUMN_CAPACITY,
        COLUMN_IDLE,
        COLUMN_WAITING,
        COLUMN_THREADS,
        COLUMN_DEMAND,
        COLUMN_BALANCED_BY,
        _COLUMN_MAX,
};

static const struct column columns[_COLUMN_MAX] = {
        [COLUMN_CPU] = {"CPU", .right = true},
        [COLUMN_CORE] = {"CORE", .right = true, .dispensable = 3},
        [COLUMN_LLC] = {"LLC", .right = true, .dispensable = 4},
        [COLUMN_NODE] = {"NODE", .right = true, .dispensable = 5},
        [COLUMN_CAPACITY] = {"CAPACITY", .right = true, .dispensable = 6},
        [COLUMN_IDLE] = {"IDLE", .right = true},
        [COLUMN_WAITING] = {"WAITING", .right = true},
        [COLUMN_THREADS] = {"THREADS", .right = true, .dispensable = 2},
        [COLUMN_DEMAND] = {"DEMAND", .right = true, .dispensable = 1},
        [COLUMN_BALANCED_BY] = {.header = "BALANCED BY"},
};

static const char *balanced_by(const json_t *cpu)
{
        const json_t *balanced = json_object_get(cpu, "balanced");

        if (!json_is_boolean(balanced))
                return "-";
        return json_is_true(balanced) ? "kernel" : "balancerd";
}

static enum colour colour_of(const json_t *cpu)
{
        double waiting;

        return field_number(cpu, "waiting", &waiting) && waiting >= CROWDED ? COLOUR_BAD
                                                                            : COLOUR_NONE;
}

static int add_row(struct table *table, const json_t *cpu)
{
        char text[_COLUMN_MAX][WORDS_SIZE];
        const char *const cells[_COLUMN_MAX] = {
                [COLUMN_CPU] = cell_integer(cpu, "cpu", text[COLUMN_CPU]),
                [COLUMN_CORE] = cell_integer(cpu, "core", text[COLUMN_CORE]),
                [COLUMN_LLC] = cell_integer(cpu, "llc", text[COLUMN_LLC]),
                [COLUMN_NODE] = cell_integer(cpu, "node", text[COLUMN_NODE]),
                [COLUMN_CAPACITY] = cell_share(cpu, "capacity", text[COLUMN_CAPACITY]),
                [COLUMN_IDLE] = cell_share(cpu, "idle", text[COLUMN_IDLE]),
                [COLUMN_WAITING] = cell_number(cpu, "waiting", text[COLUMN_WAITING]),
                [COLUMN_THREADS] = cell_integer(cpu, "threads", text[COLUMN_THREADS]),
                [COLUMN_DEMAND] = cell_number(cpu, "demand", text[COLUMN_DEMAND]),
                [COLUMN_BALANCED_BY] = balanced_by(cpu),
        };

        return table_add(table, cells, colour_of(cpu));
}

static int print(const struct request *request, struct session *session, const json_t *cpus)
{
        _cleanup_(table_freep) struct table *table = NULL;
        size_t n = json_array_size(cpus);

        (void)session;
        if (table_new(&table, columns, _COLUMN_MAX) < 0)
                return tell_no_memory();
        for (size_t i = 0; i < n; i++)
                if (add_row(table, json_array_get(cpus, i)) < 0)
                        return tell_no_memory();
        table_print(table, n, &request->terminal, request->legend);
        return 0;
}

int verb_cpus(const struct request *request)
{
        return session_query_list(request, "ListCpus", json_object(), "cpu", print);
}
