/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/terminal.h"

#include <sys/ioctl.h>

#include "base/macro.h"
#include "base/parse.h"

#define USUAL_WIDTH  80U
#define USUAL_HEIGHT 24U
#define LARGEST_SIZE 10000U

static bool wants_colour(void)
{
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return !(no_color && *no_color) && term && !streq(term, "dumb");
}

static unsigned choose(const char *variable, unsigned told, unsigned usual)
{
        const char *text = getenv(variable);
        uint64_t value;

        if (text && parse_u64(text, &value) >= 0 && value > 0 && value <= LARGEST_SIZE)
                return (unsigned)value;
        return told > 0 ? told : usual;
}

void terminal_probe(struct terminal *ret, int fd)
{
        struct winsize size = {0};

        *ret = (struct terminal){.is_terminal = isatty(fd) == 1};
        if (!ret->is_terminal)
                return;
        (void)ioctl(fd, TIOCGWINSZ, &size);
        ret->width = choose("COLUMNS", size.ws_col, USUAL_WIDTH);
        ret->height = choose("LINES", size.ws_row, USUAL_HEIGHT);
        ret->colour = wants_colour();
}

static const char *sequence(enum colour colour)
{
        switch (colour) {
        case COLOUR_NONE:
                return "";
        case COLOUR_HEADER:
                return "\x1b[1m";
        case COLOUR_BAD:
                return "\x1b[33m";
        case COLOUR_GOOD:
                return "\x1b[32m";
        case COLOUR_DIM:
                return "\x1b[2m";
        }
        abort();
}

const char *terminal_on(const struct terminal *terminal, enum colour colour)
{
        return terminal->colour ? sequence(colour) : "";
}

const char *terminal_off(const struct terminal *terminal, enum colour colour)
{
        return terminal->colour && colour != COLOUR_NONE ? "\x1b[0m" : "";
}
