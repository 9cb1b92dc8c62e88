/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The client over a socketpair: this file is the daemon, good and bad. Where the client must give
 * up its limit is 0, so that nothing waits; where it must succeed the answer is there before. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "libbalancer/client.h"

#define GOOD "{\"parameters\":{\"n\":1}}"

struct pair {
        struct balancer_client *client;
        int peer;
};

static void connect_pair(struct pair *ret, nsec_t timeout)
{
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(balancer_client_open_fd(&ret->client, fds[0], timeout), 0);
        ret->peer = fds[1];
}

static void close_peer(struct pair *pair)
{
        close(TAKE_FD(pair->peer));
}

static void disconnect_pair(struct pair *pair)
{
        balancer_client_close(pair->client);
        closep(&pair->peer);
}
#define _cleanup_pair_ _cleanup_(disconnect_pair)

/* The daemon says TEXT, its final NUL included. */
static void say(struct pair *pair, const char *text)
{
        assert_int_equal(send(pair->peer, text, strlen(text) + 1, MSG_NOSIGNAL), strlen(text) + 1);
}

/* What the client has sent, as far as it fits. */
static void assert_heard(struct pair *pair, const char *text)
{
        char heard[512];
        ssize_t n = recv(pair->peer, heard, sizeof(heard), MSG_DONTWAIT);

        assert_int_equal(n, strlen(text) + 1);
        assert_string_equal(heard, text);
}

static void assert_good(struct pair *pair)
{
        struct varlink_reply reply;

        assert_int_equal(balancer_client_receive(pair->client, &reply), 0);
        assert_null(reply.error);
        assert_int_equal(json_integer_value(json_object_get(reply.parameters, "n")), 1);
        varlink_reply_done(&reply);
}

static void assert_fails(struct pair *pair, int error)
{
        struct varlink_reply reply = {.error = "untouched"};

        assert_int_equal(balancer_client_receive(pair->client, &reply), error);
        assert_string_equal(reply.error, "untouched");
}

static void test_call(void **state)
{
        _cleanup_pair_ struct pair pair;
        json_auto_t *parameters = json_pack("{si}", "tid", 4711);
        struct varlink_reply reply;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        say(&pair, GOOD);
        assert_int_equal(balancer_client_call(pair.client, "a.b.C", parameters, &reply), 0);
        varlink_reply_done(&reply);
        assert_heard(&pair, "{\"method\":\"a.b.C\",\"parameters\":{\"tid\":4711}}");
}

static void test_refusal_is_a_reply(void **state)
{
        _cleanup_pair_ struct pair pair;
        struct varlink_reply reply;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        say(&pair, "{\"error\":\"a.b.No\",\"parameters\":{}}");
        assert_int_equal(balancer_client_call(pair.client, "a.b.C", NULL, &reply), 0);
        assert_string_equal(reply.error, "a.b.No");
        varlink_reply_done(&reply);
        assert_heard(&pair, "{\"method\":\"a.b.C\"}");
}

static void test_more(void **state)
{
        _cleanup_pair_ struct pair pair;
        struct varlink_reply reply;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        assert_int_equal(balancer_client_send(pair.client, "a.b.C", NULL, true), 0);
        assert_heard(&pair, "{\"method\":\"a.b.C\",\"more\":true}");
        say(&pair, "{\"continues\":true,\"parameters\":{\"n\":1}}");
        say(&pair, GOOD);
        assert_int_equal(balancer_client_receive(pair.client, &reply), 0);
        assert_true(reply.continues);
        varlink_reply_done(&reply);
        assert_good(&pair);
}

/* Replies that came together are told of, though the socket holds nothing any more. */
static void test_wait(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, 0);
        assert_int_equal(balancer_client_wait(pair.client, 0), 0);
        assert_int_equal(send(pair.peer, GOOD "\0" GOOD, 2 * sizeof(GOOD), 0), 2 * sizeof(GOOD));
        assert_int_equal(balancer_client_wait(pair.client, NSEC_INFINITY), 1);
        assert_good(&pair);
        assert_int_equal(balancer_client_wait(pair.client, 0), 1);
        assert_int_equal(balancer_client_wait(pair.client, 0), 1);
        assert_good(&pair);
        assert_int_equal(balancer_client_wait(pair.client, 0), 0);
        close_peer(&pair);
        assert_int_equal(balancer_client_wait(pair.client, 0), 1);
        assert_fails(&pair, -ECONNRESET);
        assert_int_equal(balancer_client_wait(pair.client, 0), 1);
}

