# SPDX-License-Identifier: LGPL-2.1-or-later
"""What io.balancerd(7) prints: its literal displays, and the sessions of a shell among them."""

import re

from . import tree

PAGE = tree.SOURCE / "man/io.balancerd.7"
ESCAPES = {"\\e": "\\", "\\(aq": "'", "\\(ga": "`", "\\-": "-", "\\&": ""}


def unquoted(text):
    """What mdoc prints of TEXT, which has no macros."""
    return re.sub(r"\\(\(..|.)", lambda escape: ESCAPES[escape[0]], text)


def section(name):
    return PAGE.read_text(encoding="ascii").split(f"\n.Sh {name}\n")[1].split("\n.Sh ")[0]


def displays(name):
    """The literal displays of a section, as they are printed."""
    blocks = re.findall(r"^\.Bd -literal\n(.*?)^\.Ed$", section(name), re.M | re.S)
    return [unquoted(block) for block in blocks]


def sessions(program):
    """[(command, what it prints)] of the displays that are sessions of a shell and run PROGRAM."""
    found = []
    for block in displays("EXAMPLES"):
        if block.startswith("$ "):
            steps = re.findall(r"^\$ (.*\n(?:> .*\n)*)((?:[^$>].*\n)*)", block, re.M)
            found += [(command.replace("\n> ", "\n"), told) for command, told in steps]
    return [(command, told) for command, told in found if program in command.split()]
