# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests from outside, the benches and the demonstration share."""
