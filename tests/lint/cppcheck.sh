#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# cppcheck over the sources. It does not know the cleanup attribute, so leaks are not its business here:
# gcc's and clang's analyzers, which do, look for them.
. "$top_srcdir/tests/lint/common.sh"
need cppcheck
cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 -j 2 \
    --enable=warning,performance,portability --library=posix,gnu \
    --suppress=memleak --suppress=resourceLeak \
    --template='{file}:{line}: {id}: {message}' \
    -I "$top_srcdir/src" -D_GNU_SOURCE -D__linux__ "$top_srcdir/src" "$top_srcdir/tests"
