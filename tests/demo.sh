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
echo "This switches the kernel's load balancing off, for the whole machine where cpusets are on"
echo "cgroup v1, for about ten seconds, and runs balancerd as root meanwhile, which may move other"
echo "threads too. All that is undone at the end. Packages that the build needs are installed, and"
echo "stay."
echo
install_packages "${demo_packages[@]}" || {
    echo "the packages that the build needs could not be installed" >&2
    exit 1
}

child=
ended=
work=$(mktemp -d "${TMPDIR:-/tmp}/balancerd-demo.XXXXXX")
clean_up() {
    trap '' INT TERM HUP
    rm -rf "$work"
}
forward() {
    ended=yes
    [ -z "$child" ] || kill -INT -- "-$child" 2>/dev/null
}
trap clean_up EXIT
trap forward INT TERM HUP

# Runs a command to its end, in a process group of its own: what ends it early comes from us alone,
# whether Ctrl-C or a signal to this shell.
run() {
    local status
    set -m
    "$@" &
    child=$!
    set +m
    [ -z "$ended" ] || forward
    wait "$child"
    status=$?
    # A signal ends the wait only.
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        status=$?
    done
    child=
    return $status
}

build() {
    copy_sources "$source" "$work/source" && mkdir "$work/build" &&
        cd "$work/source" && autoreconf -i && cd "$work/build" &&
        "$work/source/configure" --disable-tests &&
        make -j"$(nproc)" balancerd balancectl tests/outside/hog
}

echo "Building balancerd in $work"
run build >"$work/log" 2>&1
status=$?
[ -z "$ended" ] || {
    echo "Interrupted."
    exit 130
}
[ $status = 0 ] || {
    tail -n 30 "$work/log" >&2
    echo "the build failed" >&2
    exit 1
}
cd "$work/build" || exit 1
export top_srcdir=$source top_builddir=$work/build
run python3 -B "$source/tests/support/demo.py"
