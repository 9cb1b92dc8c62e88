/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void fault_done(struct fault *fault)
{
        free(fault->file);
        free(fault->pointer);
        free(fault->expected);
}

void faults_done(struct faults *faults)
{
        for (size_t i = 0; i < faults->n; i++)
                fault_done(&faults->all[i]);
        free(faults->all);
        *faults = (struct faults){0};
}

static int copy(const char *text, char **ret)
{
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

_printf_(3, 0) static int fault_init(struct fault *ret, const struct fault_place *place,
                                     const char *format, va_list arguments)
{
        struct fault fault = {.line = place->line, .column = place->column};

        if (vasprintf(&fault.expected, format, arguments) < 0)
                return -ENOMEM;
        if (copy(place->file, &fault.file) < 0 || copy(place->pointer, &fault.pointer) < 0) {
                fault_done(&fault);
                return -ENOMEM;
        }
        *ret = fault;
        return 0;
}

int faults_add(struct faults *faults, const struct fault_place *place, const char *format, ...)
{
        struct fault *all;
        va_list arguments;
        int r;

        if (faults->n == FAULTS_MAX) {
                faults->more = true;
                return 0;
        }
        all = reallocarray(faults->all, faults->n + 1, sizeof(*all));
        if (!all)
                return -ENOMEM;
        faults->all = all;
        va_start(arguments, format);
        r = fault_init(&all[faults->n], place, format, arguments);
        va_end(arguments);
        faults->n += r == 0;
        return r;
}

char *fault_format(const struct fault *fault)
{
        /* The pointer to the whole document is empty. */
        bool has_pointer = fault->pointer && *fault->pointer;
        char *line;
        int r;

        if (fault->line > 0)
                r = asprintf(&line, "%s:%u:%u: expected %s", fault->file, fault->line,
                             fault->column, fault->expected);
        else
                r = asprintf(&line, "%s: %s%sexpected %s", fault->file,
                             has_pointer ? fault->pointer : "", has_pointer ? ": " : "",
                             fault->expected);
        return r < 0 ? NULL : line;
}
