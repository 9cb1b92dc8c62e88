/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/unbalanced.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>

#include "base/io.h"
#include "base/parse.h"
#include "kernel/cpulist.h"

/* Cgroups are made by whoever may: a walk ends after so many, and no deeper than that. What lies
 * beyond counts as if it were not there. */
#define DIRECTORIES_MAX 4096U
#define DEPTH_MAX       16U

#define FILE_CHANGED      IN_MODIFY
#define DIRECTORY_CHANGED (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

/* Watch descriptors, in order once a walk has ended. */
struct watches {
        int *wds;
        unsigned n;
        unsigned capacity;
};

struct unbalanced {
        const struct cgroup_mounts *mounts;
        int sys_fd;
        int inotify_fd;
        struct watches watches;
        bool all_watched; /* no watch was refused: without news there is no change */
        bool valid;       /* the following three are those of the last walk */
        struct cpuset online;
        struct cpuset isolated;
        bool top_balances; /* sched_load_balance of version 1's top cpuset; true without one */
        struct cpuset unbalanced;
};

/* One walk over the cpusets. */
struct walk {
        struct unbalanced *u;
        const struct cpuset *online;
        struct cpuset isolated; /* in no domain, whatever the cpusets say */
        struct cpuset taken;    /* by version 2 partitions: not in the domain of the rest */
        struct cpuset balanced; /* in some domain of two CPUs or more */
        struct watches watches;
        bool all_watched;
        bool top_balances;
        unsigned n_directories;
};

static void walk_done(struct walk *walk)
{
        cpuset_done(&walk->isolated);
        cpuset_done(&walk->taken);
        cpuset_done(&walk->balanced);
        free(walk->watches.wds);
}

int unbalanced_new(struct unbalanced **ret, const struct cgroup_mounts *mounts, int sys_fd)
{
        _cleanup_close_ int inotify_fd = -EBADF;
        struct unbalanced *u;

        inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (inotify_fd < 0)
                return -errno;
        u = malloc(sizeof(*u));
        if (!u)
                return -ENOMEM;
        *u = (struct unbalanced){
                .mounts = mounts, .sys_fd = sys_fd, .inotify_fd = TAKE_FD(inotify_fd)};
        *ret = u;
        return 0;
}

void unbalanced_free(struct unbalanced *u)
{
        if (!u)
                return;
        close(u->inotify_fd);
        free(u->watches.wds);
        cpuset_done(&u->online);
        cpuset_done(&u->isolated);
        cpuset_done(&u->unbalanced);
        free(u);
}

int unbalanced_fd(const struct unbalanced *u)
{
        return u->inotify_fd;
}

static int watches_add(struct watches *watches, int wd)
{
        if (watches->n == watches->capacity) {
                unsigned capacity = watches->capacity ? watches->capacity * 2 : 16;
                int *wds = realloc(watches->wds, capacity * sizeof(*wds));

                if (!wds)
                        return -ENOMEM;
                watches->wds = wds;
                watches->capacity = capacity;
        }
        watches->wds[watches->n++] = wd;
        return 0;
}

/* Asks for news of the file or directory PATH below DIR_FD. To be done before it is read, so that
 * no change falls between. What is not there needs no watch; a refused one is made up for by
 * walking each time. */
static int watch(struct walk *walk, int dir_fd, const char *path, uint32_t events)
{
        char name[PATH_MAX];
        int wd;

        if (snprintf(name, sizeof(name), "/proc/self/fd/%d/%s", dir_fd, path) >= (int)sizeof(name))
                return 0;
        wd = inotify_add_watch(walk->u->inotify_fd, name, events);
        if (wd >= 0)
                return watches_add(&walk->watches, wd);
        if (faccessat(dir_fd, path, F_OK, 0) == 0)
                walk->all_watched = false;
        return 0;
}

static int compare_ints(const void *a, const void *b)
{
        int x = *(const int *)a, y = *(const int *)b;

        return (x > y) - (x < y);
}

