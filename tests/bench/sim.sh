#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The policy study's scenarios through the engine: work over the free queue, fairness, moves.
exec "${top_builddir:-.}/balancerd-sim" --all --seeds=10
