/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "varlink/stream.h"

struct fixture {
        struct varlink_stream stream;
        int peer;
};

static int set_up(void **state)
{
        static struct fixture fixture;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        varlink_stream_init(&fixture.stream, fds[0]);
        fixture.peer = fds[1];
        *state = &fixture;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        varlink_stream_done(&f->stream);
        if (f->peer >= 0)
                close(f->peer);
        return 0;
}

static void peer_sends(struct fixture *f, const void *data, size_t length)
{
        assert_int_equal(send(f->peer, data, length, MSG_NOSIGNAL), length);
}

static void expect_message(struct fixture *f, const char *expected)
{
        const char *text = NULL;
        size_t length = 0;

        assert_int_equal(varlink_stream_next(&f->stream, &text, &length), 1);
        assert_int_equal(length, strlen(expected));
        assert_string_equal(text, expected);
}

static void expect_none(struct fixture *f)
{
        const char *text;
        size_t length;

        assert_int_equal(varlink_stream_next(&f->stream, &text, &length), 0);
}

static void test_one(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(varlink_stream_receive(&f->stream), -EAGAIN);
        assert_null(f->stream.in.data);
        peer_sends(f, "{}", 3);
        assert_int_equal(varlink_stream_receive(&f->stream), 3);
        expect_message(f, "{}");
        expect_none(f);
        assert_null(f->stream.in.data);
}

static void test_split_at_every_byte(void **state)
{
        struct fixture *f = *state;
        static const char message[] = "{\"method\":\"a.b.C\"}";

        for (size_t i = 0; i < sizeof(message); i++) {
                expect_none(f);
                assert_int_equal(varlink_stream_is_cut(&f->stream), i > 0);
                peer_sends(f, &message[i], 1);
                assert_int_equal(varlink_stream_receive(&f->stream), 1);
        }
        expect_message(f, message);
        expect_none(f);
        assert_false(varlink_stream_is_cut(&f->stream));
}

static void test_merged(void **state)
{
        struct fixture *f = *state;
        static const char messages[] = "one\0two\0\0three";

        peer_sends(f, messages, sizeof(messages) - 1);
        assert_true(varlink_stream_receive(&f->stream) > 0);
        expect_message(f, "one");
        expect_message(f, "two");
        expect_message(f, "");
        expect_none(f);
        assert_true(varlink_stream_is_cut(&f->stream));
        peer_sends(f, "", 1);
        assert_int_equal(varlink_stream_receive(&f->stream), 1);
        expect_message(f, "three");
}

