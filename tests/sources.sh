# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Copying the sources without what a build in their place left among them; sourced by check.sh and
# demo.sh.

# Copies the files of the project in folder $1 to folder $2, which it makes.
copy_sources() {
    mkdir "$2" && cd "$1" || return
    if [ -e .git ] && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard \
        >"$2.list" 2>/dev/null; then
        # A file that was deleted but not yet committed is listed and not there.
        tar -c --null --ignore-failed-read -T "$2.list" 2>/dev/null | tar -x -C "$2"
    else
        # The copy has all that was built too, and can undo it by itself.
        tar -c --exclude=./.git --exclude=./build --exclude='./build[!-]*' \
            --exclude=./.cache . | tar -x -C "$2" &&
            { [ ! -f "$2/Makefile" ] || make -s -C "$2" distclean; }
    fi
}
