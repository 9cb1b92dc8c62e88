#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shows balancerd at work on this machine: installs what its build needs (Debian), builds it, stacks
# busy threads on one CPU where the kernel does not spread them, first without the daemon, then with
# it. Undoes every change that it makes, on Ctrl-C and on failure as well. Needs root.
set -u -o pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/tests/packages.sh"
. "$source/tests/sources.sh"

[ "$(id -u)" = 0 ] || {
    echo "this needs root, to take CPUs from the kernel's load balancer: sudo $0" >&2
    exit 1
}
install_packages "${demo_packages[@]}" || {
    echo "the packages that the build needs could not be installed" >&2
    exit 1
}

work=$(mktemp -d "${TMPDIR:-/tmp}/balancerd-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
# The demonstration itself ends in order on Ctrl-C; then this shell goes on to clean up.
trap : INT TERM

build() {
    copy_sources "$source" "$work/source" && mkdir "$work/build" &&
        cd "$work/source" && autoreconf -i && cd "$work/build" &&
        "$work/source/configure" --disable-tests &&
        make -j"$(nproc)" balancerd tests/outside/hog
}

echo "Building balancerd in $work"
(build) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    echo "the build failed" >&2
    exit 1
}
cd "$work/build" || exit 1
top_srcdir=$source top_builddir=$work/build python3 -B "$source/tests/support/demo.py"
