/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/escape.h"
#include "base/macro.h"

static void test_escape(void **state)
{
        static const struct {
                const char *text;
                size_t length;
                const char *escaped;
        } all[] = {
                {"", 0, ""},
                {"cat", 3, "cat"},
                {"cats", 3, "cat"},
                {"cat\0dog", 7, "cat"},
                {"a b", 3, "a\\x20b"},
                {"a\nb\tc", 5, "a\\x0ab\\x09c"},
                {"\x1b[2J", 4, "\\x1b[2J"},
                {"\"\\\"", 3, "\\x22\\x5c\\x22"},
                {"\x7f\x80\xff", 3, "\\x7f\\x80\\xff"},
                {"~!(){}'", 7, "~!(){}'"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                char out[64];

                assert_ptr_equal(escape_text(all[i].text, all[i].length, out), out);
                assert_string_equal(out, all[i].escaped);
        }
}

static void test_line(void **state)
{
        char out[64];

        (void)state;
        assert_string_equal(escape_line("a \"b\" \\ c\n\x1b", 11, out),
                            "a \"b\" \\x5c c\\x0a\\x1b");
}

static void test_again(void **state)
{
        static const char text[] = "a \"b\" \\x20 \xc3\xa4\n~";
        char out[ESCAPED_SIZE(sizeof(text))], twice[ESCAPED_SIZE(sizeof(out))];

        (void)state;
        assert_string_equal(escape_again(text, strlen(text), out),
                            "a \"b\" \\x20 \\xc3\\xa4\\x0a~");
        assert_string_equal(escape_again(out, strlen(out), twice), out);
}

/* The worst text fills the room that ESCAPED_SIZE() gives, and no more. */
static void test_room(void **state)
{
        char text[16], out[ESCAPED_SIZE(sizeof(text)) + 1];

        (void)state;
        memset(text, '\n', sizeof(text));
        out[sizeof(out) - 1] = 'x';
        escape_text(text, sizeof(text), out);
        assert_int_equal(strlen(out), ESCAPED_SIZE(sizeof(text)) - 1);
        assert_int_equal(out[sizeof(out) - 1], 'x');
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_line),
                cmocka_unit_test(test_again),
                cmocka_unit_test(test_room),
        };

        return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
