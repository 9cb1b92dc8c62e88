#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Looks over every shell script with shellcheck.
. "$top_srcdir/tests/lint/common.sh"
need shellcheck
find "$top_srcdir/tests" "$top_srcdir/.ci" "$top_srcdir/completions" -type f \
    \( -name '*.sh' -o -name run -o -path '*/bash/*' -o -path '*/vm/guest/start' -o -path '*/vm/inside/begin' \) \
    -print0 |
    xargs -0 shellcheck -x -e SC1091,SC2154
