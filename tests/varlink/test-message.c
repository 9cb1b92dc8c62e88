/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "varlink/message.h"

static void test_call(void **state)
{
        static const char text[] =
                "{\"method\": \"a.b.C\", \"parameters\": {\"tid\": 7}, \"more\": true}";
        struct varlink_call call;
        const char *fault = NULL;

        (void)state;
        assert_int_equal(varlink_call_parse(text, strlen(text), &call, &fault), 0);
        assert_string_equal(call.method, "a.b.C");
        assert_int_equal(json_integer_value(json_object_get(call.parameters, "tid")), 7);
        assert_true(call.more);
        assert_false(call.oneway);
        assert_false(call.upgrade);
        assert_null(fault);
        varlink_call_done(&call);
        assert_null(call.method);
}

static void test_call_without_parameters(void **state)
{
        static const char *const texts[] = {
                "{\"method\":\"a.b.C\"}",
                "{\"method\":\"a.b.C\",\"parameters\":null}",
                " {\"method\":\"a.b.C\" , \"more\" : false}\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct varlink_call call;
                const char *fault;

                assert_int_equal(varlink_call_parse(texts[i], strlen(texts[i]), &call, &fault), 0);
                assert_null(call.parameters);
                varlink_call_done(&call);
        }
}

static void expect_fault(const char *text, size_t length, const char *expected)
{
        struct varlink_call call = {.method = "untouched"};
        const char *fault = NULL;

        assert_int_equal(varlink_call_parse(text, length, &call, &fault), -EBADMSG);
        assert_string_equal(fault, expected);
        assert_string_equal(call.method, "untouched");
}

