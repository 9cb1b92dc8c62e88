/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints the table of settings as JSON: what the parser knows, for tests of schema and manual. */

#include <jansson.h>

#include "base/macro.h"
#include "model/settings.h"

static const char *kind_name(enum setting_kind kind)
{
        switch (kind) {
        case SETTING_BOOL:
                return "bool";
        case SETTING_SPAN:
                return "span";
        case SETTING_SPAN_OR_OFF:
                return "off";
        case SETTING_SPAN_OR_INFINITY:
                return "infinity";
        case SETTING_NUMBER:
                return "number";
        case SETTING_WORD:
                return "word";
        }
        abort();
}

static json_t *words(const struct setting *setting)
{
        json_t *all = json_array();

        for (size_t i = 0; setting->words && setting->words[i]; i++)
                if (json_array_append_new(all, json_string(setting->words[i])) < 0)
                        abort();
        return all;
}

static json_t *describe(const struct setting *setting, const struct settings *defaults)
{
        char value[SETTING_TEXT_SIZE];

        return json_pack("{s:s, s:s, s:I, s:I, s:o, s:s, s:s}", "key", setting->key, "kind",
                         kind_name(setting->kind), "min", (json_int_t)setting->min, "max",
                         (json_int_t)setting->max, "words", words(setting), "expected",
                         setting->expected, "default", settings_get(defaults, setting, value));
}

int main(void)
{
        json_auto_t *table = json_array();
        struct settings defaults;

        settings_init(&defaults);
        for (size_t i = 0; settings_at(i); i++)
                if (json_array_append_new(table, describe(settings_at(i), &defaults)) < 0)
                        return EXIT_FAILURE;
        if (json_dumpf(table, stdout, JSON_INDENT(2)) < 0)
                return EXIT_FAILURE;
        puts("");
        return EXIT_SUCCESS;
}
