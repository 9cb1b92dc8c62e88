/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/news.h"

#include <errno.h>
#include <stdarg.h>

#include "balancerd/quota.h"

#define LINE_SIZE 1024

struct news {
        struct quota quota;
};

/* Never to be changed, and never to be used again for another kind (journalctl --new-id128). */
static const char *const message_ids[_NEWS_MAX] = {
        [NEWS_MOVED] = "7d6c9ac25b234fe0a1828efce453918e",
        [NEWS_WOULD_MOVE] = "f4686c6cbb9f43988a8bb0f1134b43bd",
        [NEWS_MOVE_FAILED] = "ae2326a111e0408bb9f57811ef652fb1",
        [NEWS_SUPPRESSED] = "4710153c5f0d4820b82cdf51e3518b67",
        [NEWS_FOREIGN] = "b908068e42a04b84a6e2ee56ede414b3",
        [NEWS_STUCK] = "1e597cef0ded481fb71c33f9a378385e",
        [NEWS_NARROW_CHILD] = "f801376c5f1b4a4797a657b475129569",
        [NEWS_MISSING] = "5b5851aff3924be68426aea689b67520",
        [NEWS_CLIENT_DROPPED] = "41745f2abc8e4673a6ead766363cb980",
        [NEWS_CLIENTS_WAIT] = "7b23c90807d74e87a06954265d863736",
        [NEWS_READY] = "6660319852f44deaa5debe2c1a5dfdd3",
        [NEWS_ENDING] = "43075cc8a4174b079e01f1a9bcc8b363",
        [NEWS_RESTORED] = "24060a5618a645688f833dd96d78413f",
        [NEWS_CONFIGURATION_LOADED] = "e613738365614d61a476dbb8d605a3ae",
        [NEWS_CONFIGURATION_REFUSED] = "da6eec6e7fb94f5d95cf85320f34a761",
};

static void add_kind(struct journal_entry *fields, enum news_kind kind)
{
        journal_addf(fields, "MESSAGE_ID", "%s", message_ids[kind]);
}

void news_tell(enum news_kind kind, int level, struct journal_entry *fields, const char *format,
               ...)
{
        struct journal_entry none;
        char line[LINE_SIZE];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        if (!fields) {
                journal_entry_init(&none);
                fields = &none;
        }
        add_kind(fields, kind);
        log_fields(level, fields, line);
}

/* OBJECT_PID is what the journal itself knows of (systemd.journal-fields(7)). */
static void add_process(struct journal_entry *fields, pid_t tgid)
{
        journal_addf(fields, "OBJECT_PID", "%d", tgid);
        journal_addf(fields, "BALANCERD_PID", "%d", tgid);
}

static void add_thread(struct journal_entry *fields, pid_t tgid, pid_t tid)
{
        add_process(fields, tgid);
        journal_addf(fields, "BALANCERD_TID", "%d", tid);
}

static void tell_forgotten(const struct quota_thread *thread, void *userdata)
{
        struct journal_entry fields;

        (void)userdata;
        journal_entry_init(&fields);
        add_thread(&fields, thread->tgid, thread->tid);
        journal_addf(&fields, "BALANCERD_SUPPRESSED", "%u", thread->n_suppressed);
        news_tell(NEWS_SUPPRESSED, LOG_INFO, &fields,
                  "%u more moves of thread %d were not told one by one", thread->n_suppressed,
                  thread->tid);
}

int news_new(struct news **ret)
{
        struct news *news = calloc(1, sizeof(*news));

        if (!news)
                return -ENOMEM;
        news->quota.on_forgotten = tell_forgotten;
        *ret = news;
        return 0;
}

void news_free(struct news *news)
{
        if (!news)
                return;
        quota_clear(&news->quota);
        free(news);
}

static void add_outcome(struct journal_entry *fields, const struct decision *decision)
{
        if (!decision->carried_out)
                return;
        journal_addf(fields, "BALANCERD_RESULT", "%s", mover_result_to_string(decision->result));
        if (decision->error < 0)
                journal_addf(fields, "BALANCERD_ERROR", "%s", strerrorname_np(-decision->error));
        journal_addf(fields, "BALANCERD_DURATION_USEC", "%llu",
                     (unsigned long long)(decision->took / NSEC_PER_USEC));
}

/* The name goes in byte for byte, as other fields of the journal have it: to be searched for. */
static void add_decision(struct journal_entry *fields, const struct decision *decision)
{
        add_thread(fields, decision->tgid, decision->tid);
        journal_add(fields, "BALANCERD_COMM", decision->comm,
                    strnlen(decision->comm, sizeof(decision->comm)));
        journal_addf(fields, "BALANCERD_PRIO", "%d", decision->prio);
        journal_addf(fields, "BALANCERD_CPU_FROM", "%u", decision->from);
        journal_addf(fields, "BALANCERD_CPU_TO", "%u", decision->to);
        journal_addf(fields, "BALANCERD_REASON", "%s", move_reason_to_string(decision->reason));
        if (decision->chain > 0)
                journal_addf(fields, "BALANCERD_CHAIN", "%u", decision->chain);
        journal_addf(fields, "BALANCERD_GAIN", "%.2f", (double)decision->gain);
        journal_addf(fields, "BALANCERD_LOAD_FROM", "%.2f", (double)decision->load_from);
        journal_addf(fields, "BALANCERD_LOAD_TO", "%.2f", (double)decision->load_to);
        add_outcome(fields, decision);
}