/* A reply that comes byte by byte times out at each, and is whole with the last. */
static void test_split(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, 0);
        for (size_t i = 0; i < sizeof(GOOD); i++) {
                assert_fails(&pair, -ETIMEDOUT);
                assert_int_equal(send(pair.peer, &GOOD[i], 1, 0), 1);
        }
        assert_good(&pair);
}

static void test_silence(void **state)
{
        _cleanup_pair_ struct pair pair;
        struct varlink_reply reply;

        (void)state;
        connect_pair(&pair, NSEC_PER_MSEC);
        assert_int_equal(balancer_client_call(pair.client, "a.b.C", NULL, &reply), -ETIMEDOUT);
        say(&pair, GOOD); /* late, but it is the answer */
        assert_good(&pair);
}

static void test_closed(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        close_peer(&pair);
        assert_fails(&pair, -ECONNRESET);
        assert_fails(&pair, -ECONNRESET);
        assert_int_equal(balancer_client_send(pair.client, "a.b.C", NULL, false), -ECONNRESET);
}

static void test_closed_within_a_reply(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        say(&pair, GOOD);
        assert_int_equal(send(pair.peer, GOOD, sizeof(GOOD) - 1, 0), sizeof(GOOD) - 1);
        close_peer(&pair);
        assert_good(&pair);
        assert_fails(&pair, -ECONNRESET);
}

/* A daemon that has enough of us says why before it closes; it never reads the call. */
static void test_last_words(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        say(&pair, GOOD);
        close_peer(&pair);
        assert_int_equal(balancer_client_send(pair.client, "a.b.C", NULL, false), 0);
        assert_good(&pair);
        assert_fails(&pair, -ECONNRESET);
}

static void test_last_words_after_the_call(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        say(&pair, GOOD);
        assert_int_equal(balancer_client_send(pair.client, "a.b.C", NULL, false), 0);
        close_peer(&pair); /* with the call unread: the kernel resets the connection */
        assert_good(&pair);
        assert_fails(&pair, -ECONNRESET);
}

static void test_no_reply(void **state)
{
        static const char *const texts[] = {
                "",     "hello",         "[]",
                "{",    "{\"error\":1}", "{\"parameters\":[]}",
                "\xff", "{\"a\":1}",     "{\"continues\":true,\"error\":\"a.b.No\"}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_pair_ struct pair pair;

                connect_pair(&pair, NSEC_INFINITY);
                assert_null(balancer_client_fault(pair.client));
                say(&pair, texts[i]);
                say(&pair, GOOD);
                assert_fails(&pair, -EBADMSG);
                assert_non_null(balancer_client_fault(pair.client));
                assert_fails(&pair, -EBADMSG); /* what follows cannot be trusted either */
        }
}

/* The same, seen first by balancer_client_wait(). */
static void test_no_reply_waited_for(void **state)
{
        _cleanup_pair_ struct pair pair;

        (void)state;
        connect_pair(&pair, 0);
        assert_int_equal(send(pair.peer, GOOD "\0hello", sizeof(GOOD) + 6, 0), sizeof(GOOD) + 6);
        assert_good(&pair);
        assert_int_equal(balancer_client_wait(pair.client, 0), 1);
        assert_int_equal(balancer_client_wait(pair.client, 0), 1);
        assert_fails(&pair, -EBADMSG);
}

static void test_too_long(void **state)
{
        _cleanup_pair_ struct pair pair;
        _cleanup_free_ char *text = malloc(VARLINK_MESSAGE_MAX);

        (void)state;
        assert_non_null(text);
        memset(text, ' ', VARLINK_MESSAGE_MAX);
        connect_pair(&pair, NSEC_INFINITY);
        assert_int_equal(send(pair.peer, text, VARLINK_MESSAGE_MAX, MSG_DONTWAIT),
                         VARLINK_MESSAGE_MAX);
        assert_fails(&pair, -EBADMSG);
        assert_string_equal(balancer_client_fault(pair.client), "it is too long");
}

