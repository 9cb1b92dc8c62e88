/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The texts and the table of methods name the same things. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/interface.h"
#include "api/methods.h"
#include "base/parse.h"
#include "engine/inspect.h"

/* Whether the text has a line that begins with KEYWORD, a blank and NAME, up to a parenthesis. */
static bool declares(const char *text, const char *keyword, const char *name)
{
        struct scanner rest = {text, text + strlen(text)}, line;

        while (scan_line(&rest, &line))
                if (scan_prefix(&line, keyword) && scan_char(&line, ' ') &&
                    scan_prefix(&line, name)) {
                        scan_blank(&line);
                        if (scan_char(&line, '('))
                                return true;
                }
        return false;
}

static unsigned count_methods(const char *text)
{
        struct scanner rest = {text, text + strlen(text)}, line;
        unsigned n = 0;

        while (scan_line(&rest, &line))
                n += scan_prefix(&line, "method ");
        return n;
}

static void test_every_method_is_declared(void **state)
{
        (void)state;
        for (const struct method *method = methods; method->name; method++) {
                const char *dot = strrchr(method->name, '.');
                const struct interface *interface =
                        interface_find(method->name, (size_t)(dot - method->name));

                assert_non_null(interface);
                assert_true(declares(interface->text, "method", dot + 1));
                assert_ptr_equal(method_find(method->name), method);
        }
}

static void test_every_declared_method_is_there(void **state)
{
        unsigned n_methods = 0, n_declared = 0;

        (void)state;
        for (const struct method *method = methods; method->name; method++)
                n_methods++;
        for (const struct interface *interface = interfaces; interface->name; interface++)
                n_declared += count_methods(interface->text);
        assert_int_equal(n_methods, n_declared);
}

static void test_every_error_is_declared(void **state)
{
        static const char *const service[] = {
                VARLINK_ERROR_INTERFACE_NOT_FOUND,    VARLINK_ERROR_METHOD_NOT_FOUND,
                VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, VARLINK_ERROR_INVALID_PARAMETER,
                VARLINK_ERROR_PERMISSION_DENIED,      VARLINK_ERROR_EXPECTED_MORE,
        };
        static const char *const own[] = {
                "NoSuchThread",
                "InvalidConfiguration",
                "InvalidMessage",
                "TooManyConnections",
        };
        const struct interface *interface = interface_find("org.varlink.service", 19);

        (void)state;
        assert_non_null(interface);
        for (size_t i = 0; i < ARRAY_SIZE(service); i++)
                assert_true(declares(interface->text, "error", strrchr(service[i], '.') + 1));
        interface = interface_find("io.balancerd", 12);
        assert_non_null(interface);
        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
                assert_true(declares(interface->text, "error", own[i]));
}

/* The verdicts stand in the order of the text, one a line. */
static void test_every_verdict_is_declared(void **state)
{
        const char *at = strstr(interface_find("io.balancerd", 12)->text, "type Verdict (\n");
        struct scanner rest, line;
        unsigned n = 0;

        (void)state;
        assert_non_null(at);
        rest = (struct scanner){at, at + strlen(at)};
        assert_true(scan_line(&rest, &line));
        while (scan_line(&rest, &line) && !scan_char(&line, ')')) {
                scan_blank(&line);
                if (scan_char(&line, '#'))
                        continue;
                assert_true(scan_prefix(&line, verdict_to_string((enum verdict)n++)));
                (void)scan_char(&line, ',');
                assert_true(scan_end(&line));
        }
        assert_int_equal(n, VERDICT_SWITCHED_OFF + 1);
}

static void test_names_are_whole(void **state)
{
        (void)state;
        assert_null(interface_find("io.balancerd", 11));
        assert_null(interface_find("io.balancerd.GetStatus", 22));
        assert_null(interface_find("", 0));
        assert_null(method_find("io.balancerd"));
        assert_null(method_find("io.balancerd.getStatus"));
        assert_null(method_find("io.balancerd.GetStatusX"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_method_is_declared),
                cmocka_unit_test(test_every_declared_method_is_there),
                cmocka_unit_test(test_every_error_is_declared),
                cmocka_unit_test(test_every_verdict_is_declared),
                cmocka_unit_test(test_names_are_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
