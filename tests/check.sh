#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs what the tests need (Debian), builds a copy of the sources and runs every level of tests
# on it; the last line is "N passed, N failed, N skipped". Levels may be named: tests/check.sh check
# check-lint. As root, or as a user who may use sudo; without either, what needs root is skipped.
set -u -o pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/tests/packages.sh"
. "$source/tests/sources.sh"

levels=("$@")
[ $# -gt 0 ] ||
    levels=(check check-root check-sanitize check-root-sanitize check-valgrind check-lint distcheck check-vm)
python=/usr/bin/python3
child=

install_packages "${test_packages[@]}" || {
    echo "the packages that the tests need could not be installed" >&2
    exit 1
}

work=$(mktemp -d "${TMPDIR:-/tmp}/balancerd-check.XXXXXX")
chmod 755 "$work"
results=$work/results
: >"$results"

clean_up() {
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
    [ -z "$child" ] || wait "$child" 2>/dev/null
    # What ran under sudo is root's.
    rm -rf "$work" 2>/dev/null || sudo -n rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tally() {
    "$python" -B "$source/tests/support/tally.py" "$results" "$@"
}

# Runs a command within a time limit in seconds; what it says goes to the level's log.
run() {
    local name=$1 limit=$2
    shift 2
    timeout --kill-after=30 "$limit" "$@" >"$work/$name.log" 2>&1 </dev/null &
    child=$!
    wait "$child"
    local status=$?
    child=
    return $status
}

# Runs a level and counts what its tests left in a folder.
level() {
    local name=$1 limit=$2 folder=$3 began=$SECONDS status
    shift 3
    printf '%-20s ' "$name"
    find "$folder" \( -name '*.trs' -o -path '*/junit/*.xml' \) -delete 2>/dev/null
    run "$name" "$limit" "$@"
    status=$?
    tally level "$name" "$status" "$((SECONDS - began))" "$work/$name.log" "$folder"
}

# The same for a level that is one test by itself.
single() {
    local name=$1 limit=$2 began=$SECONDS status
    shift 2
    printf '%-20s ' "$name"
    run "$name" "$limit" "$@"
    status=$?
    tally single "$name" "$status" "$((SECONDS - began))" "$work/$name.log"
}

skip() {
    printf '%-20s ' "$1"
    tally skip "$1" "$2"
}

build() {
    cd "$work/source" && autoreconf -i && mkdir "$work/build" && cd "$work/build" &&
        "$work/source/configure" --enable-werror PYTHON="$python" && make -j"$(nproc)"
}

# Runs a target of make as root, or says why it cannot.
root_level() {
    local name=$1 limit=$2 folder=$3 as_root=()
    shift 3
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || {
            skip "$name" "needs root: run it through sudo"
            return
        }
        as_root=(sudo -n)
    fi
    level "$name" "$limit" "$folder" "${as_root[@]}" make -C "$folder" "$@"
}

# Images stay where the sources are. What ran where is told, and why something did not.
guests_level() {
    root_level check-vm 1800 "$work/build" check-vm BALANCERD_VM_CACHE="$source/.cache/guests"
    [ ! -f "$work/check-vm.log" ] ||
        awk '/^test \(machine\)/ { told = 1 } /^--- failed/ { told = 0 } told' "$work/check-vm.log"
}

run_level() {
    local build=$work/build
    case $1 in
    check) level check 300 "$build" make -C "$build" -j"$(nproc)" check ;;
    check-root) BALANCERD_LONG=1 root_level check-root 900 "$build" check-root ;;
    check-sanitize)
        level check-sanitize 600 "$build/sanitize" make -C "$build" -j"$(nproc)" check-sanitize ;;
    check-root-sanitize)
        if [ -f "$build/sanitize/Makefile" ]; then
            root_level check-root-sanitize 900 "$build/sanitize" check-root
        else
            skip check-root-sanitize "check-sanitize has built nothing"
        fi ;;
    check-valgrind) level check-valgrind 600 "$build" make -C "$build" -j"$(nproc)" check-valgrind ;;
    check-vm) guests_level ;;
    check-lint) level check-lint 600 "$build" make -C "$build" -j1 check-lint ;;
    distcheck)
        single distcheck 600 make -C "$build" -j"$(nproc)" distcheck \
            DISTCHECK_CONFIGURE_FLAGS="--enable-werror PYTHON=$python" ;;
    *)
        echo "there is no level \"$1\"" >&2
        exit 2 ;;
    esac
}

copy_sources "$source" "$work/source" && cd "$work" || exit 1
export -f build
export source work python
if single build 300 bash -c build; then
    for name in "${levels[@]}"; do
        run_level "$name"
    done
fi
tally summary
