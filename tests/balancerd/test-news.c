/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>

#include "balancerd/news.h"
#include "balancerd/quota.h"
#include "base/macro.h"

struct fixture {
        char folder[32];
        char path[64];
        int fd; /* the journal's end */
        char data[65536];
        struct news *news;
};

static int set_up(void **state)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        *state = f;
        (void)snprintf(f->folder, sizeof(f->folder), "/tmp/test-news-XXXXXX");
        if (!mkdtemp(f->folder))
                return -1;
        (void)snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
        memcpy(address.sun_path, f->path, strlen(f->path) + 1);
        f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (f->fd < 0 || bind(f->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -1;
        log_init(LOG_INFO);
        return log_to_journal(f->path) < 0 || news_new(&f->news) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        news_free(f->news);
        close(f->fd);
        (void)unlink(f->path);
        (void)rmdir(f->folder);
        free(f);
        log_init(LOG_INFO);
        return 0;
}

/* The next entry, as text, or NULL. */
static const char *receive(struct fixture *f)
{
        ssize_t n = recv(f->fd, f->data, sizeof(f->data) - 1, 0);

        if (n < 0)
                return NULL;
        f->data[n] = '\0';
        return f->data;
}

/* The catalog's entry of that message id; the caller frees it. */
static char *read_catalog(const char *id)
{
        const char *top = getenv("top_srcdir");
        _cleanup_free_ char *text = calloc(1, 65536);
        char path[4096], start[40];
        FILE *file;
        char *entry, *end;

        (void)snprintf(path, sizeof(path), "%s/systemd/balancerd.catalog", top ? top : ".");
        file = fopen(path, "re");
        assert_non_null(file);
        assert_non_null(text);
        assert_in_range(fread(text, 1, 65535, file), 1, 65534);
        (void)fclose(file);
        (void)snprintf(start, sizeof(start), "-- %.32s\n", id);
        entry = strstr(text, start);
        assert_non_null(entry);
        end = strstr(entry, "\n-- ");
        return end ? strndup(entry, (size_t)(end - entry)) : strdup(entry);
}

/* What the catalog puts in (@NAME@) must be there, or the reader sees the name. */
static void assert_fills_catalog(const char *entry, const char *id)
{
        _cleanup_free_ char *catalog = read_catalog(id);
        char field[64];

        assert_non_null(catalog);
        for (const char *at = strchr(catalog, '@'), *end; at; at = strchr(end + 1, '@')) {
                end = strchr(at + 1, '@');
                assert_non_null(end);
                (void)snprintf(field, sizeof(field), "%.*s=", (int)(end - at - 1), at + 1);
                if (!strstr(entry, field))
                        fail_msg("%.32s has no %s", id, field);
        }
}

/* The next entry has exactly these fields, in this order, behind "MESSAGE_ID=..." the usual ones
 * with MESSAGE, which is looked for TEXT in. */
static void assert_entry(struct fixture *f, const char *fields, int level, const char *text)
{
        const char *entry = receive(f), *rest, *message;
        char priority[32];

        assert_non_null(entry);
        assert_int_equal(strncmp(entry, fields, strlen(fields)), 0);
        rest = entry + strlen(fields);
        assert_int_equal(strncmp(rest, "MESSAGE_ID=", 11), 0);
        assert_int_equal(strspn(rest + 11, "0123456789abcdef"), 32);
        assert_fills_catalog(entry, rest + 11);
        message = rest + 11 + 32;
        assert_int_equal(strncmp(message, "\nMESSAGE=", 9), 0);
        assert_non_null(strstr(message, text));
        (void)snprintf(priority, sizeof(priority), "\nPRIORITY=%d\n", level);
        assert_non_null(strstr(message, priority));
}

static const struct decision example = {
        .at = NSEC_PER_SEC,
        .tgid = 4700,
        .tid = 4711,
        .comm = "a b\xff",
        .prio = 120,
        .from = 0,
        .to = 1,
        .reason = MOVE_BALANCE,
        .gain = 3,
        .load_from = 4,
        .load_to = 0.5F,
        .carried_out = true,
        .result = MOVER_MOVED,
        .took = 12345,
};

#define EXAMPLE_FIELDS                                                                             \
        "OBJECT_PID=4700\nBALANCERD_PID=4700\nBALANCERD_TID=4711\nBALANCERD_COMM=a b\xff\n"        \
        "BALANCERD_PRIO=120\nBALANCERD_CPU_FROM=0\nBALANCERD_CPU_TO=1\nBALANCERD_REASON=balance\n"
#define EXAMPLE_LOADS "BALANCERD_GAIN=3.00\nBALANCERD_LOAD_FROM=4.00\nBALANCERD_LOAD_TO=0.50\n"

static void test_move(void **state)
{
        struct fixture *f = *state;
        struct decision decision = example;

        news_tell_decision(f->news, &decision);
        assert_entry(f,
                     EXAMPLE_FIELDS EXAMPLE_LOADS
                     "BALANCERD_RESULT=moved\nBALANCERD_DURATION_USEC=12\n",
                     LOG_INFO, "MESSAGE=sched_migrate_task: comm=a\\x20b\\xff pid=4711 ");
        decision.chain = 3;
        decision.result = MOVER_DENIED;
        decision.error = -EPERM;
        news_tell_decision(f->news, &decision);
        assert_entry(f,
                     EXAMPLE_FIELDS
                     "BALANCERD_CHAIN=3\n" EXAMPLE_LOADS
                     "BALANCERD_RESULT=denied\nBALANCERD_ERROR=EPERM\nBALANCERD_DURATION_USEC=12\n",
                     LOG_INFO, " result=denied error=EPERM\n");
        decision = example;
        decision.carried_out = false;
        news_tell_decision(f->news, &decision);
        assert_entry(f, EXAMPLE_FIELDS EXAMPLE_LOADS, LOG_INFO,
                     "MESSAGE=would: sched_migrate_task: ");
        assert_null(receive(f));
}

/* A thread that is moved again and again does not fill the journal; what was left out is told with
 * its next line, or at the end. */
static void test_moves_of_one_thread_are_limited(void **state)
{
        struct fixture *f = *state;
        struct decision decision = example;
        unsigned n_told = 0;

        for (unsigned i = 0; i < QUOTA_BURST + 120; i++) {
                news_tell_decision(f->news, &decision);
                n_told += receive(f) != NULL;
        }
        assert_int_equal(n_told, QUOTA_BURST);
        decision.at += QUOTA_INTERVAL;
        news_tell_decision(f->news, &decision);
        assert_entry(f,
                     EXAMPLE_FIELDS EXAMPLE_LOADS
                     "BALANCERD_RESULT=moved\nBALANCERD_DURATION_USEC=12\n"
                     "BALANCERD_SUPPRESSED=120\n",
                     LOG_INFO, " took_usec=12 suppressed=120\n");
        news_tell_decision(f->news, &decision);
        news_tell_decision(f->news, &decision);
        assert_null(receive(f));
        news_free(f->news);
        f->news = NULL;
        assert_entry(f,
                     "OBJECT_PID=4700\nBALANCERD_PID=4700\nBALANCERD_TID=4711\n"
                     "BALANCERD_SUPPRESSED=2\n",
                     LOG_INFO, "MESSAGE=2 more moves of thread 4711 were not told one by one\n");
}

static void test_notices(void **state)
{
        struct fixture *f = *state;

        news_tell_notice(&(struct notice){.kind = NOTICE_MISSING,
                                          .level = LOG_NOTICE,
                                          .text = "no pressure",
                                          .detail = "pressure"});
        assert_entry(f, "BALANCERD_SOURCE=pressure\n", LOG_NOTICE, "MESSAGE=no pressure\n");
        news_tell_notice(&(struct notice){.kind = NOTICE_FOREIGN,
                                          .level = LOG_NOTICE,
                                          .text = "somebody",
                                          .tgid = 1,
                                          .tid = 2,
                                          .detail = "0-3"});
        assert_entry(f, "OBJECT_PID=1\nBALANCERD_PID=1\nBALANCERD_TID=2\nBALANCERD_AFFINITY=0-3\n",
                     LOG_NOTICE, "MESSAGE=somebody\n");
        news_tell_notice(&(struct notice){.kind = NOTICE_CLIENT_DROPPED,
                                          .level = LOG_NOTICE,
                                          .text = "it does not read",
                                          .tgid = 9,
                                          .detail = "unread"});
        assert_entry(f, "OBJECT_PID=9\nBALANCERD_PID=9\nBALANCERD_LIMIT=unread\n", LOG_NOTICE,
                     "MESSAGE=it does not read\n");
        news_tell_notice(&(struct notice){.kind = NOTICE_CLIENTS_WAIT,
                                          .level = LOG_WARNING,
                                          .text = "they wait",
                                          .detail = "EMFILE"});
        assert_entry(f, "BALANCERD_ERROR=EMFILE\n", LOG_WARNING, "MESSAGE=they wait\n");
        news_tell_notice(&(struct notice){
                .kind = NOTICE_STUCK, .level = LOG_WARNING, .text = "stuck", .tgid = 1, .tid = 2});
        assert_entry(f, "OBJECT_PID=1\nBALANCERD_PID=1\nBALANCERD_TID=2\n", LOG_WARNING,
                     "MESSAGE=stuck\n");
        news_tell_notice(&(struct notice){.kind = NOTICE_NARROW_CHILD,
                                          .level = LOG_WARNING,
                                          .text = "narrow",
                                          .tgid = 1,
                                          .tid = 2});
        assert_entry(f, "OBJECT_PID=1\nBALANCERD_PID=1\nBALANCERD_TID=2\n", LOG_WARNING,
                     "MESSAGE=narrow\n");
}

static void test_restored(void **state)
{
        struct fixture *f = *state;
        struct ledger_report report = {.n_records = 9,
                                       .n_restored = 1,
                                       .n_children = 2,
                                       .n_intact = 3,
                                       .n_foreign = 4,
                                       .n_gone = 5,
                                       .n_damaged = 6};

        news_tell_restored(&report);
        assert_entry(
                f,
                "BALANCERD_RESTORED=1\nBALANCERD_CHILDREN=2\nBALANCERD_INTACT=3\n"
                "BALANCERD_FOREIGN=4\nBALANCERD_GONE=5\nBALANCERD_DAMAGED=6\n"
                "BALANCERD_FAILED=0\n",
                LOG_INFO,
                "MESSAGE=restored: 1 masks given back, 2 masks of children given back, 3 as they "
                "were, 4 set by somebody else since, 5 threads gone, 6 records damaged\n");
        report.n_failed = 1;
        news_tell_restored(&report);
        assert_entry(f,
                     "BALANCERD_RESTORED=1\nBALANCERD_CHILDREN=2\nBALANCERD_INTACT=3\n"
                     "BALANCERD_FOREIGN=4\nBALANCERD_GONE=5\nBALANCERD_DAMAGED=6\n"
                     "BALANCERD_FAILED=1\n",
                     LOG_WARNING, ", 1 failed\n");
        report = (struct ledger_report){.n_foreign = 2, .n_gone = 1};
        news_tell_restored(&report);
        assert_entry(f,
                     "BALANCERD_RESTORED=0\nBALANCERD_CHILDREN=0\nBALANCERD_INTACT=0\nBALANCERD_"
                     "FOREIGN=2\nBALANCERD_GONE=1\nBALANCERD_DAMAGED=0\nBALANCERD_FAILED=0\n",
                     LOG_INFO, "MESSAGE=restored: 2 set by somebody else since, 1 threads gone\n");
        report = (struct ledger_report){0};
        news_tell_restored(&report);
        assert_entry(f,
                     "BALANCERD_RESTORED=0\nBALANCERD_CHILDREN=0\nBALANCERD_INTACT=0\nBALANCERD_"
                     "FOREIGN=0\nBALANCERD_GONE=0\nBALANCERD_DAMAGED=0\nBALANCERD_FAILED=0\n",
                     LOG_INFO, "MESSAGE=nothing was left narrow\n");
}

/* Each kind has a message id of its own. */
static void test_message_ids(void **state)
{
        struct fixture *f = *state;
        char ids[_NEWS_MAX][32];

        for (int kind = 0; kind < _NEWS_MAX; kind++) {
                const char *entry;

                news_tell((enum news_kind)kind, LOG_INFO, NULL, "kind %d", kind);
                entry = receive(f);
                assert_non_null(entry);
                assert_int_equal(strncmp(entry, "MESSAGE_ID=", 11), 0);
                memcpy(ids[kind], entry + 11, 32);
                assert_int_equal(strspn(entry + 11, "0123456789abcdef"), 32);
                for (int other = 0; other < kind; other++)
                        assert_memory_not_equal(ids[other], ids[kind], 32);
        }
}

#define with_a_journal(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                with_a_journal(test_move),
                with_a_journal(test_moves_of_one_thread_are_limited),
                with_a_journal(test_notices),
                with_a_journal(test_restored),
                with_a_journal(test_message_ids),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