/* Hands the walk's watches to U, whose older ones end, but for those that are the same. */
static void keep_watches(struct walk *walk)
{
        struct watches *fresh = &walk->watches, *old = &walk->u->watches;

        if (fresh->n > 0)
                qsort(fresh->wds, fresh->n, sizeof(*fresh->wds), compare_ints);
        for (unsigned i = 0; i < old->n; i++)
                if (fresh->n == 0 ||
                    !bsearch(&old->wds[i], fresh->wds, fresh->n, sizeof(*fresh->wds), compare_ints))
                        (void)inotify_rm_watch(walk->u->inotify_fd, old->wds[i]);
        free(old->wds);
        *old = *fresh;
        *fresh = (struct watches){0};
}

/* What a source says counts if there is any; only a lack of memory ends a walk. Returns 1, 0 or
 * -ENOMEM. */
static int tell(int r)
{
        return r == -ENOMEM ? r : r == 0;
}

static int read_list(int dir_fd, const char *path, struct cpuset *ret)
{
        return tell(cpulist_read_at(dir_fd, path, ret));
}

/* CPUs that the kernel was told at boot to keep out of all domains. */
static int read_isolated(const struct unbalanced *u, struct cpuset *ret)
{
        return read_list(u->sys_fd, "devices/system/cpu/isolated", ret);
}

/* The name of a version 1 file: "cpuset.cpus", or "cpus" where the mount has no prefixes. */
static const char *file_name(const struct unbalanced *u, const char *name)
{
        return u->mounts->cpuset.noprefix ? name + strlen("cpuset.") : name;
}

/* Where the flag cannot be read it is on, as it is for a new cpuset. */
static bool read_balance_flag(const struct unbalanced *u, int dir_fd)
{
        char c;

        return read_small_at(dir_fd, file_name(u, "cpuset.sched_load_balance"), &c, 1) != 1 ||
               c != '0';
}

/* Adds the CPUs of a domain to those that are balanced. Where domains overlap the kernel makes them
 * one, which needs no care here: a CPU that shares its domain with another does so in one of them.
 */
static int add_domain(struct walk *walk, const struct cpuset *cpus)
{
        _cleanup_cpuset_ struct cpuset domain = {0};
        int r;

        r = cpuset_copy(&domain, cpus);
        if (r < 0)
                return r;
        cpuset_intersect(&domain, walk->online);
        cpuset_subtract(&domain, &walk->isolated);
        return cpuset_count(&domain) < 2 ? 0 : cpuset_unite(&walk->balanced, &domain);
}

typedef int (*visit_fn)(struct walk *walk, int dir_fd, unsigned depth);

static int visit_child(struct walk *walk, int parent_fd, const struct dirent *entry, unsigned depth,
                       visit_fn visit)
{
        _cleanup_close_ int fd = -EBADF;

        if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) || streq(entry->d_name, ".") ||
            streq(entry->d_name, ".."))
                return 0;
        if (walk->n_directories++ >= DIRECTORIES_MAX)
                return 0;
        fd = openat(parent_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
                return visit(walk, fd, depth);
        if (errno == EMFILE || errno == ENFILE)
                walk->all_watched = false; /* it may go better next time */
        return 0;
}

