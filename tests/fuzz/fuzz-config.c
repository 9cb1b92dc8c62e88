/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A configuration: an input is the file, two drop-ins and one argument of --set, with a record
 * separator (byte 30) between them. What is accepted must be possible, and its canonical text must
 * say the same; what is refused must be told in a way that is fit to be shown.
 */

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "balancerd/configuration.h"
#include "balancerd/document.h"

#define SEPARATOR 30

static char folder[] = "/tmp/fuzz-config-XXXXXX";
static const char *const names[] = {
        CONFIG_FILE,
        CONFIG_FOLDER "/a.json",
        CONFIG_FOLDER "/b.json",
};

static char *path_of(const char *name)
{
        char *path;

        REQUIRE(asprintf(&path, "%s/%s", folder, name) > 0);
        return path;
}

static void remove_folder(void)
{
        _cleanup_free_ char *drop_ins = path_of(CONFIG_FOLDER);

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_free_ char *path = path_of(names[i]);

                (void)unlink(path);
        }
        (void)rmdir(drop_ins);
        (void)rmdir(folder);
}

static void make_folder(void)
{
        _cleanup_free_ char *drop_ins = NULL;
        static bool made;

        if (made)
                return;
        REQUIRE(mkdtemp(folder));
        drop_ins = path_of(CONFIG_FOLDER);
        REQUIRE(mkdir(drop_ins, 0700) == 0 && atexit(remove_folder) == 0);
        made = true;
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
        _cleanup_free_ char *path = path_of(name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
}

/* Takes what stands before the next separator. Returns its size. */
static size_t take_part(const uint8_t **data, size_t *size, const uint8_t **ret)
{
        const uint8_t *end = *size > 0 ? memchr(*data, SEPARATOR, *size) : NULL;
        size_t length = end ? (size_t)(end - *data) : *size;

        *ret = *data;
        *data += length + (end ? 1 : 0);
        *size -= length + (end ? 1 : 0);
        return length;
}

static bool is_shown(const char *text)
{
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        return false;
        return true;
}

static void examine_faults(const struct faults *faults)
{
        REQUIRE(faults->n <= FAULTS_MAX);
        for (size_t i = 0; i < faults->n; i++) {
                const struct fault *fault = &faults->all[i];
                _cleanup_free_ char *line = fault_format(fault);

                REQUIRE(*fault->file && is_shown(fault->file));
                REQUIRE(*fault->expected && is_shown(fault->expected));
                REQUIRE(!fault->pointer || is_shown(fault->pointer));
                REQUIRE(!fault->pointer || !*fault->pointer || *fault->pointer == '/');
                REQUIRE((fault->line > 0) == (fault->column > 0));
                REQUIRE(fault->line == 0 || !fault->pointer);
                REQUIRE(line && strlen(line) < 4096);
        }
}

/* As a document with nothing but this setting in it. */
static char *canonical(const struct settings *settings, const struct setting *setting)
{
        const char *quote =
                setting->kind == SETTING_BOOL || setting->kind == SETTING_NUMBER ? "" : "\"";
        const char *dot = strchr(setting->key, '.');
        char value[SETTING_TEXT_SIZE], *text;

        settings_get(settings, setting, value);
        if (dot)
                REQUIRE(asprintf(&text, "{\"%.*s\": {\"%s\": %s%s%s}}", (int)(dot - setting->key),
                                 setting->key, dot + 1, quote, value, quote) > 0);
        else
                REQUIRE(asprintf(&text, "{\"%s\": %s%s%s}", setting->key, quote, value, quote) > 0);
        return text;
}

static void examine_settings(const struct settings *settings)
{
        struct settings again;
        unsigned set_by[SETTINGS_COUNT] = {0};
        _cleanup_faults_ struct faults faults = {0};
        const struct document document = {"again", &again, set_by, 1, &faults};
        struct settings_conflict conflict;
        size_t cursor = 0;

        REQUIRE(!settings_next_conflict(settings, &cursor, &conflict));
        settings_init(&again);
        for (size_t i = 0; settings_at(i); i++) {
                _cleanup_free_ char *text = canonical(settings, settings_at(i));
                char is[SETTING_TEXT_SIZE], was[SETTING_TEXT_SIZE];

                REQUIRE(document_apply(&document, text, strlen(text)) == 0);
                REQUIRE(faults.n == 0 && set_by[i] == 1);
                REQUIRE(strcmp(settings_get(&again, settings_at(i), is),
                               settings_get(settings, settings_at(i), was)) == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_config_ struct config config = {0};
        struct config_source source = {.dir = folder};
        _cleanup_free_ char *set = NULL;
        const uint8_t *part;

        make_folder();
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                size_t length = take_part(&data, &size, &part);

                write_file(names[i], part, length);
        }
        set = strndup((const char *)data, size);
        REQUIRE(set);
        source.sets = &set;
        source.n_sets = size > 0;
        REQUIRE(config_load(&config, &source) == 0);
        REQUIRE(config.n_files == ARRAY_SIZE(names) && !config.files[config.n_files]);
        examine_faults(&config.faults);
        if (config.faults.n == 0)
                examine_settings(&config.settings);
        return 0;
}
