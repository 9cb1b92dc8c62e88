#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Turns the texts of interfaces into C, on standard output: texts.sh NAME.varlink...
set -eu

printf '/* SPDX-License-Identifier: LGPL-2.1-or-later */\n'
printf '/* Made by src/api/texts.sh from the texts of the interfaces. clang-format off */\n\n'
printf '#include "api/interface.h"\n\n'
printf 'const struct interface interfaces[] = {\n'
for file in "$@"; do
        printf '        {"%s",\n' "$(basename "$file" .varlink)"
        sed -e 's/[\\"]/\\&/g' -e 's/^/         "/' -e 's/$/\\n"/' "$file"
        printf '        },\n'
done
printf '        {NULL, NULL},\n};\n'
