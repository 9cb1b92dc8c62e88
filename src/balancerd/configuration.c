/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/configuration.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "balancerd/document.h"
#include "base/escape.h"
#include "base/steady.h"

void config_done(struct config *config)
{
        for (size_t i = 0; i < config->n_files; i++)
                free(config->files[i]);
        free(config->files);
        faults_done(&config->faults);
        *config = (struct config){0};
}

/* PATH as it is told; NULL: no memory. */
static char *shown_path(const char *dir, const char *path)
{
        _cleanup_free_ char *whole = NULL, *shown = NULL;

        if (asprintf(&whole, "%s%s%s", dir, path ? "/" : "", path ? path : "") < 0) {
                whole = NULL; /* asprintf(3) leaves it undefined */
                return NULL;
        }
        shown = malloc(ESCAPED_SIZE(strlen(whole)));
        return shown ? escape_line(whole, strlen(whole), TAKE_PTR(shown)) : NULL;
}

/* Takes over SHOWN, whatever it returns. */
static int add_file(struct config *config, char *shown)
{
        char **files = reallocarray(config->files, config->n_files + 2, sizeof(*files));

        if (!files) {
                free(shown);
                return -ENOMEM;
        }
        config->files = files;
        files[config->n_files++] = shown;
        files[config->n_files] = NULL;
        return 0;
}

/* FOLDER: what could not be read is one. */
static int note_unreadable(struct config *config, const char *file, int error, bool folder)
{
        const struct fault_place place = {.file = file};
        const char *kind = folder ? "folder" : "file";

        if (error == -ENOMEM)
                return error;
        if (error == -ENOTSUP || error == -ENOTDIR)
                return faults_add(&config->faults, &place, "a %s%s", folder ? "" : "regular ",
                                  kind);
        if (error == -EFBIG)
                return faults_add(&config->faults, &place, "a file of at most 1 MiB");
        if (error == -ESTALE)
                return faults_add(&config->faults, &place,
                                  "a file that does not change while it is read");
        return faults_add(&config->faults, &place, "a %s that can be read: %s", kind,
                          strerrordesc_np(-error));
}

static int apply(struct config *config, const struct steady *file)
{
        const struct document document = {
                .file = config->files[config->n_files - 1],
                .settings = &config->settings,
                .set_by = config->set_by,
                .mark = (unsigned)config->n_files,
                .faults = &config->faults,
        };

        return document_apply(&document, file->text, file->length);
}

/* The file was opened, or could not be: then R says why. */
static int read_and_apply(struct config *config, struct steady *file, int r)
{
        if (r == 0)
                r = steady_read(file);
        if (r == 0)
                r = steady_confirm(file);
        if (r < 0)
                return note_unreadable(config, config->files[config->n_files - 1], r, false);
        return apply(config, file);
}

/* Why the file could not be opened. LISTED: it was seen in its folder. Returns ERROR, which is that
 * of opening it, or 0 for one that there is not. */
static int judge(int dir_fd, const char *path, bool listed, int error)
{
        struct stat link;

        if (error != -ENOENT || fstatat(dir_fd, path, &link, AT_SYMLINK_NOFOLLOW) == 0)
                return error; /* a link to nothing is one that somebody has made */
        return listed ? -ESTALE : 0;
}

static int load_file(struct config *config, int dir_fd, const char *dir, const char *path,
                     bool listed)
{
        _cleanup_steady_ struct steady file = {.fd = -EBADF};
        char *shown;
        int opened, r;

        opened = steady_open(&file, dir_fd, path, CONFIG_FILE_MAX);
        if (opened < 0) {
                opened = judge(dir_fd, path, listed, opened);
                if (opened == 0)
                        return 0;
        }
        shown = shown_path(dir, path);
        if (!shown)
                return -ENOMEM;
        r = add_file(config, shown);
        return r < 0 ? r : read_and_apply(config, &file, opened);
}

/* Editors leave files of other names behind. */
static int is_drop_in(const struct dirent *entry)
{
        static const char suffix[] = ".json";
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > strlen(suffix) &&
               streq(entry->d_name + length - strlen(suffix), suffix);
}

/* alphasort(3) goes by the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_drop_ins(struct config *config, int dir_fd, const char *dir,
                         struct dirent **entries, int n)
{
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (asprintf(&path, CONFIG_FOLDER "/%s", entries[i]->d_name) < 0) {
                        path = NULL; /* asprintf(3) leaves it undefined */
                        return -ENOMEM;
                }
                r = load_file(config, dir_fd, dir, path, true);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int note_folder(struct config *config, const char *dir, const char *path, int error)
{
        _cleanup_free_ char *shown = shown_path(dir, path);

        return shown ? note_unreadable(config, shown, error, true) : -ENOMEM;
}

static int load_folder(struct config *config, int dir_fd, const char *dir)
{
        struct dirent **entries = NULL;
        int n, r;

        n = scandirat(dir_fd, CONFIG_FOLDER, &entries, is_drop_in, compare_names);
        if (n < 0)
                return errno == ENOENT ? 0 : note_folder(config, dir, CONFIG_FOLDER, -errno);
        r = load_drop_ins(config, dir_fd, dir, entries, n);
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
        return r;
}

