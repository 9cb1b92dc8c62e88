/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl threads: a row for each thread. On a terminal one page of them, what matters first;
 * elsewhere all of them, as they come: by number. */

#include <errno.h>
#include <inttypes.h>

#include "balancectl/cells.h"
#include "balancectl/fields.h"
#include "balancectl/mates.h"
#include "balancectl/print.h"
#include "balancectl/session.h"
#include "balancectl/table.h"
#include "balancectl/verbs.h"

/* A thread that waits for a smaller share of the time is not called waiting. */
#define WAITING_SHARE 0.05

/* Lines of a page that are no threads: headers, what is left, the shell's prompt. */
#define OTHER_LINES 3U

enum {
        COLUMN_TID,
        COLUMN_PID,
        COLUMN_UID,
        COLUMN_CPU,
        COLUMN_STATE,
        COLUMN_PRIORITY,
        COLUMN_RUN,
        COLUMN_WAIT,
        COLUMN_DEMAND,
        COLUMN_MOVED,
        COLUMN_AFFINITY,
        COLUMN_VERDICT,
        COLUMN_COMMAND,
        _COLUMN_MAX,
};

static const struct column columns[_COLUMN_MAX] = {
        [COLUMN_TID] = {"TID", .right = true},
        [COLUMN_PID] = {"PID", .right = true, .dispensable = 4},
        [COLUMN_UID] = {"UID", .right = true, .dispensable = 6},
        [COLUMN_CPU] = {"CPU", .right = true},
        [COLUMN_STATE] = {"S", .dispensable = 2},
        [COLUMN_PRIORITY] = {"PRI", .right = true, .dispensable = 5},
        [COLUMN_RUN] = {"RUN", .right = true},
        [COLUMN_WAIT] = {"WAIT", .right = true},
        [COLUMN_DEMAND] = {"DEMAND", .right = true, .dispensable = 7},
        [COLUMN_MOVED] = {"MOVED", .right = true, .dispensable = 1},
        [COLUMN_AFFINITY] = {"AFFINITY", .dispensable = 3, .most = 11},
        [COLUMN_VERDICT] = {"VERDICT", .most = 16},
        [COLUMN_COMMAND] = {.header = "COMMAND"},
};

/* The order of a page. */
enum rank {
        RANK_WAITING,
        RANK_MOVED,
        RANK_HELD, /* something keeps it where it is, for now */
        RANK_OTHER,
};

static double share_of(const json_t *thread, const char *key)
{
        double share;

        return field_number(thread, key, &share) ? share : 0;
}

static bool is_held(const json_t *thread)
{
        static const char *const verdicts[] = {"moving", "settling", "leftAlone"};
        const char *verdict = field_text(thread, "verdict", "");

        for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
                if (streq(verdict, verdicts[i]))
                        return true;
        return false;
}

static enum rank rank_of(const json_t *thread)
{
        nsec_t moved_ago;

        if (share_of(thread, "wait") >= WAITING_SHARE)
                return RANK_WAITING;
        if (field_span(thread, "movedAgoUSec", &moved_ago))
                return RANK_MOVED;
        return is_held(thread) ? RANK_HELD : RANK_OTHER;
}

static enum colour colour_of(const json_t *thread)
{
        switch (rank_of(thread)) {
        case RANK_WAITING:
                return COLOUR_BAD;
        case RANK_MOVED:
                return COLOUR_GOOD;
        case RANK_HELD:
        case RANK_OTHER:
                return COLOUR_NONE;
        }
        abort();
}

/* Within a rank: who waits more, who was moved later, who runs more. */
static double weight_of(const json_t *thread, enum rank rank)
{
        nsec_t moved_ago = NSEC_INFINITY;

        switch (rank) {
        case RANK_WAITING:
                return share_of(thread, "wait");
        case RANK_MOVED:
                (void)field_span(thread, "movedAgoUSec", &moved_ago);
                return -nsec_to_sec(moved_ago);
        case RANK_HELD:
        case RANK_OTHER:
                return share_of(thread, "run");
        }
        abort();
}

static int64_t tid_of(const json_t *thread)
{
        int64_t tid;

        return field_integer(thread, "tid", &tid) ? tid : 0;
}

static int compare(const void *a, const void *b)
{
        const json_t *const *x = a, *const *y = b;
        enum rank rank_x = rank_of(*x), rank_y = rank_of(*y);
        double weight_x, weight_y;

        if (rank_x != rank_y)
                return rank_x < rank_y ? -1 : 1;
        weight_x = weight_of(*x, rank_x);
        weight_y = weight_of(*y, rank_y);
        if (weight_x != weight_y)
                return weight_x > weight_y ? -1 : 1;
        return tid_of(*x) < tid_of(*y) ? -1 : 1;
}

