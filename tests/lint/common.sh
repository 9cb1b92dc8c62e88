# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by the lint checks; they run in the build folder.
set -u -o pipefail

# Ends the check as skipped, with the reason, unless the tool is there.
need() {
    command -v "$1" >/dev/null || {
        echo "$1 is not installed"
        exit 77
    }
}

# Every C file of the project, or with an argument those that are named so ("*.c").
sources() {
    find "$top_srcdir/src" "$top_srcdir/tests" -name "${1:-*.[ch]}" | LC_ALL=C sort
}

# Runs the command on every source file in turn, two at a time; fails if any fails.
for_each_source() {
    sources '*.c' | xargs -r -P 2 -n 1 "$@"
}
