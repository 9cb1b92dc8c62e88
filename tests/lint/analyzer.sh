#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gcc's static analyzer over every file; without optimization, which hides initializers from it.
. "$top_srcdir/tests/lint/common.sh"
need gcc
# shellcheck disable=SC2086
for_each_source gcc $LINT_FLAGS -O0 -fanalyzer -Werror -c -o /dev/null
