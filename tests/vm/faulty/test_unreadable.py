# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file that pytest cannot read."""

raise ImportError("nothing can be had of this file")