static enum news_kind kind_of_decision(const struct decision *decision)
{
        if (!decision->carried_out)
                return NEWS_WOULD_MOVE;
        return decision->result == MOVER_MOVED ? NEWS_MOVED : NEWS_MOVE_FAILED;
}

void news_tell_decision(struct news *news, const struct decision *decision)
{
        char line[DECISION_LINE_SIZE + 32];
        struct journal_entry fields;
        unsigned n_suppressed;

        if (!quota_take(&news->quota, decision->tgid, decision->tid, decision->at, &n_suppressed))
                return;
        journal_entry_init(&fields);
        add_decision(&fields, decision);
        decision_format(decision, line);
        if (n_suppressed > 0) {
                size_t length = strlen(line);

                (void)snprintf(line + length, sizeof(line) - length, " suppressed=%u",
                               n_suppressed);
                journal_addf(&fields, "BALANCERD_SUPPRESSED", "%u", n_suppressed);
        }
        add_kind(&fields, kind_of_decision(decision));
        log_record(LOG_INFO, &fields, line);
}

/* Its kind, and what the notice's `detail` is called. */
static enum news_kind kind_of_notice(enum notice_kind kind, const char **ret_detail)
{
        switch (kind) {
        case NOTICE_MISSING:
                *ret_detail = "BALANCERD_SOURCE";
                return NEWS_MISSING;
        case NOTICE_FOREIGN:
                *ret_detail = "BALANCERD_AFFINITY";
                return NEWS_FOREIGN;
        case NOTICE_STUCK:
                return NEWS_STUCK;
        case NOTICE_NARROW_CHILD:
                return NEWS_NARROW_CHILD;
        case NOTICE_CLIENT_DROPPED:
                *ret_detail = "BALANCERD_LIMIT";
                return NEWS_CLIENT_DROPPED;
        case NOTICE_CLIENTS_WAIT:
                *ret_detail = "BALANCERD_ERROR";
                return NEWS_CLIENTS_WAIT;
        case _NOTICE_MAX:
                break;
        }
        abort();
}

void news_tell_notice(const struct notice *notice)
{
        const char *detail = NULL;
        enum news_kind kind = kind_of_notice(notice->kind, &detail);
        struct journal_entry fields;

        journal_entry_init(&fields);
        if (notice->tid > 0)
                add_thread(&fields, notice->tgid, notice->tid);
        else if (notice->tgid > 0)
                add_process(&fields, notice->tgid);
        if (detail && notice->detail)
                journal_addf(&fields, detail, "%s", notice->detail);
        news_tell(kind, notice->level, &fields, "%s", notice->text);
}

/* What there was of each, in words; nothing at all is said in words too. */
static void format_restored(const struct ledger_report *report, char *line, size_t size)
{
        const struct {
                unsigned n;
                const char *what;
        } parts[] = {
                {report->n_restored, "masks given back"},
                {report->n_children, "masks of children given back"},
                {report->n_intact, "as they were"},
                {report->n_foreign, "set by somebody else since"},
                {report->n_gone, "threads gone"},
                {report->n_damaged, "records damaged"},
                {report->n_failed, "failed"},
        };
        size_t length = 0;

        (void)snprintf(line, size, "nothing was left narrow");
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                if (parts[i].n > 0)
                        length += (size_t)snprintf(line + length, size - length, "%s%u %s",
                                                   length > 0 ? ", " : "restored: ", parts[i].n,
                                                   parts[i].what);
}

void news_tell_restored(const struct ledger_report *report)
{
        struct journal_entry fields;
        char line[LINE_SIZE];

        journal_entry_init(&fields);
        journal_addf(&fields, "BALANCERD_RESTORED", "%u", report->n_restored);
        journal_addf(&fields, "BALANCERD_CHILDREN", "%u", report->n_children);
        journal_addf(&fields, "BALANCERD_INTACT", "%u", report->n_intact);
        journal_addf(&fields, "BALANCERD_FOREIGN", "%u", report->n_foreign);
        journal_addf(&fields, "BALANCERD_GONE", "%u", report->n_gone);
        journal_addf(&fields, "BALANCERD_DAMAGED", "%u", report->n_damaged);
        journal_addf(&fields, "BALANCERD_FAILED", "%u", report->n_failed);
        format_restored(report, line, sizeof(line));
        news_tell(NEWS_RESTORED, report->n_failed > 0 ? LOG_WARNING : LOG_INFO, &fields, "%s",
                  line);
}
