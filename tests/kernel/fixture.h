/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Captured kernel text for the tests, and exact copies of text, so that a sanitizer sees a parser
 * that reads past its end. Failures end the test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/io.h"

/* Reads tests/fixtures/NAME. */
static inline void fixture_read(struct buffer *buffer, const char *name)
{
        const char *top = getenv("top_srcdir");
        char path[4096];

        (void)snprintf(path, sizeof(path), "%s/tests/fixtures/%s", top ? top : ".", name);
        if (buffer_read_at(buffer, AT_FDCWD, path) < 0)
                fail_msg("cannot read %s", path);
}

/* A copy of LENGTH bytes in a block of just that size. */
static inline char *exact_copy(const char *text, size_t length)
{
        char *copy = malloc(length ? length : 1);

        assert_non_null(copy);
        memcpy(copy, text, length);
        return copy;
}
