#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# clang-tidy with the checks that .clang-tidy chooses.
. "$top_srcdir/tests/lint/common.sh"
need clang-tidy
export LINT_FLAGS
status=0
# shellcheck disable=SC2016
for folder in src tests; do
    for_each_source "$top_srcdir/$folder" bash -c \
        'exec clang-tidy --quiet --config-file="$top_srcdir/.clang-tidy" "$0" -- $LINT_FLAGS 2>&1' || status=1
done
exit $status
