/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <cmocka.h>

#include "engine/ledger.h"

#define N_RECORDS 8U
#define N_IDS     8U

static const char *const cpu_folders[] = {"devices", "devices/system", "devices/system/cpu"};

struct fixture {
        char path[64];
        int dir_fd;
};

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        snprintf(f->path, sizeof(f->path), "/tmp/test-ledger-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = f;
        return f->dir_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        (void)unlinkat(f->dir_fd, "ledger", 0);
        close(f->dir_fd);
        (void)rmdir(f->path);
        free(f);
        return 0;
}

static struct ledger *open_ledger(const struct fixture *f)
{
        struct ledger *ledger = NULL;

        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), 0);
        return ledger;
}

static void write_file(const struct fixture *f, const void *data, size_t size)
{
        int fd = openat(f->dir_fd, "ledger", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), (ssize_t)size);
        close(fd);
}

static off_t file_length(const struct fixture *f)
{
        struct stat st;

        return fstatat(f->dir_fd, "ledger", &st, 0) < 0 ? -1 : st.st_size;
}

/* XORs a byte of the file. */
static void damage(const struct fixture *f, off_t at)
{
        int fd = openat(f->dir_fd, "ledger", O_RDWR | O_CLOEXEC);
        unsigned char byte;

        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x40;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
}

static void make_entry(struct ledger_entry *ret, pid_t tid)
{
        struct ledger_entry entry = {
                .tgid = 100,
                .tid = tid,
                .start_ticks = 12345,
                .narrowed_at = 777,
                .why = LEDGER_HOLD,
        };

        assert_int_equal(cpuset_add_range(&entry.original, 0, 3), 0);
        assert_int_equal(cpuset_add(&entry.set, 2), 0);
        *ret = entry;
}

static int begin(struct ledger *ledger, pid_t tid)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};

        make_entry(&entry, tid);
        return ledger_begin(ledger, &entry);
}

static void assert_entry(const struct ledger *ledger, int record, pid_t tid, int state)
{
        _cleanup_(ledger_entry_done) struct ledger_entry wanted = {0};
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};
        nsec_t settled_at = 0;

        make_entry(&wanted, tid);
        assert_int_equal(ledger_get(ledger, record, &entry, &settled_at), state);
        assert_int_equal(entry.tgid, wanted.tgid);
        assert_int_equal(entry.tid, tid);
        assert_int_equal(entry.start_ticks, wanted.start_ticks);
        assert_int_equal(entry.narrowed_at, wanted.narrowed_at);
        assert_int_equal(entry.why, wanted.why);
        assert_int_equal(entry.whole, wanted.whole);
        assert_true(cpuset_equal(&entry.original, &wanted.original));
        assert_true(cpuset_equal(&entry.set, &wanted.set));
        assert_int_equal(settled_at, state == LEDGER_SETTLED ? 888 : NSEC_INFINITY);
}

static int state_of(const struct ledger *ledger, int record)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};
        nsec_t settled_at;

        return ledger_get(ledger, record, &entry, &settled_at);
}

static void test_life_of_a_record(void **state)
{
        struct ledger *ledger = open_ledger(*state);
        int a = begin(ledger, 7), b = begin(ledger, 8);

        assert_true(a >= 0 && b >= 0 && a != b);
        assert_int_equal(ledger_count(ledger), 2);
        assert_entry(ledger, a, 7, LEDGER_NARROW);
        ledger_settle(ledger, a, 888);
        assert_entry(ledger, a, 7, LEDGER_SETTLED);
        assert_entry(ledger, b, 8, LEDGER_NARROW);
        ledger_clear(ledger, a);
        assert_int_equal(state_of(ledger, a), LEDGER_FREE);
        assert_int_equal(ledger_count(ledger), 1);
        assert_int_equal(begin(ledger, 9), a);
        assert_entry(ledger, a, 9, LEDGER_NARROW);
        ledger_free(ledger);
}

static void test_records_outlive_their_writer(void **state)
{
        struct ledger *ledger = open_ledger(*state);
        int a = begin(ledger, 7), b = begin(ledger, 8);

        ledger_settle(ledger, b, 888);
        ledger_free(ledger);

        /* Sizes asked for later wait until the old records are done with. */
        assert_int_equal(ledger_open(&ledger, ((struct fixture *)*state)->dir_fd, 500, 1000), 0);
        assert_int_equal(ledger_size(ledger), N_RECORDS);
        assert_int_equal(ledger_count(ledger), 0); /* not this one's to wait for */
        assert_entry(ledger, a, 7, LEDGER_NARROW);
        assert_entry(ledger, b, 8, LEDGER_SETTLED);
        assert_true(begin(ledger, 9) >= 0);
        assert_int_equal(ledger_count(ledger), 1);
        ledger_clear(ledger, begin(ledger, 10));
        ledger_clear(ledger, a);
        ledger_clear(ledger, b);
        assert_int_equal(ledger_count(ledger), 1);
        for (unsigned i = 0; i < N_RECORDS; i++)
                if (state_of(ledger, (int)i) != LEDGER_FREE)
                        ledger_clear(ledger, (int)i);
        assert_int_equal(ledger_count(ledger), 0);
        ledger_free(ledger);

        assert_int_equal(ledger_open(&ledger, ((struct fixture *)*state)->dir_fd, 500, 1000), 0);
        assert_int_equal(ledger_size(ledger), 500);
        ledger_free(ledger);
}

