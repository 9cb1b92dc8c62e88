/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/io.h"
#include "base/parse.h"
#include "kernel/cpulist.h"

/* Where a hierarchy is mounted for all but the oldest setups; what CGROUP_FD stands for. */
#define CGROUP_PREFIX "/sys/fs/cgroup"

static bool is_octal(char c)
{
        return c >= '0' && c <= '7';
}

/* Undoes the escapes of proc(5): blank, tab, newline and backslash are written \ooo. NULL when
 * memory runs out. */
static char *unescape(const struct scanner *word)
{
        char *text = calloc(1, (size_t)(word->end - word->at) + 1), *to = text;

        if (!text)
                return NULL;
        for (const char *p = word->at; p < word->end;) {
                if (*p == '\\' && word->end - p >= 4 && is_octal(p[1]) && is_octal(p[2]) &&
                    is_octal(p[3])) {
                        *to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
                        p += 4;
                } else {
                        *to++ = *p++;
                }
        }
        return text;
}

/* Whether comma-separated LIST has the element NAME. */
static bool list_has(const struct scanner *list, const char *name)
{
        struct scanner element = {list->at, list->at};

        for (const char *p = list->at; p <= list->end; p++) {
                if (p < list->end && *p != ',')
                        continue;
                element.end = p;
                if (scanner_equals(&element, name))
                        return true;
                element.at = p + 1;
        }
        return false;
}

static bool next_word(struct scanner *s, struct scanner *ret_word)
{
        scan_blank(s);
        return scan_word(s, ret_word);
}

int cgroup_parse_mount(const char *line, size_t length, struct cgroup_mount_line *ret)
{
        struct scanner s = {line, line + length}, word, top, point, type, options;
        _cleanup_free_ char *top_text = NULL, *point_text = NULL;
        bool unified;

        for (unsigned i = 0; i < 3; i++)
                if (!next_word(&s, &word))
                        return 0;
        if (!next_word(&s, &top) || !next_word(&s, &point))
                return 0;
        do
                if (!next_word(&s, &word))
                        return 0;
        while (!scanner_equals(&word, "-"));
        if (!next_word(&s, &type) || !next_word(&s, &word) || !next_word(&s, &options))
                return 0;

        unified = scanner_equals(&type, "cgroup2");
        if (!unified && !((scanner_equals(&type, "cgroup") || scanner_equals(&type, "cpuset")) &&
                          list_has(&options, "cpuset")))
                return 0;
        top_text = unescape(&top);
        point_text = unescape(&point);
        if (!top_text || !point_text)
                return -ENOMEM;
        *ret = (struct cgroup_mount_line){
                .unified = unified,
                .noprefix = !unified && list_has(&options, "noprefix"),
                .mount_point = TAKE_PTR(point_text),
                .top = TAKE_PTR(top_text),
        };
        return 1;
}

int cgroup_parse_membership(const char *text, size_t length, bool *ret_unified,
                            const char **ret_path, size_t *ret_path_length)
{
        struct scanner s = {text, text + length}, line, unified = {0};

        while (scan_line(&s, &line)) {
                struct scanner controllers;
                const char *colon;
                uint64_t id;

                if (!scan_u64(&line, &id) || !scan_char(&line, ':'))
                        continue;
                colon = memchr(line.at, ':', (size_t)(line.end - line.at));
                if (!colon || colon + 1 == line.end || colon[1] != '/')
                        continue;
                controllers = (struct scanner){line.at, colon};
                line.at = colon + 1;
                if (list_has(&controllers, "cpuset")) {
                        *ret_unified = false;
                        *ret_path = line.at;
                        *ret_path_length = (size_t)(line.end - line.at);
                        return 0;
                }
                if (id == 0 && scan_end(&controllers))
                        unified = line;
        }
        if (!unified.at)
                return -ENOENT;
        *ret_unified = true;
        *ret_path = unified.at;
        *ret_path_length = (size_t)(unified.end - unified.at);
        return 0;
}