static int add_row(struct table *table, const json_t *thread)
{
        char text[_COLUMN_MAX][WORDS_SIZE];
        const char *const cells[_COLUMN_MAX] = {
                [COLUMN_TID] = cell_integer(thread, "tid", text[COLUMN_TID]),
                [COLUMN_PID] = cell_integer(thread, "pid", text[COLUMN_PID]),
                [COLUMN_UID] = cell_integer(thread, "uid", text[COLUMN_UID]),
                [COLUMN_CPU] = cell_integer(thread, "cpu", text[COLUMN_CPU]),
                [COLUMN_STATE] = field_text(thread, "state", "-"),
                [COLUMN_PRIORITY] = cell_integer(thread, "priority", text[COLUMN_PRIORITY]),
                [COLUMN_RUN] = cell_share(thread, "run", text[COLUMN_RUN]),
                [COLUMN_WAIT] = cell_share(thread, "wait", text[COLUMN_WAIT]),
                [COLUMN_DEMAND] = cell_share(thread, "demand", text[COLUMN_DEMAND]),
                [COLUMN_MOVED] = cell_span(thread, "movedAgoUSec", text[COLUMN_MOVED]),
                [COLUMN_AFFINITY] = field_text(thread, "affinity", "-"),
                [COLUMN_VERDICT] = cell_verdict(thread),
                [COLUMN_COMMAND] = field_text(thread, "comm", "-"),
        };

        return table_add(table, cells, colour_of(thread));
}

/* How many rows there is room for. Without a legend nobody would be told that some are missing. */
static size_t page(const struct request *request, size_t n)
{
        size_t height = request->terminal.height, room;

        if (height == 0 || !request->legend)
                return n;
        room = height > OTHER_LINES ? height - OTHER_LINES : 1;
        return MIN(n, room);
}

/* How the same threads are seen to the last. */
static void tell_rest(const struct request *request, size_t n)
{
        printf("%zu more: balancectl threads", n);
        if (request->id > 0)
                printf(" -a %d", request->id);
        else if (request->all)
                printf(" --all");
        printf(" | less\n");
}

static int print_rows(const struct request *request, const json_t *const *threads, size_t n)
{
        _cleanup_(table_freep) struct table *table = NULL;
        size_t n_shown = page(request, n);

        if (table_new(&table, columns, _COLUMN_MAX) < 0)
                return tell_no_memory();
        for (size_t i = 0; i < n_shown; i++)
                if (add_row(table, threads[i]) < 0)
                        return tell_no_memory();
        table_print(table, n_shown, &request->terminal, request->legend);
        if (n_shown < n)
                tell_rest(request, n - n_shown);
        return 0;
}

static int print(const struct request *request, const json_t *list)
{
        size_t n = json_array_size(list);
        _cleanup_free_ const json_t **threads = NULL;

        threads = calloc(n + 1, sizeof(const json_t *));
        if (!threads)
                return tell_no_memory();
        for (size_t i = 0; i < n; i++)
                threads[i] = json_array_get(list, i);
        if (request->terminal.is_terminal)
                qsort(threads, n, sizeof(const json_t *), compare);
        return print_rows(request, threads, n);
}

/* An empty table may surprise: on a quiet machine nobody runs or waits. */
static void tell_none(const struct request *request, struct session *session)
{
        if (!request->legend || request->all || request->id > 0)
                return;
        fprintf(stderr,
                "no thread%s waits or runs where it needs watching; --all lists those that are not "
                "watched\n",
                session_sees_all(session) ? "" : " that you may see");
}

/* Which threads are asked for; NULL where memory is short. */
static json_t *choose(const struct request *request)
{
        if (request->id > 0 && !request->all_tasks)
                return json_pack("{si}", "tid", request->id);
        if (request->id > 0)
                return json_pack("{sisb}", "pid", request->id, "all", true);
        return request->all ? json_pack("{sb}", "all", true) : json_object();
}

static int print_and_hint(const struct request *request, struct session *session,
                          const json_t *list)
{
        int r;

        r = print(request, list);
        if (r < 0)
                return r;
        if (json_array_size(list) == 0)
                tell_none(request, session);
        mates_tell(request, session, json_array_get(list, 0));
        return 0;
}

int verb_threads(const struct request *request)
{
        return session_query_list(request, "ListThreads", choose(request), "thread",
                                  print_and_hint);
}