static int visit_children(struct walk *walk, int dir_fd, unsigned depth, visit_fn visit)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int fd, r;

        r = watch(walk, dir_fd, ".", DIRECTORY_CHANGED);
        if (r < 0 || depth >= DEPTH_MAX)
                return r;
        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                walk->all_watched = false;
                return 0;
        }
        dir = fdopendir(fd);
        if (!dir) {
                close(fd);
                return -ENOMEM;
        }
        while ((entry = readdir(dir))) {
                r = visit_child(walk, fd, entry, depth + 1, visit);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A version 1 cpuset none of whose ancestors is balanced. */
static int visit_cpuset(struct walk *walk, int dir_fd, unsigned depth)
{
        const struct unbalanced *u = walk->u;
        _cleanup_cpuset_ struct cpuset cpus = {0};
        int r;

        r = watch(walk, dir_fd, file_name(u, "cpuset.sched_load_balance"), FILE_CHANGED);
        if (r < 0)
                return r;
        r = watch(walk, dir_fd, file_name(u, "cpuset.cpus"), FILE_CHANGED);
        if (r < 0)
                return r;
        r = read_list(dir_fd, file_name(u, "cpuset.cpus"), &cpus);
        if (r <= 0 || cpuset_is_empty(&cpus))
                return r < 0 ? r : 0;
        if (read_balance_flag(u, dir_fd))
                return add_domain(walk, &cpus);
        return visit_children(walk, dir_fd, depth, visit_cpuset);
}

static int walk_version1(struct walk *walk)
{
        int top_fd = walk->u->mounts->cpuset.fd, r;

        r = watch(walk, top_fd, file_name(walk->u, "cpuset.sched_load_balance"), FILE_CHANGED);
        if (r < 0)
                return r;
        walk->top_balances = read_balance_flag(walk->u, top_fd);
        return walk->top_balances ? add_domain(walk, walk->online)
                                  : visit_children(walk, top_fd, 0, visit_cpuset);
}

enum partition {
        PARTITION_MEMBER, /* or an invalid one: "isolated invalid (why)" */
        PARTITION_ROOT,
        PARTITION_ISOLATED,
};

static enum partition read_partition(int dir_fd)
{
        char text[64];
        ssize_t n = read_small_at(dir_fd, "cpuset.cpus.partition", text, sizeof(text));
        struct scanner s = {text, text + (n > 0 ? n : 0)}, line;

        if (!scan_line(&s, &line))
                return PARTITION_MEMBER;
        if (scanner_equals(&line, "root"))
                return PARTITION_ROOT;
        return scanner_equals(&line, "isolated") ? PARTITION_ISOLATED : PARTITION_MEMBER;
}

static int add_partition(struct walk *walk, int dir_fd)
{
        enum partition partition = read_partition(dir_fd);
        _cleanup_cpuset_ struct cpuset cpus = {0};
        int r;

        if (partition == PARTITION_MEMBER)
                return 0;
        r = read_list(dir_fd, "cpuset.cpus.effective", &cpus);
        if (r <= 0)
                return r;
        if (partition == PARTITION_ISOLATED)
                return cpuset_unite(&walk->isolated, &cpus);
        r = cpuset_unite(&walk->taken, &cpus);
        return r < 0 ? r : add_domain(walk, &cpus);
}

/* Whether the children of a version 2 cgroup can have CPUs of their own. */
static bool hands_on_cpusets(int dir_fd)
{
        char text[256];
        ssize_t n = read_small_at(dir_fd, "cgroup.subtree_control", text, sizeof(text));
        struct scanner s = {text, text + (n > 0 ? n : 0)}, word;

        if (n < 0)
                return true;
        for (scan_space(&s); scan_word(&s, &word); scan_space(&s))
                if (scanner_equals(&word, "cpuset"))
                        return true;
        return false;
}

static int visit_cgroup(struct walk *walk, int dir_fd, unsigned depth)
{
        static const char *const watched[] = {"cpuset.cpus.partition", "cpuset.cpus",
                                              "cpuset.cpus.exclusive", "cgroup.subtree_control"};
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
                r = watch(walk, dir_fd, watched[i], FILE_CHANGED);
                if (r < 0)
                        return r;
        }
        r = add_partition(walk, dir_fd);
        if (r < 0 || !hands_on_cpusets(dir_fd))
                return r;
        return visit_children(walk, dir_fd, depth, visit_cgroup);
}

