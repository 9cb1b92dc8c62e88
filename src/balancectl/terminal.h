/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where output goes to: how large it is, and whether it takes colours. */

#include <stdbool.h>
#include <stdio.h>

struct terminal {
        bool is_terminal;
        unsigned width, height; /* in characters; 0: without end */
        bool colour;            /* NO_COLOR (no-color.org) and TERM=dumb are respected */
};

enum colour {
        COLOUR_NONE,
        COLOUR_HEADER,
        COLOUR_BAD,
        COLOUR_GOOD,
        COLOUR_DIM,
};

/* COLUMNS and LINES count before what the terminal says. */
void terminal_probe(struct terminal *ret, int fd);

/* What switches COLOUR on, and what switches it off: empty text where there are no colours. */
const char *terminal_on(const struct terminal *terminal, enum colour colour);
const char *terminal_off(const struct terminal *terminal, enum colour colour);
