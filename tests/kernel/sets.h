/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CPU sets as the tests write them: as lists. Failures end the test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cpuset.h"
#include "base/macro.h"

static inline struct cpuset list(const char *text)
{
        struct cpuset set = {0};

        assert_int_equal(cpuset_parse_list(text, strlen(text), &set), 0);
        return set;
}

static inline void assert_set(const struct cpuset *set, const char *expected)
{
        _cleanup_free_ char *text = NULL;

        assert_int_equal(cpuset_format_list(set, &text), 0);
        assert_string_equal(text, expected);
}
