/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/macro.h"
#include "base/parse.h"
#include "kernel/thread.h"

/* Paths of threads */

/* "PID/task/TID/schedstat" with the longest numbers. */
#define THREAD_PATH_SIZE 48

/* Entries of a folder read at once, and the size of the shortest: so many fit at most. */
#define ENTRIES_AT_ONCE 64U
#define ENTRY_SIZE_MIN  24U

static char *put_text(char *at, const char *text)
{
        size_t length = strlen(text);

        memcpy(at, text, length + 1);
        return at + length;
}

static char *put_id(char *at, pid_t id)
{
        char digits[10], *first = digits + sizeof(digits);

        for (unsigned rest = (unsigned)id; rest > 0; rest /= 10)
                *--first = (char)('0' + rest % 10);
        memcpy(at, first, (size_t)(digits + sizeof(digits) - first));
        return at + (digits + sizeof(digits) - first);
}

/* FILE: at most ten bytes. */
static void thread_path(char ret[static THREAD_PATH_SIZE], pid_t tgid, pid_t tid, const char *file)
{
        char *at = put_text(put_id(ret, tgid), "/task/");

        put_text(put_text(put_id(at, tid), "/"), file);
}

static void process_path(char ret[static THREAD_PATH_SIZE], pid_t tgid)
{
        put_text(put_id(ret, tgid), "/task");
}

/* Walking the threads */

/* NULL, and errno says why. */
static DIR *open_dir(int dir_fd, const char *path)
{
        _cleanup_close_ int fd = -1;
        DIR *dir;

        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        dir = fdopendir(fd);
        if (dir)
                (void)TAKE_FD(fd);
        return dir;
}

/* The next name in DIR that is a number; 0 at the end, or a negative errno. */
static int next_id(DIR *dir)
{
        for (;;) {
                const struct dirent *entry;
                int id;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                if (parse_pid(entry->d_name, &id) == 0)
                        return id;
        }
}

/* Whether ERROR, met at a thread's or process's files, says that it has gone. */
static bool is_gone(int error)
{
        return error == -ENOENT || error == -ESRCH;
}

int tasks_list_process(int proc_fd, pid_t tgid, kernel_thread_fn fn, void *userdata)
{
        _cleanup_closedir_ DIR *dir = NULL;
        char path[THREAD_PATH_SIZE];
        pid_t tid; /* or why there is none */

        if (tgid <= 0)
                return -ESRCH;
        process_path(path, tgid);
        dir = open_dir(proc_fd, path);
        if (!dir)
                return is_gone(-errno) ? -ESRCH : -errno;
        while ((tid = next_id(dir)) > 0) {
                int r = fn(tgid, tid, userdata);
                if (r != 0)
                        return r;
        }
        return is_gone(tid) ? 0 : tid;
}

int tasks_list_processes(int proc_fd, kernel_thread_fn fn, void *userdata)
{
        _cleanup_closedir_ DIR *dir = NULL;
        pid_t tgid; /* or why there is none */

        dir = open_dir(proc_fd, ".");
        if (!dir)
                return -errno;
        while ((tgid = next_id(dir)) > 0) {
                int r = fn(tgid, tgid, userdata);
                if (r != 0)
                        return r;
        }
        return tgid;
}

int tasks_open_process(int proc_fd, pid_t tgid)
{
        char path[THREAD_PATH_SIZE];
        int fd;

        if (tgid <= 0)
                return -ESRCH;
        process_path(path, tgid);
        fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return is_gone(-errno) ? -ESRCH : -errno;
        return fd;
}

/* Puts the numbers among the LENGTH bytes of ENTRIES into RET_TIDS. Returns how many. */
static int take_ids(const char *entries, size_t length, pid_t *ret_tids)
{
        const struct dirent64 *entry;
        int n = 0;

        for (size_t at = 0; at < length; at += entry->d_reclen) {
                entry = (const void *)(entries + at);
                n += parse_pid(entry->d_name, &ret_tids[n]) == 0;
        }
        return n;
}

int tasks_next(int fd, pid_t *ret_tids, unsigned n)
{
        _Alignas(struct dirent64) char entries[ENTRIES_AT_ONCE * ENTRY_SIZE_MIN];
        int n_taken = 0;

        while (n_taken == 0) { /* "." and ".." are no numbers */
                ssize_t length;

                length = getdents64(fd, entries, MIN(n, ENTRIES_AT_ONCE) * ENTRY_SIZE_MIN);
                if (length <= 0)
                        return length == 0 || is_gone(-errno) ? 0 : -errno;
                n_taken = take_ids(entries, (size_t)length, ret_tids);
        }
        return n_taken;
}

