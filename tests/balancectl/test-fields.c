/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "balancectl/fields.h"
#include "base/macro.h"

static void test_there(void **state)
{
        json_auto_t *object = json_pack("{ss, si, sf, sb}", "text", "abc", "integer", 7, "real",
                                        2.5, "flag", true);
        int64_t integer;
        double number;
        nsec_t span;

        (void)state;
        assert_string_equal(field_text(object, "text", "-"), "abc");
        assert_true(field_flag(object, "flag"));
        assert_true(field_integer(object, "integer", &integer));
        assert_int_equal(integer, 7);
        assert_true(field_number(object, "real", &number) && number == 2.5);
        assert_true(field_number(object, "integer", &number) && number == 7);
        assert_true(field_span(object, "integer", &span));
        assert_int_equal(span, 7000);
}

/* Nothing is there: not in OBJECT, or not of that type. */
static void assert_nothing(const json_t *object, const char *key)
{
        int64_t integer = 42;
        double number = 42;
        nsec_t span = 42;

        assert_string_equal(field_text(object, key, "otherwise"), "otherwise");
        assert_false(field_flag(object, key));
        assert_false(field_integer(object, key, &integer));
        assert_false(field_number(object, key, &number));
        assert_false(field_span(object, key, &span));
        assert_true(integer == 42 && number == 42 && span == 42);
}

static void test_not_there(void **state)
{
        json_auto_t *object = json_pack("{sn, s[], s{}}", "null", "array", "object");

        (void)state;
        assert_nothing(object, "missing");
        assert_nothing(object, "null");
        assert_nothing(object, "array");
        assert_nothing(object, "object");
        assert_nothing(NULL, "missing");
        assert_nothing(json_object_get(object, "array"), "missing");
}

static void test_span_out_of_range(void **state)
{
        json_auto_t *object = json_pack("{sI, si}", "huge", (json_int_t)INT64_MAX, "negative", -1);
        nsec_t span = 42;

        (void)state;
        assert_false(field_span(object, "negative", &span));
        assert_int_equal(span, 42);
        assert_true(field_span(object, "huge", &span));
        assert_true(span == NSEC_INFINITY);
}

static void test_printable(void **state)
{
        json_auto_t *value = json_loads("{\"a\": \"ok \\\\x20 ~\", \"b\": [\"\\u001b[2J\", 1, "
                                        "{\"c\": \"\\u00e4\\u007f\\n\"}], \"d\": \"\"}",
                                        0, NULL);
        json_t *list = json_object_get(value, "b");

        (void)state;
        assert_int_equal(make_printable(value), 0);
        assert_string_equal(field_text(value, "a", NULL), "ok \\x20 ~");
        assert_string_equal(field_text(value, "d", NULL), "");
        assert_string_equal(json_string_value(json_array_get(list, 0)), "\\x1b[2J");
        assert_string_equal(field_text(json_array_get(list, 2), "c", NULL), "\\xc3\\xa4\\x7f\\x0a");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_there),
                cmocka_unit_test(test_not_there),
                cmocka_unit_test(test_span_out_of_range),
                cmocka_unit_test(test_printable),
        };

        return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
