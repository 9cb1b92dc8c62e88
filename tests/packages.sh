# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Debian packages that balancerd's build and tests need, and their installation; sourced by check.sh
# and demo.sh.

# shellcheck disable=SC2034
build_packages=(
    build-essential autoconf automake pkg-config xz-utils
    libsystemd-dev libnl-3-dev libnl-genl-3-dev libjansson-dev libhwloc-dev uthash-dev
)
# shellcheck disable=SC2034
demo_packages=("${build_packages[@]}" python3-minimal libpython3-stdlib)
# shellcheck disable=SC2034
test_packages=(
    "${build_packages[@]}" python3 python3-pytest python3-jsonschema libcmocka-dev mandoc procps systemd
    clang libclang-rt-14-dev clang-format clang-tidy cppcheck shellcheck
    git valgrind strace stress-ng rt-tests jq socat
    mmdebstrap e2fsprogs busybox-static cpio
)

# Those of the named packages that are not installed.
missing_packages() {
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = 'ii ' ] ||
            echo "$package"
    done
}

# Installs what is missing of the named packages; as root, or through sudo.
install_packages() {
    local missing as_root=()

    if ! command -v dpkg-query >/dev/null; then
        echo "This is no Debian: install by its own means what stands for: $*" >&2
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    echo "Installing ${missing[*]}"
    "${as_root[@]}" apt-get -qq update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}