/* A walk over the threads of every process. */
struct walk {
        int proc_fd;
        kernel_thread_fn fn;
        void *userdata;
        int result; /* of the caller's function, which ends the walk: no refusal by the kernel */
};

static int walk_thread(pid_t tgid, pid_t tid, void *userdata)
{
        struct walk *walk = userdata;

        walk->result = walk->fn(tgid, tid, walk->userdata);
        return walk->result;
}

static int walk_process(pid_t tgid, pid_t tid, void *userdata)
{
        struct walk *walk = userdata;
        int r;

        (void)tid;
        r = tasks_list_process(walk->proc_fd, tgid, walk_thread, walk);
        if (walk->result != 0)
                return walk->result;
        /* One that has gone, or that hidepid= hides. */
        return is_gone(r) || r == -EACCES || r == -EPERM ? 0 : r;
}

int tasks_list(int proc_fd, kernel_thread_fn fn, void *userdata)
{
        struct walk walk = {.proc_fd = proc_fd, .fn = fn, .userdata = userdata};

        return tasks_list_processes(proc_fd, walk_process, &walk);
}

/* Threads */

/* ERROR came from FILE of a thread: a thread that is still there has no such file in this kernel.
 */
static int thread_error(int proc_fd, pid_t tgid, pid_t tid, int error)
{
        char path[THREAD_PATH_SIZE];

        if (error != -ENOENT)
                return error;
        thread_path(path, tgid, tid, "stat");
        return faccessat(proc_fd, path, F_OK, 0) == 0 ? -ENOENT : -ESRCH;
}

static int open_thread_file(int proc_fd, pid_t tgid, pid_t tid, const char *file)
{
        char path[THREAD_PATH_SIZE];
        int fd;

        if (tgid <= 0 || tid <= 0)
                return -ESRCH;
        thread_path(path, tgid, tid, file);
        fd = open_at(proc_fd, path, 0);
        return fd < 0 ? thread_error(proc_fd, tgid, tid, fd) : fd;
}

int task_open_counters(int proc_fd, pid_t tgid, pid_t tid)
{
        return open_thread_file(proc_fd, tgid, tid, "schedstat");
}

int task_read_counters(int fd, struct kernel_counters *ret)
{
        char text[256];
        ssize_t n;

        n = read_small_fd(fd, text, sizeof(text));
        if (n < 0)
                return (int)n;
        return thread_parse_counters(text, (size_t)n, ret);
}

int task_read_stat(int proc_fd, pid_t tgid, pid_t tid, struct kernel_thread *ret)
{
        _cleanup_close_ int fd = open_thread_file(proc_fd, tgid, tid, "stat");
        char text[2048];
        ssize_t n;

        n = read_small_fd(fd, text, sizeof(text));
        if (n < 0)
                return (int)n;
        return thread_parse_stat(text, (size_t)n, ret);
}

static int read_status(int proc_fd, pid_t tgid, pid_t tid, struct buffer *text)
{
        _cleanup_close_ int fd = open_thread_file(proc_fd, tgid, tid, "status");

        return fd < 0 ? fd : buffer_read_fd(text, fd); /* a list of 65,536 groups may be in it */
}

int task_read_allowed(int proc_fd, pid_t tgid, pid_t tid, struct cpuset *ret)
{
        _cleanup_buffer_ struct buffer text = {0};
        int r;

        r = read_status(proc_fd, tgid, tid, &text);
        return r < 0 ? r : thread_parse_allowed(text.data, text.length, ret);
}

int task_read_switches(int proc_fd, pid_t tgid, pid_t tid, struct kernel_switches *ret)
{
        _cleanup_buffer_ struct buffer text = {0};
        int r;

        r = read_status(proc_fd, tgid, tid, &text);
        return r < 0 ? r : thread_parse_switches(text.data, text.length, ret);
}

/* The folder belongs to the effective user, whether or not the process may be dumped
 * (fs/proc/base.c:task_dump_owner): its mode is what makes the difference. */
int task_read_owner(int proc_fd, pid_t tgid, pid_t tid, uid_t *ret)
{
        char path[THREAD_PATH_SIZE];
        struct stat st;

        if (tgid <= 0 || tid <= 0)
                return -ESRCH;
        thread_path(path, tgid, tid, "");
        if (fstatat(proc_fd, path, &st, 0) < 0)
                return is_gone(-errno) ? -ESRCH : -errno;
        *ret = st.st_uid;
        return 0;
}

/* A thread's own number leads to its folder too, if not to its process's. */
int task_find_process(int proc_fd, pid_t tid, pid_t *ret_tgid)
{
        _cleanup_buffer_ struct buffer text = {0};
        int r;

        r = read_status(proc_fd, tid, tid, &text);
        return r < 0 ? r : thread_parse_process(text.data, text.length, ret_tgid);
}