/* Sends N bytes from a buffer as the stream takes them. Returns what its owner ends with. */
static int receive_all(struct fixture *f, const char *data, size_t n)
{
        const char *text;
        size_t length;
        int r;

        for (;;) {
                ssize_t k = n > 0 ? send(f->peer, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

                if (k > 0) {
                        data += k;
                        n -= (size_t)k;
                }
                r = varlink_stream_next(&f->stream, &text, &length);
                if (r != 0)
                        return r;
                assert_true(varlink_stream_receive(&f->stream) > 0);
                assert_true(f->stream.in.capacity <= 2 * VARLINK_MESSAGE_MAX);
        }
}

static void test_longest(void **state)
{
        struct fixture *f = *state;
        char *data = malloc(VARLINK_MESSAGE_MAX);

        assert_non_null(data);
        memset(data, 'x', VARLINK_MESSAGE_MAX);
        data[VARLINK_MESSAGE_MAX - 1] = '\0';
        assert_int_equal(receive_all(f, data, VARLINK_MESSAGE_MAX), 1);
        assert_int_equal(f->stream.n_taken, VARLINK_MESSAGE_MAX);
        expect_none(f);
        free(data);
}

static void test_too_long(void **state)
{
        struct fixture *f = *state;
        char *data = malloc(2 * VARLINK_MESSAGE_MAX);

        assert_non_null(data);
        memset(data, 'x', 2 * VARLINK_MESSAGE_MAX);
        assert_int_equal(receive_all(f, data, 2 * VARLINK_MESSAGE_MAX), -EMSGSIZE);
        free(data);
}

static void test_end(void **state)
{
        struct fixture *f = *state;

        peer_sends(f, "half", 4);
        close(f->peer);
        f->peer = -EBADF;
        assert_int_equal(varlink_stream_receive(&f->stream), 4);
        expect_none(f);
        assert_true(varlink_stream_is_cut(&f->stream));
        assert_int_equal(varlink_stream_receive(&f->stream), 0);
}

static void put(struct fixture *f, const char *text, size_t length)
{
        char *room = NULL;

        assert_int_equal(varlink_stream_reserve(&f->stream, length, &room), 0);
        memcpy(room, text, length);
        varlink_stream_commit(&f->stream, length);
}

static void test_send(void **state)
{
        struct fixture *f = *state;
        char got[16];

        put(f, "one", 4);
        put(f, "two", 4);
        assert_int_equal(varlink_stream_pending(&f->stream), 8);
        assert_int_equal(varlink_stream_send(&f->stream), 0);
        assert_int_equal(varlink_stream_pending(&f->stream), 0);
        assert_null(f->stream.out.data);
        assert_int_equal(recv(f->peer, got, sizeof(got), 0), 8);
        assert_memory_equal(got, "one\0two", 8);
}

/* Room that was reserved and not used is no part of what is sent. */
static void test_reserve_alone(void **state)
{
        struct fixture *f = *state;
        char *room;

        assert_int_equal(varlink_stream_reserve(&f->stream, 100, &room), 0);
        assert_int_equal(varlink_stream_pending(&f->stream), 0);
        put(f, "x", 2);
        assert_int_equal(varlink_stream_pending(&f->stream), 2);
}

/* A reader that does not read: what waits is bounded, and comes whole and in order when it does. */
static void test_slow_reader(void **state)
{
        struct fixture *f = *state;
        size_t n_put = 0, n_got = 0;
        char *room, block[1024];
        int r;

        for (;; n_put++) {
                r = varlink_stream_reserve(&f->stream, sizeof(block), &room);
                if (r < 0)
                        break;
                memset(room, (int)(n_put % 251), sizeof(block));
                varlink_stream_commit(&f->stream, sizeof(block));
                assert_int_equal(varlink_stream_send(&f->stream), 0);
        }
        assert_int_equal(r, -ENOBUFS);
        assert_int_equal(varlink_stream_pending(&f->stream) / sizeof(block),
                         VARLINK_OUTPUT_MAX / sizeof(block) - 1 +
                                 (varlink_stream_pending(&f->stream) % sizeof(block) == 0));
        for (; n_got < n_put; n_got++) {
                assert_int_equal(recv(f->peer, block, sizeof(block), MSG_WAITALL), sizeof(block));
                for (size_t i = 0; i < sizeof(block); i++)
                        assert_int_equal((uint8_t)block[i], n_got % 251);
                assert_int_equal(varlink_stream_send(&f->stream), 0);
        }
        assert_int_equal(varlink_stream_pending(&f->stream), 0);
}

static void test_too_long_to_send(void **state)
{
        struct fixture *f = *state;
        char *room;

        assert_int_equal(varlink_stream_reserve(&f->stream, VARLINK_MESSAGE_MAX + 1, &room),
                         -EMSGSIZE);
        assert_int_equal(varlink_stream_reserve(&f->stream, VARLINK_MESSAGE_MAX, &room), 0);
}

static void test_send_to_nobody(void **state)
{
        struct fixture *f = *state;

        close(f->peer);
        f->peer = -EBADF;
        put(f, "x", 2);
        assert_int_equal(varlink_stream_send(&f->stream), -EPIPE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_one, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_split_at_every_byte, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_merged, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_longest, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_long, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_send, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reserve_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_slow_reader, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_long_to_send, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_send_to_nobody, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
