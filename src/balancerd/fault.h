/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is wrong with a configuration, as plain data: where, and what was expected there. */

#include <stdbool.h>
#include <stddef.h>

#include "base/macro.h"

/* Faults that are kept of one configuration. */
#define FAULTS_MAX 100U

/* All text is printable ASCII: foreign bytes are \xNN. */
struct fault {
        char *file;            /* or what else said so: "--set" */
        unsigned line, column; /* of the first character that makes no sense; 0: it has no place */
        char *pointer;         /* RFC 6901; NULL: the fault is none of a value */
        char *expected;        /* "a time with its unit, such as 20ms, from 1ms to 1s" */
};

struct faults {
        struct fault *all;
        size_t n;
        bool more; /* there were others than those kept */
};

void faults_done(struct faults *faults);
#define _cleanup_faults_ _cleanup_(faults_done)

struct fault_place {
        const char *file;
        unsigned line, column;
        const char *pointer;
};

/* Adds a fault; the text says what was expected. Past FAULTS_MAX it only takes note that there are
 * more. Returns 0 or -ENOMEM. */
int faults_add(struct faults *faults, const struct fault_place *place, const char *format, ...)
        _printf_(3, 4);

/* The fault as a line, without a newline: "FILE:3:14: expected ...", "FILE: /balance/tick: expected
 * ...". The caller frees it; NULL: no memory. */
char *fault_format(const struct fault *fault);
