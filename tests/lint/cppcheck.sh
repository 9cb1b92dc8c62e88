#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# cppcheck over the sources. Not asked for: leaks, since it does not know the cleanup attribute (gcc's
# and valgrind's business); files that it cannot parse for a statement expression in an initializer;
# readdir(), which is safe in glibc; in tests, what an assertion before has excluded.
. "$top_srcdir/tests/lint/common.sh"
need cppcheck
cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 -j 2 \
    --enable=warning,performance,portability \
    --library=posix,gnu,"$top_srcdir/tests/lint/cppcheck.cfg" \
    --suppress=memleak --suppress=resourceLeak --suppress=internalAstError \
    --suppress=readdirCalled \
    --suppress='nullPointer:*/tests/*' --suppress='deallocret:*/tests/*' \
    --suppress='uninitvar:*/tests/*' \
    --template='{file}:{line}: {id}: {message}' \
    -I "$top_srcdir/src" -I "$top_srcdir/tests" -D_GNU_SOURCE -D__linux__ \
    "$top_srcdir/src" "$top_srcdir/tests"
