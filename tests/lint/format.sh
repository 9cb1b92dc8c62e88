#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The layout that .clang-format describes.
. "$top_srcdir/tests/lint/common.sh"
need clang-format
find "$top_srcdir/src" "$top_srcdir/tests" -name '*.[ch]' | LC_ALL=C sort |
    xargs clang-format --dry-run -Werror --style=file
