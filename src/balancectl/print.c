/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/print.h"

#include <errno.h>
#include <stdarg.h>

/* As in varlink/message.c: fractions are shares and loads. */
#define USUAL_FLAGS (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6))

int tell_no_memory(void)
{
        fprintf(stderr, "balancectl: out of memory\n");
        return -ENOMEM;
}

int print_json(const json_t *value, enum json_mode mode)
{
        _cleanup_free_ char *text = NULL;

        if (!value) {
                printf("{}\n");
                return 0;
        }
        text = json_dumps(value,
                          USUAL_FLAGS | (mode == JSON_MODE_PRETTY ? JSON_INDENT(4) : JSON_COMPACT));
        if (!text)
                return tell_no_memory();
        (void)puts(text);
        return 0;
}

int flush_output(void)
{
        int r = ferror(stdout) ? -EIO : 0;

        if (fflush(stdout) != 0)
                r = -errno;
        clearerr(stdout);
        if (r < 0 && r != -EPIPE)
                fprintf(stderr, "balancectl: cannot write: %s\n", strerror(-r));
        return r;
}

static void print_key(const struct terminal *terminal, const char *key)
{
        if (key)
                printf("%*s%s%s:%s ", CARD_KEY_WIDTH - (int)strlen(key), "",
                       terminal_on(terminal, COLOUR_HEADER), key,
                       terminal_off(terminal, COLOUR_HEADER));
        else
                printf("%*s", CARD_KEY_WIDTH + 2, "");
}

/* How much of TEXT fits into ROOM characters: up to a blank, or all where there is none. */
static size_t fitting_length(const char *text, size_t room)
{
        size_t length = strlen(text);

        if (length <= room)
                return length;
        for (size_t i = room; i > 0; i--)
                if (text[i] == ' ')
                        return i;
        return length;
}

static void print_broken(const struct terminal *terminal, const char *key, const char *text)
{
        size_t taken = CARD_KEY_WIDTH + 2;
        size_t room = terminal->width > 2 * taken ? terminal->width - taken : SIZE_MAX;

        do {
                size_t length = fitting_length(text, room);

                print_key(terminal, key);
                printf("%.*s\n", (int)length, text);
                text += length;
                text += *text == ' ';
                key = NULL;
        } while (*text);
}

void print_card(const struct terminal *terminal, const char *key, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list args;
        int r;

        va_start(args, format);
        r = vasprintf(&text, format, args);
        va_end(args);
        if (r < 0)
                text = NULL; /* it is undefined then */
        print_broken(terminal, key, text ? text : "(out of memory)");
}
