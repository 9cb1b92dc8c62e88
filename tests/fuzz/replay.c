/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Runs a fuzz target over inputs that are at hand: the files and folders given, or else the corpus
 * of the program's own name, which must not be empty. A finding ends the program by abort().
 */

#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "base/io.h"

/* Returns how many inputs there were, or a negative errno. */
static int replay_file(int dir_fd, const char *name)
{
        _cleanup_buffer_ struct buffer text = {0};
        _cleanup_free_ uint8_t *exact = NULL;
        int r;

        r = buffer_read_at(&text, dir_fd, name);
        if (r < 0)
                return r;
        exact = malloc(text.length ? text.length : 1);
        if (!exact)
                return -ENOMEM;
        if (text.length > 0)
                memcpy(exact, text.data, text.length);
        (void)LLVMFuzzerTestOneInput(exact, text.length);
        return 1;
}

static int replay_folder(const char *path)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        const struct dirent *entry;
        int n = 0;

        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                r = replay_file(dirfd(dir), entry->d_name);
                if (r < 0)
                        return r;
                n += r;
        }
        return n;
}

static int replay(const char *path)
{
        int n;

        n = replay_folder(path);
        if (n == -ENOTDIR)
                n = replay_file(AT_FDCWD, path);
        if (n <= 0)
                (void)fprintf(stderr, "%s: %s\n", path, n < 0 ? strerror(-n) : "no input there");
        else
                (void)printf("%s: %d inputs\n", path, n);
        return n;
}

/* tests/fuzz/fuzz-NAME has its corpus in tests/fuzz/corpus/NAME. */
static int replay_own_corpus(const char *program)
{
        const char *slash = strrchr(program, '/'), *top = getenv("top_srcdir");
        const char *name = slash ? slash + 1 : program;
        char path[4096];

        if (strncmp(name, "fuzz-", 5) == 0)
                name += 5;
        (void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top ? top : ".", name);
        return replay(path);
}

int main(int argc, char **argv)
{
        if (argc < 2)
                return replay_own_corpus(argv[0]) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        for (int i = 1; i < argc; i++)
                if (replay(argv[i]) <= 0)
                        return EXIT_FAILURE;
        return EXIT_SUCCESS;
}
