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

# Runs a command on every C file below a folder, two at a time; fails if any of them fails.
for_each_source() {
    local folder=$1
    shift
    find "$folder" -name '*.c' | LC_ALL=C sort | xargs -r -P 2 -n 1 "$@"
}
