/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/document.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "base/escape.h"
#include "base/parse.h"

/* Longer than any key of the table. */
#define KEY_SIZE 64
/* Longer names are told in part. */
#define NAME_SHOWN 128U
/* All names of a section, or all sections. */
#define NAMES_SIZE 512

#define SCHEMA_KEY "$schema"

static struct fault_place place(const struct document *d, const char *pointer)
{
        return (struct fault_place){.file = d->file, .pointer = pointer};
}

/* A member's name as a reference token (RFC 6901, section 3). */
static size_t escape_reference(const char *name, char ret[static 2 * NAME_SHOWN])
{
        size_t length = 0;

        for (size_t i = 0; i < NAME_SHOWN && name[i] != '\0'; i++) {
                bool escaped = name[i] == '~' || name[i] == '/';

                ret[length++] = escaped ? '~' : name[i];
                if (escaped)
                        ret[length++] = name[i] == '~' ? '0' : '1';
        }
        return length;
}

/* The pointer to the member NAME of SECTION (NULL: of the document itself); NULL: no memory. */
static char *member_pointer(const char *section, const char *name)
{
        char reference[2 * NAME_SHOWN], shown[ESCAPED_SIZE(2 * NAME_SHOWN)];
        char *pointer;

        escape_line(reference, escape_reference(name, reference), shown);
        if (asprintf(&pointer, "%s%s/%s%s", section ? "/" : "", section ? section : "", shown,
                     strlen(name) > NAME_SHOWN ? "..." : "") < 0)
                return NULL;
        return pointer;
}

char *document_pointer(const struct setting *setting, char ret[static POINTER_SIZE])
{
        (void)snprintf(ret, POINTER_SIZE, "/%s", setting->key);
        for (char *c = ret; *c; c++)
                if (*c == '.')
                        *c = '/';
        return ret;
}

/* The length of the section's name, "balance" in "balance.tick"; 0: the key is in none. */
static size_t section_length(const char *key)
{
        const char *dot = strchr(key, '.');

        return dot ? (size_t)(dot - key) : 0;
}

static bool is_in_section(const struct setting *setting, const char *section)
{
        size_t length = section_length(setting->key);

        return length > 0 && strlen(section) == length &&
               memcmp(setting->key, section, length) == 0;
}

static bool is_section(const char *name)
{
        for (size_t i = 0; settings_at(i); i++)
                if (is_in_section(settings_at(i), name))
                        return true;
        return false;
}

/* The setting that is the member NAME of SECTION (NULL: of the document itself), or NULL. */
static const struct setting *find_member(const char *section, const char *name)
{
        char key[KEY_SIZE];

        if (strchr(name, '.'))
                return NULL;
        if (!section)
                return settings_find(name);
        if (snprintf(key, sizeof(key), "%s.%s", section, name) >= (int)sizeof(key))
                return NULL;
        return settings_find(key);
}

/* The name that the I-th setting has within SECTION, or, for NULL, that it or its section has in
 * the document itself, a section once. Returns its length; 0: it has none. */
static size_t member_name(size_t i, const char *section, const char **ret)
{
        const char *key = settings_at(i)->key;
        size_t length = section_length(key);

        if (section) {
                *ret = key + length + 1;
                return is_in_section(settings_at(i), section) ? strlen(*ret) : 0;
        }
        *ret = key;
        if (length == 0)
                return strlen(key);
        return i > 0 && strncmp(settings_at(i - 1)->key, key, length + 1) == 0 ? 0 : length;
}

static void list_names(const char *section, char ret[static NAMES_SIZE])
{
        size_t end = 0;

        ret[0] = '\0';
        for (size_t i = 0; settings_at(i); i++) {
                const char *name;
                size_t length = member_name(i, section, &name);

                if (length > 0 && end < NAMES_SIZE)
                        end += (size_t)snprintf(ret + end, NAMES_SIZE - end, "%s%.*s",
                                                end > 0 ? ", " : "", (int)length, name);
        }
}

static bool is_quoted(const struct setting *setting)
{
        switch (setting->kind) {
        case SETTING_BOOL:
        case SETTING_NUMBER:
                return false;
        case SETTING_SPAN:
        case SETTING_SPAN_OR_OFF:
        case SETTING_SPAN_OR_INFINITY:
        case SETTING_WORD:
                return true;
        }
        abort();
}

/* The value as settings_set() reads it, in NUMBER or the value's own text; NULL: it is of another
 * type than the setting. */