static void test_no_calls(void **state)
{
        static const struct {
                const char *text, *fault;
        } cases[] = {
                {"", "it is no JSON object"},
                {"null", "it is no JSON object"},
                {"[]", "it is no JSON object"},
                {"7", "it is no JSON object"},
                {"{", "it is no JSON object"},
                {"{}{}", "it is no JSON object"},
                {"{} x", "it is no JSON object"},
                {"{'method':'a.b.C'}", "it is no JSON object"},
                {"{}", "it names no method"},
                {"{\"method\":7}", "method is no string"},
                {"{\"method\":null}", "method is no string"},
                {"{\"method\":\"a.b.C\",\"parameters\":[]}", "parameters is no object"},
                {"{\"method\":\"a.b.C\",\"parameters\":\"\"}", "parameters is no object"},
                {"{\"method\":\"a.b.C\",\"more\":1}", "more is neither true nor false"},
                {"{\"method\":\"a.b.C\",\"more\":null}", "more is neither true nor false"},
                {"{\"method\":\"a.b.C\",\"oneway\":\"\"}", "oneway is neither true nor false"},
                {"{\"method\":\"a.b.C\",\"upgrade\":{}}", "upgrade is neither true nor false"},
                {"{\"method\":\"a.b.C\",\"more\":true,\"oneway\":true}",
                 "it wants more replies, and none"},
                {"{\"method\":\"a.b.C\",\"Method\":1}", "it has a key that Varlink does not know"},
                {"{\"method\":\"a.b.C\",\"\":1}", "it has a key that Varlink does not know"},
                {"{\"method\":\"a.b.C\",\"method\":\"a.b.D\"}", "it has a key twice"},
                {"{\"method\":\"a.b.C\",\"parameters\":{\"a\":1,\"a\":1}}", "it has a key twice"},
                {"{\"method\":\"a.b.C\",\"parameters\":{\"a\":1e999}}",
                 "it has a number that is too large"},
                {"{\"method\":\"a.b.C\",\"parameters\":{\"a\":99999999999999999999}}",
                 "it has a number that is too large"},
                {"{\"method\":\"a.b.\xff\"}", "it is not UTF-8"},
                {"{\"method\":\"a.b.\xc0\x80\"}", "it is not UTF-8"},
                {"{\"method\":\"a.b.\xed\xa0\x80\"}", "it is not UTF-8"},
                {"{\"method\":\"a.b\\u0000.C\"}", "it has a NUL within a string"},
                {"{\"me\\u0000thod\":\"a.b.C\"}", "it has a NUL within a key"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                expect_fault(cases[i].text, strlen(cases[i].text), cases[i].fault);
        expect_fault("{\"method\":\"a.b\0C\"}", 18, "it is no JSON object");
}

static void test_nested(void **state)
{
        const size_t depth = 10000;
        char *text = malloc(2 * depth);

        (void)state;
        assert_non_null(text);
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        expect_fault(text, 2 * depth, "it is nested too deep");
        expect_fault(text, depth, "it is nested too deep");
        free(text);
}

static void test_reply(void **state)
{
        static const char text[] = "{\"error\":\"a.b.E\",\"parameters\":{\"x\":1}}";
        static const char more[] = "{\"continues\":true}";
        static const char both[] = "{\"error\":\"a.b.E\",\"continues\":true}";
        struct varlink_reply reply;
        const char *fault;

        (void)state;
        assert_int_equal(varlink_reply_parse(text, strlen(text), &reply, &fault), 0);
        assert_string_equal(reply.error, "a.b.E");
        assert_non_null(reply.parameters);
        assert_false(reply.continues);
        varlink_reply_done(&reply);
        assert_int_equal(varlink_reply_parse(more, strlen(more), &reply, &fault), 0);
        assert_null(reply.error);
        assert_null(reply.parameters);
        assert_true(reply.continues);
        varlink_reply_done(&reply);
        assert_int_equal(varlink_reply_parse(both, strlen(both), &reply, &fault), -EBADMSG);
        assert_string_equal(fault, "it is an error, and more replies follow");
}

static void expect_sent(const struct varlink_stream *stream, const char *expected)
{
        assert_int_equal(varlink_stream_pending(stream), strlen(expected) + 1);
        assert_string_equal(stream->out.data + stream->out.start, expected);
}

static void test_put(void **state)
{
        _cleanup_varlink_stream_ struct varlink_stream a, b, c;
        json_auto_t *parameters = json_pack("{s:f,s:i}", "share", (double)0.1F, "n", 3);
        const struct varlink_call call = {.method = "a.b.C", .oneway = true};
        const struct varlink_reply empty = {.error = "a.b.E"};
        const struct varlink_reply full = {.parameters = parameters, .continues = true};

        (void)state;
        varlink_stream_init(&a, -EBADF);
        varlink_stream_init(&b, -EBADF);
        varlink_stream_init(&c, -EBADF);
        assert_int_equal(varlink_call_put(&a, &call), 0);
        expect_sent(&a, "{\"method\":\"a.b.C\",\"oneway\":true}");
        assert_int_equal(varlink_reply_put(&b, &empty), 0);
        expect_sent(&b, "{\"error\":\"a.b.E\",\"parameters\":{}}");
        assert_int_equal(varlink_reply_put(&c, &full), 0);
        expect_sent(&c, "{\"parameters\":{\"share\":0.1,\"n\":3},\"continues\":true}");
        assert_int_equal(parameters->refcount, 1);
}

/* Of every length around those at which buffers grow and end. */
static void test_put_lengths(void **state)
{
        static const char before[] = "{\"parameters\":{\"s\":\"", after[] = "\"}}";
        const size_t rest = strlen(before) + strlen(after) + 1;

        (void)state;
        for (size_t length = 2000; length < 2100; length++) {
                _cleanup_varlink_stream_ struct varlink_stream stream;
                char text[2100];
                struct varlink_reply reply = {0};

                memset(text, 'x', length);
                text[length] = '\0';
                reply.parameters = json_pack("{s:s}", "s", text);
                varlink_stream_init(&stream, -EBADF);
                assert_int_equal(varlink_reply_put(&stream, &reply), 0);
                assert_int_equal(varlink_stream_pending(&stream), length + rest);
                assert_memory_equal(stream.out.data + strlen(before), text, length);
                json_decref(reply.parameters);
        }
}

static void test_put_too_long(void **state)
{
        _cleanup_varlink_stream_ struct varlink_stream stream;
        struct varlink_reply reply = {0};
        char *text = malloc(VARLINK_MESSAGE_MAX);
        int r, n = 0;

        (void)state;
        assert_non_null(text);
        memset(text, 'x', VARLINK_MESSAGE_MAX);
        text[VARLINK_MESSAGE_MAX - 1] = '\0';
        varlink_stream_init(&stream, -EBADF);
        reply.parameters = json_pack("{s:s}", "s", text);
        assert_int_equal(varlink_reply_put(&stream, &reply), -EMSGSIZE);
        assert_int_equal(varlink_stream_pending(&stream), 0);
        json_decref(reply.parameters);

        text[20000] = '\0';
        reply.parameters = json_pack("{s:s}", "s", text);
        while ((r = varlink_reply_put(&stream, &reply)) == 0)
                n++;
        assert_int_equal(r, -ENOBUFS);
        assert_int_equal(n, VARLINK_OUTPUT_MAX / 20024);
        json_decref(reply.parameters);
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_call),        cmocka_unit_test(test_call_without_parameters),
                cmocka_unit_test(test_no_calls),    cmocka_unit_test(test_nested),
                cmocka_unit_test(test_reply),       cmocka_unit_test(test_put),
                cmocka_unit_test(test_put_lengths), cmocka_unit_test(test_put_too_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