static int load_files(struct config *config, const struct config_source *source)
{
        const char *dir = source->dir;
        _cleanup_close_ int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (dir_fd < 0)
                return errno == ENOENT && !source->must_exist
                               ? 0
                               : note_folder(config, dir, NULL, -errno);
        r = load_file(config, dir_fd, dir, CONFIG_FILE, false);
        return r < 0 ? r : load_folder(config, dir_fd, dir);
}

static int note_argument(struct faults *faults, const char *argument, const char *expected)
{
        _cleanup_free_ char *shown = NULL, *name = NULL;

        shown = malloc(ESCAPED_SIZE(strlen(argument)));
        if (!shown)
                return -ENOMEM;
        escape_line(argument, strlen(argument), shown);
        if (asprintf(&name, "--set %s", shown) < 0) {
                name = NULL; /* asprintf(3) leaves it undefined */
                return -ENOMEM;
        }
        return faults_add(faults, &(struct fault_place){.file = name}, "%s", expected);
}

int config_set(struct settings *settings, const char *argument, struct faults *faults,
               const struct setting **ret_setting)
{
        const char *value = strchr(argument, '='), *expected = "KEY=VALUE";
        _cleanup_free_ char *key = NULL;
        int r = -EINVAL;

        if (value) {
                key = strndup(argument, (size_t)(value - argument));
                if (!key)
                        return -ENOMEM;
                expected = "a key of balancerd.json(5) before the \"=\"";
                r = settings_set(settings, key, value + 1, &expected);
        }
        if (ret_setting)
                *ret_setting = r == 0 ? settings_find(key) : NULL;
        return r == 0 ? 0 : note_argument(faults, argument, expected);
}

static int apply_arguments(struct config *config, const struct config_source *source)
{
        for (size_t i = 0; i < source->n_sets; i++) {
                const struct setting *setting;
                int r = config_set(&config->settings, source->sets[i], &config->faults, &setting);

                if (r < 0)
                        return r;
                if (setting)
                        config->set_by[settings_index(setting)] = SET_BY_ARGUMENT;
        }
        return 0;
}

/* The fault is that of the one that was set last. */
static int note_conflict(struct config *config, const struct settings_conflict *conflict)
{
        unsigned lesser_by = config->set_by[settings_index(conflict->lesser)];
        unsigned greater_by = config->set_by[settings_index(conflict->greater)];
        bool lesser_last = lesser_by > greater_by;
        const struct setting *last = lesser_last ? conflict->lesser : conflict->greater;
        const struct setting *other = lesser_last ? conflict->greater : conflict->lesser;
        unsigned by = MAX(lesser_by, greater_by);
        char pointer[POINTER_SIZE], value[SETTING_TEXT_SIZE];
        const struct fault_place place = {
                .file = by == SET_BY_ARGUMENT ? "--set" : config->files[by - 1],
                .pointer = document_pointer(last, pointer),
        };

        return faults_add(&config->faults, &place, "at %s %s, which is %s",
                          lesser_last ? "most" : "least", other->key,
                          settings_get(&config->settings, other, value));
}

/* Of values that are not all known nothing can be said. */
static int check_conflicts(struct config *config)
{
        struct settings_conflict conflict;
        size_t cursor = 0;

        if (config->faults.n > 0)
                return 0;
        while (settings_next_conflict(&config->settings, &cursor, &conflict)) {
                int r = note_conflict(config, &conflict);

                if (r < 0)
                        return r;
        }
        return 0;
}

int config_load(struct config *ret, const struct config_source *source)
{
        struct config config = {0};
        int r;

        settings_init(&config.settings);
        config.files = calloc(1, sizeof(*config.files));
        if (!config.files)
                return -ENOMEM;
        r = load_files(&config, source);
        if (r == 0)
                r = apply_arguments(&config, source);
        if (r == 0)
                r = check_conflicts(&config);
        if (r < 0) {
                config_done(&config);
                return r;
        }
        *ret = config;
        return 0;
}

const struct setting *config_next_without_effect(const struct config *config, size_t *cursor)
{
        const struct setting *setting;

        while ((setting = settings_at(*cursor)))
                if (config->set_by[(*cursor)++] && setting->without_effect)
                        return setting;
        return NULL;
}

static bool print_change(FILE *out, const struct setting *setting, const struct settings *before,
                         const struct settings *after, bool first)
{
        char from[SETTING_TEXT_SIZE], to[SETTING_TEXT_SIZE];

        if (streq(settings_get(before, setting, from), settings_get(after, setting, to)))
                return false;
        fprintf(out, "%s%s %s -> %s", first ? "" : ", ", setting->key, from, to);
        return true;
}

char *config_format_changes(const struct settings *before, const struct settings *after)
{
        bool first = true, failed;
        char *text = NULL;
        size_t size;
        FILE *out;

        out = open_memstream(&text, &size);
        if (!out)
                return NULL;
        for (size_t i = 0; settings_at(i); i++)
                if (print_change(out, settings_at(i), before, after, first))
                        first = false;
        failed = ferror(out);
        if (fclose(out) == 0 && !failed)
                return text;
        free(text);
        return NULL;
}
