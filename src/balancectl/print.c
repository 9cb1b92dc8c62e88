/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/print.h"

#include <errno.h>
#include <stdarg.h>

#include "balancectl/fields.h"

/* As in varlink/message.c: fractions are shares and loads. */
#define USUAL_FLAGS (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6))

void tell_alone(const struct request *request, const json_t *thread)
{
        int64_t pid;

        if (request->pid == 0 || request->all_tasks || !request->legend)
                return;
        if (!field_integer(thread, "pid", &pid) || pid != request->pid)
                return;
        fprintf(stderr, "this is thread %d alone; all threads of process %d: balancectl %s -a %d\n",
                request->pid, request->pid, request->verb->name, request->pid);
}

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

void print_card(const struct terminal *terminal, const char *key, const char *format, ...)
{
        va_list args;

        print_key(terminal, key);
        va_start(args, format);
        (void)vprintf(format, args);
        va_end(args);
        (void)putchar('\n');
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

void print_card_sentence(const struct terminal *terminal, const char *key, const char *sentence)
{
        size_t taken = CARD_KEY_WIDTH + 2;
        size_t room = terminal->width > 2 * taken ? terminal->width - taken : SIZE_MAX;

        do {
                size_t length = fitting_length(sentence, room);

                print_card(terminal, key, "%.*s", (int)length, sentence);
                sentence += length;
                sentence += *sentence == ' ';
                key = NULL;
        } while (*sentence);
}
