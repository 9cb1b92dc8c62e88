#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Searches with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer for inputs that break a
# parser: each target for SECONDS (60), two at a time. Ends with status 1 on a finding, which it
# leaves as fuzz-TARGET-* in the current directory.
#
#   tests/fuzz/run.sh [--keep] [SECONDS [TARGET...]]
#
# --keep adds the inputs that reached new code, minimised, to tests/fuzz/corpus.
set -euo pipefail

keep=no
if [[ ${1-} == --keep ]]; then
    keep=yes
    shift
fi
seconds=${1:-60}
if [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 [--keep] [SECONDS [TARGET...]]" >&2
    exit 2
fi
shift || true

top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    for source in "$top"/tests/fuzz/fuzz-*.c; do
        name=${source##*/fuzz-}
        targets+=("${name%.c}")
    done
fi

clang=${CLANG:-clang}
packages=(libsystemd libnl-3.0 libnl-genl-3.0 hwloc jansson)
read -ra library_flags <<<"$(pkg-config --cflags "${packages[@]}")"
read -ra libraries <<<"$(pkg-config --libs "${packages[@]}")"
flags=(-std=gnu17 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all -I "$top/src"
    -I "$top/tests" -I "$build"
    "${library_flags[@]}")
sanitizers=address,undefined

# What configure and make would write.
printf '#define PACKAGE_%s "%s"\n' NAME balancerd VERSION 0 URL '' >"$build/config.h"
sh "$top/src/api/texts.sh" "$top"/src/api/{org.varlink.service,io.balancerd}.varlink >"$build/texts.c"

# The floors and what targets share, as an archive: a target takes from it what it needs.
for source in "$top"/src/{base,varlink,model,policy,kernel,engine,api,sim}/*.c "$top/tests/api/stage.c" \
    "$top"/src/balancerd/{configuration,document,fault}.c "$build/texts.c"; do
    [[ $source != */sim/main.c && $source != */src/api/texts.c ]] || continue
    object=$build/$(basename "$(dirname "$source")")-$(basename "$source" .c).o
    "$clang" "${flags[@]}" -fsanitize="fuzzer-no-link,$sanitizers" -c -o "$object" "$source"
done
ar rc "$build/parsers.a" "$build"/*.o
for target in "${targets[@]}"; do
    "$clang" "${flags[@]}" -fsanitize="fuzzer,$sanitizers" -o "$build/fuzz-$target" \
        "$top/tests/fuzz/fuzz-$target.c" "$build/parsers.a" "${libraries[@]}"
done

fuzz_one() {
    local target=$1 found=$build/found-$1 seeds=$top/tests/fuzz/corpus/$1

    mkdir -p "$found" "$seeds"
    if ! "$build/fuzz-$target" -max_total_time="$seconds" -max_len=4096 -timeout=5 \
        -print_final_stats=1 -artifact_prefix="$PWD/fuzz-$target-" "$found" "$seeds" \
        >"$build/$target.log" 2>&1; then
        tail -n 60 "$build/$target.log"
        echo "$target: FOUND SOMETHING"
        return 1
    fi
    if [[ $keep == yes ]]; then
        "$build/fuzz-$target" -set_cover_merge=1 "$seeds" "$found" >>"$build/$target.log" 2>&1
    fi
    awk -v target="$target" '
        /^stat::number_of_executed_units/ { n = $2 }
        /cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1) }
        END { print target ": nothing found, " n " inputs tried, coverage " cov }' \
        "$build/$target.log"
}
export -f fuzz_one
export top build seconds keep

# shellcheck disable=SC2016 # the inner shell expands it
printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'fuzz_one "$1"' fuzz '{}'
