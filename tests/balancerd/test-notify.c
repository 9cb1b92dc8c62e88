/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "balancerd/notify.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/time.h"

/* Short, since it is waited for; nothing depends on how long a wait really takes. */
#define WATCHDOG_USEC "20000"
#define HOUR_USEC     (UINT64_C(3600) * 1000000)

/* A service manager's socket that this test reads itself. */
struct manager {
        int fd;
        struct notify *notify;
        sd_event *event;
        char message[256]; /* the last that receive() took */
};

static int set_up(void **state)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        char name[sizeof(address.sun_path)];
        struct manager *m = calloc(1, sizeof(*m));
        int n;

        if (!m)
                return -1;
        *state = m;
        n = snprintf(name, sizeof(name), "@balancerd-test-notify-%d", getpid());
        memcpy(address.sun_path + 1, name + 1, (size_t)n - 1);
        m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&address,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)) < 0)
                return -1;
        (void)setenv("NOTIFY_SOCKET", name, 1);
        (void)unsetenv("WATCHDOG_PID");
        (void)unsetenv("WATCHDOG_USEC");
        (void)unsetenv("LISTEN_FDS");
        log_init(LOG_INFO);
        return sd_event_new(&m->event) < 0 ? -1 : notify_new(&m->notify);
}

static int tear_down(void **state)
{
        struct manager *m = *state;

        notify_free(m->notify);
        sd_event_unref(m->event);
        close(m->fd);
        free(m);
        return 0;
}

/* The next message, or "" where there is none. */
static const char *receive(struct manager *m)
{
        ssize_t n = recv(m->fd, m->message, sizeof(m->message) - 1, 0);

        m->message[MAX(n, 0)] = '\0';
        return m->message;
}

static uint64_t now_usec(void)
{
        return clock_now_nsec(CLOCK_MONOTONIC) / NSEC_PER_USEC;
}

/* Until a timer of the watchdog has run. */
static void run_once(struct manager *m)
{
        assert_int_equal(sd_event_run(m->event, UINT64_MAX), 1);
}

static void test_ready_reloading_stopping(void **state)
{
        struct manager *m = *state;
        uint64_t before = now_usec();
        unsigned long long told;

        notify_ready(m->notify, "all is well");
        assert_string_equal(receive(m), "READY=1\nSTATUS=all is well");
        notify_reloading(m->notify);
        assert_int_equal(sscanf(receive(m), "RELOADING=1\nMONOTONIC_USEC=%llu", &told), 1);
        assert_in_range(told, before, now_usec());
        notify_stopping(m->notify);
        assert_string_equal(receive(m), "STOPPING=1");
        assert_string_equal(receive(m), "");
}

static void test_no_watchdog_no_ping(void **state)
{
        struct manager *m = *state;

        assert_int_equal(notify_watch(m->notify, m->event), 0);
        notify_progress(m->notify, now_usec() + HOUR_USEC);
        assert_int_equal(sd_event_run(m->event, 0), 0);
        assert_string_equal(receive(m), "");
}

static void test_pings_while_nothing_is_due(void **state)
{
        struct manager *m = *state;

        (void)setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1);
        assert_int_equal(notify_watch(m->notify, m->event), 0);
        notify_progress(m->notify, now_usec() + HOUR_USEC);
        for (unsigned i = 0; i < 5; i++) {
                run_once(m);
                assert_string_equal(receive(m), "WATCHDOG=1");
                assert_string_equal(receive(m), "");
        }
}

/* The loop runs, but what is due is not done: the watchdog is to bite. */
static void test_no_ping_while_something_is_overdue(void **state)
{
        struct manager *m = *state;

        (void)setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1);
        assert_int_equal(notify_watch(m->notify, m->event), 0);
        notify_progress(m->notify, now_usec() - HOUR_USEC);
        assert_string_equal(receive(m), "");
        for (unsigned i = 0; i < 5; i++) {
                run_once(m);
                assert_string_equal(receive(m), "");
        }
        /* Late, but done: told at once, for the next ping may be too late. */
        notify_progress(m->notify, now_usec() + HOUR_USEC);
        assert_string_equal(receive(m), "WATCHDOG=1");
        notify_progress(m->notify, now_usec() + HOUR_USEC);
        assert_string_equal(receive(m), "");
        run_once(m);
        assert_string_equal(receive(m), "WATCHDOG=1");
}

/* What is due for the first time counts from notify_watch() on. */
static void test_no_ping_without_any_progress(void **state)
{
        struct manager *m = *state;
        unsigned n_pings = 0;

        (void)setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1);
        assert_int_equal(notify_watch(m->notify, m->event), 0);
        for (unsigned i = 0; i < 5; i++) {
                run_once(m);
                n_pings += streq(receive(m), "WATCHDOG=1");
        }
        assert_in_range(n_pings, 0, 1);
}

static void test_watchdog_of_another_process(void **state)
{
        struct manager *m = *state;

        (void)setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1);
        (void)setenv("WATCHDOG_PID", "1", 1);
        assert_int_equal(notify_watch(m->notify, m->event), 0);
        assert_int_equal(sd_event_run(m->event, 0), 0);
}

static void test_nothing_was_passed(void **state)
{
        struct manager *m = *state;

        assert_int_equal(notify_take_listener(m->notify), -1);
        assert_int_equal(notify_take_ledger(m->notify), -1);
}

static void test_without_a_manager(void **state)
{
        struct manager *m = *state;
        struct notify *notify;

        (void)unsetenv("NOTIFY_SOCKET");
        assert_int_equal(notify_new(&notify), 0);
        notify_ready(notify, "nobody listens");
        notify_reloading(notify);
        notify_stopping(notify);
        assert_false(notify_store_listener(notify, m->fd));
        notify_store_ledger(notify, m->fd);
        assert_string_equal(receive(m), "");
        notify_free(notify);
}

static void test_bad_surroundings(void **state)
{
        struct notify *notify = NULL;

        (void)state;
        (void)setenv("LISTEN_FDS", "-3", 1);
        (void)setenv("LISTEN_PID", "1", 1);
        assert_int_equal(notify_new(&notify), 0); /* meant for another process */
        notify_free(TAKE_PTR(notify));
        (void)setenv("LISTEN_PID", "x", 1);
        assert_int_equal(notify_new(&notify), -EINVAL);
        assert_null(notify);
}

#define with_a_manager(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_a_manager(test_ready_reloading_stopping),
                with_a_manager(test_no_watchdog_no_ping),
                with_a_manager(test_pings_while_nothing_is_due),
                with_a_manager(test_no_ping_while_something_is_overdue),
                with_a_manager(test_no_ping_without_any_progress),
                with_a_manager(test_watchdog_of_another_process),
                with_a_manager(test_nothing_was_passed),
                with_a_manager(test_without_a_manager),
                with_a_manager(test_bad_surroundings),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
