#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual pages are good mdoc.
. "$top_srcdir/tests/lint/common.sh"
need mandoc
mandoc -T lint -W warning "$top_srcdir"/man/*.[1-8]