static void test_more_than_asked(void **state)
{
        _cleanup_pair_ struct pair pair;
        struct varlink_reply reply;

        (void)state;
        connect_pair(&pair, NSEC_INFINITY);
        say(&pair, "{\"continues\":true}");
        assert_int_equal(balancer_client_call(pair.client, "a.b.C", NULL, &reply), -EBADMSG);
        assert_non_null(balancer_client_fault(pair.client));
}

/* A daemon that does not read what it is sent. */
static void test_deaf(void **state)
{
        _cleanup_pair_ struct pair pair;
        _cleanup_free_ char *method = calloc(1, VARLINK_MESSAGE_MAX / 2);
        int r = 0;

        (void)state;
        assert_non_null(method);
        memset(method, 'a', VARLINK_MESSAGE_MAX / 2 - 1);
        connect_pair(&pair, 0);
        for (size_t i = 0; r == 0 && i < 1000; i++)
                r = balancer_client_send(pair.client, method, NULL, false);
        assert_int_equal(r, -ETIMEDOUT);
        assert_int_equal(balancer_client_send(pair.client, "a.b.C", NULL, false), -ETIMEDOUT);
}

static void test_call_too_long(void **state)
{
        _cleanup_pair_ struct pair pair;
        _cleanup_free_ char *method = calloc(1, VARLINK_MESSAGE_MAX + 1);

        (void)state;
        assert_non_null(method);
        memset(method, 'a', VARLINK_MESSAGE_MAX);
        connect_pair(&pair, 0);
        assert_int_equal(balancer_client_send(pair.client, method, NULL, false), -EMSGSIZE);
}

/* A folder of its own, and the path of a socket in it. */
struct place {
        char folder[32];
        char path[64];
};

static void make_place(struct place *ret)
{
        (void)snprintf(ret->folder, sizeof(ret->folder), "/tmp/balancer-test-XXXXXX");
        assert_non_null(mkdtemp(ret->folder));
        (void)snprintf(ret->path, sizeof(ret->path), "%s/socket", ret->folder);
}

static void remove_place(struct place *place)
{
        (void)unlink(place->path);
        (void)rmdir(place->folder);
}

static int bind_socket(const struct place *place)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", place->path);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static void test_open(void **state)
{
        _cleanup_(remove_place) struct place place = {0};
        struct balancer_client *client = NULL;
        _cleanup_close_ int fd = -1;

        (void)state;
        make_place(&place);
        assert_int_equal(balancer_client_open(&client, place.path, NSEC_INFINITY), -ENOENT);
        fd = bind_socket(&place);
        assert_int_equal(balancer_client_open(&client, place.path, NSEC_INFINITY), -ECONNREFUSED);
        assert_null(client);
        assert_int_equal(listen(fd, 0), 0);
        assert_int_equal(balancer_client_open(&client, place.path, NSEC_INFINITY), 0);
        balancer_client_close(client);
        /* That one still waits to be accepted, and there is room for one only. */
        assert_int_equal(balancer_client_open(&client, place.path, 0), -EAGAIN);
}

static void test_open_bad_path(void **state)
{
        struct balancer_client *client = NULL;
        char path[200];

        (void)state;
        memset(path, 'a', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(balancer_client_open(&client, path, 0), -ENAMETOOLONG);
        assert_int_equal(balancer_client_open(&client, "", 0), -ENOENT);
        assert_int_equal(balancer_client_open(&client, "/dev/null/socket", 0), -ENOTDIR);
        assert_int_equal(balancer_client_open(&client, "/dev/null", 0), -ECONNREFUSED);
        assert_null(client);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_call),       cmocka_unit_test(test_refusal_is_a_reply),
                cmocka_unit_test(test_more),       cmocka_unit_test(test_wait),
                cmocka_unit_test(test_split),      cmocka_unit_test(test_silence),
                cmocka_unit_test(test_closed),     cmocka_unit_test(test_closed_within_a_reply),
                cmocka_unit_test(test_last_words), cmocka_unit_test(test_last_words_after_the_call),
                cmocka_unit_test(test_no_reply),   cmocka_unit_test(test_no_reply_waited_for),
                cmocka_unit_test(test_too_long),   cmocka_unit_test(test_more_than_asked),
                cmocka_unit_test(test_deaf),       cmocka_unit_test(test_call_too_long),
                cmocka_unit_test(test_open),       cmocka_unit_test(test_open_bad_path),
        };

        return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