static void test_full(void **state)
{
        struct ledger *ledger = open_ledger(*state);

        for (unsigned i = 0; i < N_RECORDS; i++)
                assert_true(begin(ledger, (pid_t)i + 1) >= 0);
        assert_int_equal(begin(ledger, 99), -ENOSPC);
        ledger_clear(ledger, 3);
        assert_int_equal(begin(ledger, 99), 3);
        ledger_free(ledger);
}

static void test_too_wide(void **state)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};
        struct ledger *ledger = open_ledger(*state);

        make_entry(&entry, 7);
        assert_int_equal(cpuset_add(&entry.original, 64), 0);
        assert_int_equal(ledger_begin(ledger, &entry), -ERANGE);
        assert_int_equal(ledger_count(ledger), 0);
        ledger_free(ledger);
}

/* A mask as wide as the kernel's has a place, however few CPUs are online. */
static void test_width_of_the_machine(void **state)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};
        const struct fixture *f = *state;
        struct ledger *ledger = NULL;
        int fd;

        assert_int_equal(ledger_width(f->dir_fd), CPUSET_MAX);
        assert_int_equal(ledger_width(-1), CPUSET_MAX);
        for (unsigned i = 0; i < ARRAY_SIZE(cpu_folders); i++)
                assert_int_equal(mkdirat(f->dir_fd, cpu_folders[i], 0700), 0);
        fd = openat(f->dir_fd, "devices/system/cpu/possible", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "0-127\n", 6), 6);
        close(fd);
        assert_int_equal(ledger_width(f->dir_fd), 128);

        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, ledger_width(f->dir_fd)), 0);
        make_entry(&entry, 7);
        assert_int_equal(cpuset_add_range(&entry.original, 0, 127), 0);
        assert_true(ledger_begin(ledger, &entry) >= 0);
        ledger_free(ledger);

        assert_int_equal(unlinkat(f->dir_fd, "devices/system/cpu/possible", 0), 0);
        for (unsigned i = ARRAY_SIZE(cpu_folders); i-- > 0;)
                assert_int_equal(unlinkat(f->dir_fd, cpu_folders[i], AT_REMOVEDIR), 0);
}

static void test_one_owner(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = open_ledger(f), *second = NULL;

        assert_int_equal(ledger_open(&second, f->dir_fd, N_RECORDS, N_IDS), -EBUSY);
        assert_null(second);
        ledger_free(ledger);
        ledger = open_ledger(f);
        ledger_free(ledger);
}

/* What somebody else keeps open holds no lock, and has the records even when the folder does not.
 */
static void test_kept_by_somebody_else(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = open_ledger(f), *second = NULL;
        int kept = ledger_open_unlocked(ledger), record = begin(ledger, 4711), other;
        char path[64];

        assert_true(kept >= 0);
        assert_int_equal(ledger_open_stored(&second, kept), -EBUSY);
        ledger_free(ledger);
        ledger = open_ledger(f);
        assert_int_equal(ledger_open_stored(&second, kept), -EBUSY);
        assert_null(second);
        ledger_free(ledger);

        assert_int_equal(unlinkat(f->dir_fd, "ledger", 0), 0);
        ledger = open_ledger(f);
        assert_int_equal(ledger_open_stored(&second, kept), 0);
        assert_entry(second, record, 4711, LEDGER_NARROW);
        assert_int_equal(ledger_count(second), 0);
        ledger_clear(second, record);
        ledger_free(second);
        /* The lock of the second has ended with it, though its file is kept. */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", kept);
        other = open(path, O_RDWR | O_CLOEXEC);
        assert_true(other >= 0);
        assert_int_equal(ledger_open_stored(&second, other), 0);
        ledger_free(second);
        ledger_free(ledger);
        close(other);
        close(kept);
}

static void test_nothing_of_use_was_kept(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = open_ledger(f);
        int kept = ledger_open_unlocked(ledger);
        const char zeros[5000] = {0};

        ledger_free(ledger);
        ledger = NULL;
        write_file(f, zeros, sizeof(zeros));
        assert_int_equal(ledger_open_stored(&ledger, kept), -ENODATA);
        write_file(f, "notes", 5);
        assert_int_equal(ledger_open_stored(&ledger, kept), -EBADMSG);
        assert_null(ledger);
        close(kept);
}

