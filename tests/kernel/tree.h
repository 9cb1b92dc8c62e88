/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A folder tree under /tmp that stands for /proc, /sys and others. Failures end the test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macro.h"

struct tree {
        char path[64];
        int fd;
};

static inline void tree_init(struct tree *tree)
{
        (void)snprintf(tree->path, sizeof(tree->path), "/tmp/balancerd-test-XXXXXX");
        assert_non_null(mkdtemp(tree->path));
        tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree->fd >= 0);
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *ftw)
{
        (void)st, (void)type, (void)ftw;
        return remove(path);
}

static inline void tree_done(struct tree *tree)
{
        close(tree->fd);
        (void)nftw(tree->path, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes LENGTH bytes to the file PATH, whose folders it makes. A file that is there keeps its
 * descriptors. */
static inline void tree_write_bytes(const struct tree *tree, const char *path, const char *data,
                                    size_t length)
{
        _cleanup_close_ int fd = -1;
        char folder[512];

        for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
                (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
                if (mkdirat(tree->fd, folder, 0700) < 0)
                        assert_int_equal(errno, EEXIST);
        }
        fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, length), length);
}

static inline void tree_write(const struct tree *tree, const char *path, const char *text)
{
        tree_write_bytes(tree, path, text, strlen(text));
}

/* The same for cmocka: a tree that lasts for one test, in its state. */
static inline int tree_setup(void **state)
{
        struct tree *tree = malloc(sizeof(*tree));

        assert_non_null(tree);
        tree_init(tree);
        *state = tree;
        return 0;
}

static inline int tree_teardown(void **state)
{
        tree_done(*state);
        free(*state);
        return 0;
}

/* Makes the folder PATH and those above it. */
static inline void tree_mkdir(const struct tree *tree, const char *path)
{
        char inside[512];

        (void)snprintf(inside, sizeof(inside), "%s/.made", path);
        tree_write(tree, inside, "");
        assert_int_equal(unlinkat(tree->fd, inside, 0), 0);
}

/* Removes a file or an empty folder. */
static inline void tree_remove(const struct tree *tree, const char *path)
{
        if (unlinkat(tree->fd, path, 0) < 0)
                assert_int_equal(unlinkat(tree->fd, path, AT_REMOVEDIR), 0);
}

/* Opens a folder; the caller closes it. */
static inline int tree_open(const struct tree *tree, const char *path)
{
        int fd = openat(tree->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                fail_msg("cannot open %s", path);
        return fd;
}