static int walk_version2(struct walk *walk)
{
        int top_fd = walk->u->mounts->unified.fd, r;
        _cleanup_cpuset_ struct cpuset isolated = {0}, rest = {0};

        r = visit_cgroup(walk, top_fd, 0);
        if (r < 0)
                return r;
        /* From 6.7 on; it knows partitions that cannot be seen from here as well. */
        r = read_list(top_fd, "cpuset.cpus.isolated", &isolated);
        if (r < 0 || (r > 0 && (r = cpuset_unite(&walk->isolated, &isolated)) < 0))
                return r;
        r = cpuset_copy(&rest, walk->online);
        if (r < 0)
                return r;
        cpuset_subtract(&rest, &walk->taken);
        return add_domain(walk, &rest);
}

static int walk_cpusets(struct walk *walk)
{
        if (walk->u->mounts->cpuset.fd >= 0)
                return walk_version1(walk);
        if (walk->u->mounts->unified.fd >= 0)
                return walk_version2(walk);
        return add_domain(walk, walk->online);
}

/* Makes the walk's findings those of U. */
static int keep(struct walk *walk)
{
        struct unbalanced *u = walk->u;
        int r;

        keep_watches(walk);
        u->all_watched = walk->all_watched;
        u->top_balances = walk->top_balances;
        r = cpuset_copy(&u->online, walk->online);
        if (r < 0)
                return r;
        r = cpuset_copy(&u->unbalanced, walk->online);
        if (r < 0)
                return r;
        cpuset_subtract(&u->unbalanced, &walk->balanced);
        u->valid = true;
        return 0;
}

static int renew(struct unbalanced *u, const struct cpuset *online)
{
        _cleanup_(walk_done) struct walk walk = {
                .u = u, .online = online, .all_watched = true, .top_balances = true};
        int r;

        u->valid = false;
        r = read_isolated(u, &walk.isolated);
        if (r < 0)
                return r;
        r = cpuset_copy(&u->isolated, &walk.isolated);
        if (r < 0)
                return r;
        r = walk_cpusets(&walk);
        return r < 0 ? r : keep(&walk);
}

void unbalanced_drain(struct unbalanced *u)
{
        _Alignas(struct inotify_event) char events[4096];
        ssize_t n;

        while ((n = read(u->inotify_fd, events, sizeof(events))) > 0)
                for (const char *p = events; p < events + n;) {
                        const struct inotify_event *event = (const void *)p;

                        if (event->mask != IN_IGNORED) /* the end of a watch */
                                u->valid = false;
                        p += sizeof(*event) + event->len;
                }
}

/* A write through another mount of the hierarchy (that of a container) is told to nobody, so what
 * is cheap to look at is looked at each time. Returns 1 or 0, or -ENOMEM. */
static int looks_changed(const struct unbalanced *u)
{
        _cleanup_cpuset_ struct cpuset isolated = {0};
        int top_fd = u->mounts->cpuset.fd, r;

        r = read_isolated(u, &isolated);
        if (r < 0)
                return r;
        return !cpuset_equal(&isolated, &u->isolated) ||
               (top_fd >= 0 && read_balance_flag(u, top_fd) != u->top_balances);
}

/* Walks over the cpusets if they may be other ones than at the last walk. */
static int refresh(struct unbalanced *u, const struct cpuset *online)
{
        int r;

        if (!u->all_watched || !cpuset_equal(&u->online, online))
                u->valid = false;
        if (u->valid) {
                r = looks_changed(u);
                if (r < 0)
                        return r;
                u->valid = r == 0;
        }
        return u->valid ? 0 : renew(u, online);
}

int unbalanced_read(struct unbalanced *u, const struct cpuset *schedstat_without_domains,
                    const struct cpuset *online, struct cpuset *ret)
{
        _cleanup_cpuset_ struct cpuset result = {0};
        const struct cpuset *unbalanced = schedstat_without_domains ?: &u->unbalanced;
        int r;

        unbalanced_drain(u);
        if (!schedstat_without_domains) {
                r = refresh(u, online);
                if (r < 0)
                        return r;
        }
        r = cpuset_copy(&result, unbalanced);
        if (r < 0)
                return r;
        cpuset_intersect(&result, online);
        *ret = TAKE_CPUSET(result);
        return 0;
}
