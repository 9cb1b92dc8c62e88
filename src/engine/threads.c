/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdbool.h>

#define HASH_NONFATAL_OOM           1
#define uthash_nonfatal_oom(thread) ((thread)->lost = true)
#include <uthash.h>
#include <utlist.h>

#include "engine/threads.h"

#include <errno.h>

#include "base/macro.h"

void threads_init(struct thread_table *table, unsigned max_hot)
{
        *table = (struct thread_table){.max_hot = max_hot, .hot_limit = max_hot};
}

void threads_done(struct thread_table *table, struct kernel *kernel)
{
        struct thread *thread, *next;

        HASH_ITER (hh, table->by_tid, thread, next)
                threads_remove(table, kernel, thread);
}

struct thread *threads_find(struct thread_table *table, pid_t tid)
{
        struct thread *thread;

        HASH_FIND_INT(table->by_tid, &tid, thread);
        return thread;
}

static void link_cold(struct thread_table *table, struct thread *thread)
{
        CDL_APPEND(table->cold, thread);
}

static void unlink_cold(struct thread_table *table, struct thread *thread)
{
        CDL_DELETE(table->cold, thread);
}

int threads_add(struct thread_table *table, pid_t tgid, pid_t tid, struct thread **ret)
{
        struct thread *thread;

        thread = calloc(1, sizeof(*thread));
        if (!thread)
                return -ENOMEM;
        thread->tgid = tgid;
        thread->tid = tid;
        HASH_ADD_INT(table->by_tid, tid, thread);
        if (thread->lost) {
                free(thread);
                return -ENOMEM;
        }
        link_cold(table, thread);
        table->n_threads++;
        *ret = thread;
        return 0;
}

/* Frees the hot half, and leaves the thread on neither list. */
static void drop_hot(struct thread_table *table, struct kernel *kernel, struct thread *thread)
{
        struct hot *hot = TAKE_PTR(thread->hot);

        DL_DELETE(table->hot, hot);
        kernel->ops->close_thread(kernel, hot->handle);
        free(hot);
        table->n_hot--;
}

void threads_remove(struct thread_table *table, struct kernel *kernel, struct thread *thread)
{
        if (thread->hot)
                drop_hot(table, kernel, thread);
        else
                unlink_cold(table, thread);
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a member has a neighbour or none */
        HASH_DEL(table->by_tid, thread);
        table->n_threads--;
        free(thread);
}

void threads_cool(struct thread_table *table, struct kernel *kernel, struct thread *thread)
{
        drop_hot(table, kernel, thread);
        link_cold(table, thread);
}

/* Gives up the descriptor of the thread that has been quiet longest. False if there is none to
 * give. */
static bool cool_oldest(struct thread_table *table, struct kernel *kernel)
{
        if (!table->hot)
                return false;
        threads_cool(table, kernel, table->hot->prev->thread);
        return true;
}

int threads_heat(struct thread_table *table, struct kernel *kernel, struct thread *thread)
{
        struct hot *hot;
        int handle;

        while (table->n_hot >= table->max_hot)
                if (!cool_oldest(table, kernel))
                        return -EMFILE;
        handle = kernel->ops->open_thread(kernel, thread->tgid, thread->tid);
        if ((handle == -EMFILE || handle == -ENFILE) && cool_oldest(table, kernel)) {
                table->max_hot = table->n_hot > 0 ? table->n_hot : 1;
                handle = kernel->ops->open_thread(kernel, thread->tgid, thread->tid);
        }
        if (handle < 0)
                return handle;
        hot = calloc(1, sizeof(*hot));
        if (!hot) {
                kernel->ops->close_thread(kernel, handle);
                return -ENOMEM;
        }
        hot->thread = thread;
        hot->handle = handle;
        unlink_cold(table, thread);
        thread->hot = hot;
        DL_PREPEND(table->hot, hot);
        table->n_hot++;
        return 0;
}

void threads_touch(struct thread_table *table, struct hot *hot, nsec_t now)
{
        hot->active_at = now;
        if (table->hot == hot)
                return;
        DL_DELETE(table->hot, hot);
        DL_PREPEND(table->hot, hot);
}

void threads_ease(struct thread_table *table)
{
        unsigned more = MAX(table->max_hot / 8, 8U);

        table->max_hot = MIN(table->max_hot + more, table->hot_limit);
}

struct thread *threads_next_cold(struct thread_table *table)
{
        struct thread *thread = table->cold;

        if (thread)
                table->cold = thread->next;
        return thread;
}