static void test_unknown_file_is_left_alone(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = NULL;
        char big[8192];

        memset(big, 'x', sizeof(big));
        write_file(f, "notes", 5);
        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), -EBADMSG);
        assert_int_equal(file_length(f), 5);
        write_file(f, big, sizeof(big));
        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), -EBADMSG);
        assert_int_equal(file_length(f), sizeof(big));
        assert_null(ledger);
}

static void test_cut_file_is_left_alone(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = open_ledger(f);
        off_t length = file_length(f);
        int fd;

        ledger_free(ledger);
        fd = openat(f->dir_fd, "ledger", O_WRONLY | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, length - 1), 0);
        close(fd);
        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), -EBADMSG);
        assert_int_equal(file_length(f), length - 1);
}

static void test_link_is_not_followed(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = NULL;

        assert_int_equal(symlinkat("/nowhere", f->dir_fd, "ledger"), 0);
        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), -EBADMSG);
}

/* Killed between making the file and writing its header. */
static void test_unfinished_file_is_finished(void **state)
{
        const struct fixture *f = *state;
        const char zeros[5000] = {0};

        write_file(f, "", 0);
        ledger_free(open_ledger(f));
        write_file(f, zeros, sizeof(zeros));
        ledger_free(open_ledger(f));
}

#define HEADER_BYTES 48 /* of struct header; the boot id is at 24 */

static void test_damaged_header(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger;

        ledger_free(open_ledger(f));
        for (off_t i = 0; i < HEADER_BYTES; i++) {
                damage(f, i);
                ledger = NULL;
                assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), -EBADMSG);
                damage(f, i);
        }
        ledger_free(open_ledger(f));
}

/* Every byte that a record has, but for the time at which it was settled. */
static void test_damaged_record(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = open_ledger(f);
        off_t size = (file_length(f) - 4096) / N_RECORDS;
        unsigned n_damaged = 0;
        int record = begin(ledger, 7);

        for (off_t i = 0; i < size; i++) {
                damage(f, 4096 + record * size + i);
                if (state_of(ledger, record) == LEDGER_DAMAGED)
                        n_damaged++;
                damage(f, 4096 + record * size + i);
        }
        assert_entry(ledger, record, 7, LEDGER_NARROW);
        assert_int_equal(n_damaged, size - 8 - 4); /* settled_at, and 4 bytes of padding */
        ledger_free(ledger);
}

static void test_impossible_mask(void **state)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {0};
        struct ledger *ledger = open_ledger(*state);
        int record;

        make_entry(&entry, 7);
        assert_int_equal(cpuset_add(&entry.set, 5), 0); /* not one that its owner chose */
        record = ledger_begin(ledger, &entry);
        assert_int_equal(state_of(ledger, record), LEDGER_DAMAGED);
        cpuset_clear(&entry.set);
        record = ledger_begin(ledger, &entry);
        assert_int_equal(state_of(ledger, record), LEDGER_DAMAGED);
        ledger_free(ledger);
}

static void test_no_way_to_write(void **state)
{
        const struct fixture *f = *state;
        struct ledger *ledger = NULL;
        int fd;

        assert_int_equal(ledger_open(&ledger, -1, N_RECORDS, N_IDS), -EBADF);
        assert_int_equal(ledger_open(&ledger, f->dir_fd, 0, N_IDS), -EINVAL);
        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, 0), -EINVAL);
        fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(ledger_open(&ledger, fd, N_RECORDS, N_IDS) < 0);
        close(fd);
        assert_null(ledger);
}

/* As a full runtime directory: the error, no signal, and nothing half-made left. */
static void test_no_room(void **state)
{
        const struct fixture *f = *state;
        struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY}, saved;
        struct ledger *ledger = NULL;
        void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
        limit.rlim_max = saved.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(ledger_open(&ledger, f->dir_fd, N_RECORDS, N_IDS), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
        signal(SIGXFSZ, handler);
        assert_null(ledger);
        assert_int_equal(file_length(f), -1);
        ledger_free(open_ledger(f));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_life_of_a_record),
                TEST(test_records_outlive_their_writer),
                TEST(test_full),
                TEST(test_too_wide),
                TEST(test_width_of_the_machine),
                TEST(test_one_owner),
                TEST(test_kept_by_somebody_else),
                TEST(test_nothing_of_use_was_kept),
                TEST(test_unknown_file_is_left_alone),
                TEST(test_cut_file_is_left_alone),
                TEST(test_link_is_not_followed),
                TEST(test_unfinished_file_is_finished),
                TEST(test_damaged_header),
                TEST(test_damaged_record),
                TEST(test_impossible_mask),
                TEST(test_no_way_to_write),
                TEST(test_no_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
