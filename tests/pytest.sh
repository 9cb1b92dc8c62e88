#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs one file of Python tests under automake's harness. Each case's result goes to tests/junit/
# below the build folder; tests/outside/conftest.py sees to exit status 77 where all were skipped.
mkdir -p tests/junit
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
exec "$PYTHON" -m pytest -p no:cacheprovider -ra -v \
    --junit-xml="tests/junit/$(basename "$1" .py).xml" "$@"
