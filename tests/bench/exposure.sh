#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What systemd-analyze security says of balancerd.service, and of daemons that do related work, as
# Debian packages them (downloaded, not installed, where apt-get can).
set -u -o pipefail

command -v systemd-analyze >/dev/null || {
    echo "systemd-analyze is not installed"
    exit 0
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

exposure() {
    local level
    level=$(systemd-analyze security --offline=true --no-pager "$1" 2>/dev/null |
        sed -n 's/.*Overall exposure level for .*: \([0-9.]*\).*/\1/p')
    printf '%-24s %s\n' "$(basename "$1" .service)" "${level:-not known}"
}

exposure "$top_builddir/systemd/balancerd.service"
(cd "$work" && apt-get -qq download systemd-oomd rtkit irqbalance numad 2>/dev/null)
for package in "$work"/*.deb; do
    [ -e "$package" ] && dpkg -x "$package" "$work/unpacked"
done
find "$work" -path '*/systemd/system/*.service' -type f | LC_ALL=C sort | while read -r unit; do
    exposure "$unit"
done