/* Opens the directory that mountinfo calls NAME. */
static int open_mount_point(int cgroup_fd, const char *name)
{
        const size_t n = strlen(CGROUP_PREFIX);
        const char *path = name;
        int dir_fd = AT_FDCWD, fd;

        if (strncmp(name, CGROUP_PREFIX, n) == 0 && (name[n] == '/' || name[n] == '\0')) {
                dir_fd = cgroup_fd;
                path = name[n] ? name + n + 1 : ".";
        }
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static void hierarchy_done(struct cgroup_hierarchy *h)
{
        if (h->fd >= 0)
                close(h->fd);
        free(h->top);
        *h = (struct cgroup_hierarchy){.fd = -EBADF};
}

/* Of several mounts of one hierarchy the first that shows all of it is kept, or else the first. */
static bool is_better(const struct cgroup_hierarchy *h, const char *top)
{
        return h->fd < 0 || (!streq(h->top, "/") && streq(top, "/"));
}

static void hierarchy_set(struct cgroup_hierarchy *h, int *fd, char **top, bool noprefix)
{
        hierarchy_done(h);
        *h = (struct cgroup_hierarchy){
                .fd = TAKE_FD(*fd), .top = TAKE_PTR(*top), .noprefix = noprefix};
}

static int add_mount(struct cgroup_mounts *mounts, int cgroup_fd, const struct scanner *line)
{
        struct cgroup_mount_line mount;
        struct cgroup_hierarchy *h;
        int fd = -EBADF, r;

        r = cgroup_parse_mount(line->at, (size_t)(line->end - line->at), &mount);
        if (r <= 0)
                return r;
        h = mount.unified ? &mounts->unified : &mounts->cpuset;
        if (is_better(h, mount.top)) {
                /* A mount point can be hidden or out of reach: another mount may do. */
                fd = open_mount_point(cgroup_fd, mount.mount_point);
                if (fd >= 0)
                        hierarchy_set(h, &fd, &mount.top, mount.noprefix);
        }
        free(mount.mount_point);
        free(mount.top);
        return fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE ? fd : 0;
}

static int read_mountinfo(struct cgroup_mounts *mounts, int proc_fd, int cgroup_fd)
{
        _cleanup_buffer_ struct buffer text = {0};
        struct scanner s, line;
        int r;

        r = buffer_read_at(&text, proc_fd, "self/mountinfo");
        if (r < 0)
                return r;
        s = (struct scanner){text.data, text.data + text.length};
        while (scan_line(&s, &line)) {
                r = add_mount(mounts, cgroup_fd, &line);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Takes PATH for the top of a hierarchy if it has FILE. */
static int guess(struct cgroup_hierarchy *h, int cgroup_fd, const char *path, const char *file)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *top = NULL;

        fd = openat(cgroup_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || faccessat(fd, file, F_OK, 0) < 0)
                return 0;
        top = strdup("/");
        if (!top)
                return -ENOMEM;
        hierarchy_set(h, &fd, &top, false);
        return 0;
}

static int guess_mounts(struct cgroup_mounts *mounts, int cgroup_fd)
{
        int r;

        r = guess(&mounts->cpuset, cgroup_fd, "cpuset", "cpuset.cpus");
        if (r < 0)
                return r;
        r = guess(&mounts->unified, cgroup_fd, ".", "cgroup.controllers");
        if (r < 0 || mounts->unified.fd >= 0)
                return r;
        return guess(&mounts->unified, cgroup_fd, "unified", "cgroup.controllers");
}

int cgroup_mounts_new(struct cgroup_mounts **ret, int proc_fd, int cgroup_fd)
{
        _cleanup_(cgroup_mounts_freep) struct cgroup_mounts *mounts = NULL;
        int r;

        mounts = malloc(sizeof(*mounts));
        if (!mounts)
                return -ENOMEM;
        *mounts = (struct cgroup_mounts){.cpuset.fd = -EBADF, .unified.fd = -EBADF};
        r = read_mountinfo(mounts, proc_fd, cgroup_fd);
        if (r == -ENOENT)
                r = guess_mounts(mounts, cgroup_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(mounts);
        return 0;
}

void cgroup_mounts_free(struct cgroup_mounts *mounts)
{
        if (!mounts)
                return;
        hierarchy_done(&mounts->cpuset);
        hierarchy_done(&mounts->unified);
        free(mounts);
}

/* What of PATH is below the hierarchy's top as it is seen here, without a leading slash; NULL if it
 * is not ("/../x" is how a cgroup outside of the reader's namespace looks). PATH is changed. */
static char *below_top(const struct cgroup_hierarchy *h, char *path)
{
        size_t n = streq(h->top, "/") ? 0 : strlen(h->top);

        if (strncmp(path, h->top, n) != 0 || (path[n] != '/' && path[n] != '\0'))
                return NULL;
        path += n;
        while (*path == '/')
                path++;
        if (strncmp(path, "..", 2) == 0 && (path[2] == '/' || path[2] == '\0'))
                return NULL;
        return path;
}

static int read_list(int dir_fd, const char *path, const char *file, struct cpuset *ret)
{
        char name[PATH_MAX];
        int n;

        n = snprintf(name, sizeof(name), "%s%s%s", path, *path ? "/" : "", file);
        if (n >= (int)sizeof(name))
                return -ENAMETOOLONG;
        return cpulist_read_at(dir_fd, name, ret);
}

/* The list in FILE of the cgroup PATH, or of its nearest ancestor that has it. PATH is changed. A
 * cgroup that was just removed has no files either: its threads are in an ancestor by then. */
static int read_nearest(int dir_fd, char *path, const char *file, struct cpuset *ret)
{
        for (;;) {
                char *slash;
                int r;

                r = read_list(dir_fd, path, file, ret);
                if ((r != -ENOENT && r != -ENODEV) || !*path)
                        return r == -ENODEV ? -ENOENT : r;
                slash = strrchr(path, '/');
                *(slash ? slash : path) = '\0';
        }
}

static int read_version1(const struct cgroup_hierarchy *h, char *path, struct cpuset *ret)
{
        const char *effective = h->noprefix ? "effective_cpus" : "cpuset.effective_cpus";
        const char *configured = h->noprefix ? "cpus" : "cpuset.cpus";
        _cleanup_free_ char *copy = NULL;
        int r;

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        r = read_nearest(h->fd, copy, effective, ret);
        if (r == -ENOENT)
                r = read_nearest(h->fd, path, configured, ret);
        return r == -ENOENT ? -EACCES : r;
}

/* Only the root of all cgroups has no type: where that has no list, nobody has one. Any other top,
 * a container's, may be bound by the cpuset of an ancestor that is not seen here. */
static int read_version2(const struct cgroup_hierarchy *h, char *path, struct cpuset *ret)
{
        int r = read_nearest(h->fd, path, "cpuset.cpus.effective", ret);

        if (r == -ENOENT && faccessat(h->fd, "cgroup.type", F_OK, 0) == 0)
                return -EACCES;
        return r;
}

/* Reads which cgroup the thread is in. Without CONFIG_CGROUPS a living thread has no such file. */
static int read_membership(int proc_fd, pid_t tgid, pid_t tid, struct buffer *text)
{
        char name[64];
        int r;

        (void)snprintf(name, sizeof(name), "%d/task/%d/cgroup", tgid, tid);
        r = buffer_read_at(text, proc_fd, name);
        if (r != -ENOENT)
                return r;
        *strrchr(name, '/') = '\0';
        return faccessat(proc_fd, name, F_OK, 0) < 0 ? -ESRCH : -ENOENT;
}

int cgroup_read_cpuset(const struct cgroup_mounts *mounts, int proc_fd, pid_t tgid, pid_t tid,
                       struct cpuset *ret)
{
        _cleanup_buffer_ struct buffer text = {0};
        _cleanup_free_ char *path = NULL;
        const struct cgroup_hierarchy *h;
        const char *start;
        char *below;
        size_t length;
        bool unified;
        int r;

        r = read_membership(proc_fd, tgid, tid, &text);
        if (r < 0)
                return r;
        r = cgroup_parse_membership(text.data, text.length, &unified, &start, &length);
        if (r < 0)
                return r;
        h = unified ? &mounts->unified : &mounts->cpuset;
        if (h->fd < 0)
                return -EACCES;
        path = strndup(start, length);
        if (!path)
                return -ENOMEM;
        below = below_top(h, path);
        if (!below)
                return -EACCES;
        return unified ? read_version2(h, below, ret) : read_version1(h, below, ret);
}
