# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the sources and the built programs are."""

import os
from pathlib import Path

SOURCE = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
BUILD = Path(os.environ.get("top_builddir", os.getcwd())).resolve()

BALANCERD = BUILD / "balancerd"
BALANCECTL = BUILD / "balancectl"
HOG = BUILD / "tests/outside/hog"
SLEEPERS = BUILD / "tests/bench/sleepers"
