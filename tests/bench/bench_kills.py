# SPDX-License-Identifier: LGPL-2.1-or-later
"""200 random kills of a mover that moves as fast as it can: masks changed after restoring."""

import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import kills, machine  # noqa: E402

N_KILLS = 200
N_VICTIMS = 50


def main():
    seed = random.randrange(1 << 32)
    # Masks change all the time here: no test that watches masks may run meanwhile.
    with machine.lock(), tempfile.TemporaryDirectory(prefix="balancerd-bench-") as runtime_dir:
        tally, speed = kills.random_kills(runtime_dir, N_KILLS, N_VICTIMS, seed)
    print(f"{N_VICTIMS} victims, seed {seed}; {speed}")
    print(tally)
    for line in tally.wrong:
        print(line)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
