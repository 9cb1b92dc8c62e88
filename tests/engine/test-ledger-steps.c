/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ledger's promise that a SIGKILL at any instruction leaves a file that means something: a
 * child writes records, one instruction at a time (ptrace(2)), and after each the file is read as a
 * new daemon would read it if the child had died there.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "engine/ledger.h"

#define N_RECORDS       1U /* so that every record is written over the one before */
#define N_IDS           256U
#define FILE_SIZE_LIMIT ((size_t)8192)

/* Two threads that differ in every field. */
static void make_entry(unsigned which, struct ledger_entry *ret)
{
        struct ledger_entry entry = {
                .tgid = which ? 100 : 2000000,
                .tid = which ? 101 : 2000001,
                .start_ticks = which ? 12345 : 6789000000,
                .narrowed_at = which ? 777 : 8880000000,
                .why = which ? LEDGER_HOLD : LEDGER_NUDGE,
                .whole = which,
        };

        assert_int_equal(cpuset_add_range(&entry.original, which ? 0 : 100, which ? 3 : 200), 0);
        assert_int_equal(cpuset_add(&entry.set, which ? 2 : 150), 0);
        *ret = entry;
}

static void write_records(struct ledger *ledger, const struct ledger_entry entries[static 2])
{
        for (unsigned which = 0; which < 2; which++) {
                int record = ledger_begin(ledger, &entries[which]);

                ledger_settle(ledger, record, 888);
                ledger_reopen(ledger, record);
                ledger_settle(ledger, record, 889);
                ledger_clear(ledger, record);
        }
}

struct watch {
        char path[2][64]; /* where the child writes, where the copies are read */
        int dir_fd[2];
        struct ledger_entry entries[2];
        size_t size;                         /* of the file */
        const void *file;                    /* what the child writes */
        unsigned char seen[FILE_SIZE_LIMIT]; /* as it was read last */
        char states[64]; /* F, N and S with the number of the entry, without repeats */
        unsigned n_steps, n_stores;
};

static void set_up_dirs(struct watch *watch)
{
        for (unsigned i = 0; i < 2; i++) {
                snprintf(watch->path[i], sizeof(watch->path[i]), "/tmp/test-ledger-XXXXXX");
                assert_non_null(mkdtemp(watch->path[i]));
                watch->dir_fd[i] = open(watch->path[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(watch->dir_fd[i] >= 0);
                make_entry(i, &watch->entries[i]);
        }
}

static void tear_down_dirs(struct watch *watch)
{
        for (unsigned i = 0; i < 2; i++) {
                (void)unlinkat(watch->dir_fd[i], "ledger", 0);
                close(watch->dir_fd[i]);
                (void)rmdir(watch->path[i]);
                ledger_entry_done(&watch->entries[i]);
        }
}

static bool is_entry(const struct ledger_entry *a, const struct ledger_entry *b)
{
        return a->tgid == b->tgid && a->tid == b->tid && a->start_ticks == b->start_ticks &&
               a->narrowed_at == b->narrowed_at && a->why == b->why && a->whole == b->whole &&
               cpuset_equal(&a->original, &b->original) && cpuset_equal(&a->set, &b->set);
}

/* What stands in the only record: "F", or which entry and how. */
static void name_state(const struct watch *watch, const struct ledger *ledger, char ret[static 3])
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};
        nsec_t settled_at = 0;
        int state = ledger_get(ledger, 0, &entry, &settled_at);
        bool second = is_entry(&entry, &watch->entries[1]);

        assert_true(state == LEDGER_FREE || state == LEDGER_NARROW || state == LEDGER_SETTLED);
        if (state == LEDGER_FREE) {
                snprintf(ret, 3, "F");
                return;
        }
        assert_true(second || is_entry(&entry, &watch->entries[0]));
        if (state == LEDGER_SETTLED)
                assert_true(settled_at == 888 || settled_at == 889);
        snprintf(ret, 3, "%c%c", state == LEDGER_NARROW ? 'N' : 'S', second ? '1' : '0');
}

static void read_as_new_daemon(struct watch *watch)
{
        size_t length = strlen(watch->states);
        struct ledger *ledger = NULL;
        char state[3];
        int fd;

        fd = openat(watch->dir_fd[1], "ledger", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, watch->seen, watch->size), (ssize_t)watch->size);
        close(fd);
        assert_int_equal(ledger_open(&ledger, watch->dir_fd[1], N_RECORDS, N_IDS), 0);
        name_state(watch, ledger, state);
        ledger_free(ledger);
        if (length < strlen(state) || !streq(watch->states + length - strlen(state), state))
                snprintf(watch->states + length, sizeof(watch->states) - length, "%s", state);
}

static void look(struct watch *watch)
{
        if (memcmp(watch->seen, watch->file, watch->size) == 0)
                return;
        memcpy(watch->seen, watch->file, watch->size);
        watch->n_stores++;
        read_as_new_daemon(watch);
}

/* The child stops before the first step and behind the last one. */
static pid_t start_child(struct watch *watch, struct ledger *ledger)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                        _exit(77);
                (void)raise(SIGSTOP);
                write_records(ledger, watch->entries);
                (void)raise(SIGSTOP);
                _exit(0);
        }
        return pid;
}

static bool is_stopped_by(int status, int signal_number)
{
        return WIFSTOPPED(status) && WSTOPSIG(status) == signal_number;
}

static void step_through(struct watch *watch, pid_t pid)
{
        int status;

        do {
                assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                watch->n_steps++;
                look(watch);
        } while (is_stopped_by(status, SIGTRAP));
        assert_true(is_stopped_by(status, SIGSTOP));
}

static void map_written_file(struct watch *watch)
{
        int fd = openat(watch->dir_fd[0], "ledger", O_RDONLY | O_CLOEXEC);

        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_in_range(st.st_size, 1, FILE_SIZE_LIMIT);
        watch->size = (size_t)st.st_size;
        watch->file = mmap(NULL, watch->size, PROT_READ, MAP_SHARED, fd, 0);
        assert_true(watch->file != MAP_FAILED);
        close(fd);
}

static void unmap_written_file(const struct watch *watch)
{
        /* munmap(2) takes no pointer to const. */
        (void)munmap((void *)(uintptr_t)watch->file, watch->size);
}

static bool can_trace(pid_t pid)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return is_stopped_by(status, SIGSTOP);
}

static void test_every_instruction(void **state)
{
        const char *preload = getenv("LD_PRELOAD");
        struct watch watch = {.states = "F"};
        struct ledger *ledger = NULL;
        bool traced;
        pid_t pid;

        (void)state;
        if (preload && strstr(preload, "vgpreload")) {
                print_message("skipped: under valgrind the steps would be valgrind's\n");
                skip();
        }
        set_up_dirs(&watch);
        assert_int_equal(ledger_open(&ledger, watch.dir_fd[0], N_RECORDS, N_IDS), 0);
        map_written_file(&watch);
        pid = start_child(&watch, ledger);
        traced = can_trace(pid);
        if (traced) {
                step_through(&watch, pid);
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
        }
        unmap_written_file(&watch);
        ledger_free(ledger);
        tear_down_dirs(&watch);
        if (!traced) {
                print_message("skipped: processes may not be traced here\n");
                skip();
        }
        print_message("%u instructions, %u of which changed the file\n", watch.n_steps,
                      watch.n_stores);
        assert_string_equal(watch.states, "FN0S0N0S0FN1S1N1S1F");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_instruction),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
