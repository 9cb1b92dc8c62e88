#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gcc's static analyzer over the program; without optimization, which hides initializers from it. Tests
# are not its business: it does not know that a failed assertion does not return. Not asked for: what
# gcc 12 gets wrong, and the sanitizers and valgrind look for in every test: leaks, where a container
# owns what was allocated, and uninitialized values, where a function has filled them in.
. "$top_srcdir/tests/lint/common.sh"
need gcc
# shellcheck disable=SC2086
for_each_source "$top_srcdir/src" gcc $LINT_FLAGS -O0 -fanalyzer -Werror \
    -Wno-analyzer-malloc-leak -Wno-analyzer-use-of-uninitialized-value -c -o /dev/null