static const char *value_text(const struct setting *setting, const json_t *value,
                              char number[static 32])
{
        if (is_quoted(setting))
                return json_string_value(value);
        if (setting->kind == SETTING_BOOL && json_is_boolean(value))
                return json_is_true(value) ? "true" : "false";
        if (setting->kind != SETTING_NUMBER || !json_is_integer(value))
                return NULL;
        (void)snprintf(number, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return number;
}

/* What the value's JSON should have looked like, where that is the fault. */
static const char *type_hint(const struct setting *setting, const json_t *value)
{
        if (is_quoted(setting))
                return json_is_string(value) ? "" : ", in quotes";
        return json_is_string(value) ? ", without quotes" : "";
}

static int apply_setting(const struct document *d, const char *pointer,
                         const struct setting *setting, const json_t *value)
{
        const struct fault_place at = place(d, pointer);
        char number[32];
        const char *text = value_text(setting, value, number), *expected = setting->expected;
        int r = -EINVAL;

        if (text)
                r = settings_set(d->settings, setting->key, text, &expected);
        if (r < 0)
                return faults_add(d->faults, &at, "%s%s", expected, type_hint(setting, value));
        d->set_by[settings_index(setting)] = d->mark;
        return 0;
}

static int note_unknown(const struct document *d, const char *pointer, const char *section)
{
        const struct fault_place at = place(d, pointer);
        char names[NAMES_SIZE];

        list_names(section, names);
        return faults_add(d->faults, &at, "one of %s%s", section ? "" : SCHEMA_KEY ", ", names);
}

static int apply_section(const struct document *d, const char *section, json_t *object);

static int apply_member(const struct document *d, const char *section, const char *name,
                        json_t *value)
{
        const struct setting *setting = find_member(section, name);
        _cleanup_free_ char *pointer = member_pointer(section, name);
        const struct fault_place at = place(d, pointer);

        if (!pointer)
                return -ENOMEM;
        if (setting)
                return apply_setting(d, pointer, setting, value);
        if (!section && streq(name, SCHEMA_KEY))
                return json_is_string(value)
                               ? 0
                               : faults_add(d->faults, &at, "the schema's address, in quotes");
        if (section || !is_section(name))
                return note_unknown(d, pointer, section);
        if (!json_is_object(value))
                return faults_add(d->faults, &at, "an object");
        return apply_section(d, name, value);
}

/* SECTION: NULL: the document itself. */
static int apply_section(const struct document *d, const char *section, json_t *object)
{
        const char *name;
        json_t *value;

        json_object_foreach(object, name, value)
        {
                int r = apply_member(d, section, name, value);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* What was expected where jansson stopped: its own words, unless others say more. */
static int note_text(const struct document *d, const struct fault_place *at,
                     enum json_error_code code, const char *text)
{
        static const struct {
                enum json_error_code code;
                const char *expected;
        } all[] = {
                {json_error_premature_end_of_input, "more: the file is cut short"},
                {json_error_end_of_input_expected, "nothing more"},
                {json_error_stack_overflow, "fewer levels of nesting"},
                {json_error_null_character, "no NUL (\\u0000) within a string"},
                {json_error_null_byte_in_key, "no NUL (\\u0000) within a key"},
                {json_error_duplicate_key, "each key once"},
                {json_error_numeric_overflow, "a number that is not as large"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i].code == code)
                        return faults_add(d->faults, at, "%s", all[i].expected);
        return faults_add(d->faults, at, "%s: %s",
                          code == json_error_invalid_utf8 ? "UTF-8" : "valid JSON", text);
}

static int note_syntax(const struct document *d, const json_error_t *error)
{
        const struct fault_place at = {
                .file = d->file,
                .line = (unsigned)MAX(error->line, 1),
                .column = (unsigned)MAX(error->column, 1),
        };
        char text[ESCAPED_SIZE(sizeof(error->text))];

        if (json_error_code(error) == json_error_out_of_memory)
                return -ENOMEM;
        escape_line(error->text, sizeof(error->text), text);
        return note_text(d, &at, json_error_code(error), text);
}

int document_apply(const struct document *d, const char *text, size_t length)
{
        const struct fault_place whole = place(d, "");
        struct scanner left = {text, text + length};
        json_auto_t *root = NULL;
        json_error_t error;

        scan_space(&left);
        if (scan_end(&left))
                return faults_add(d->faults, &whole, "a JSON object; the file is empty");
        root = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
        if (!root)
                return note_syntax(d, &error);
        if (!json_is_object(root))
                return faults_add(d->faults, &whole, "an object");
        return apply_section(d, NULL, root);
}
