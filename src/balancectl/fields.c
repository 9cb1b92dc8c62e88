/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancectl/fields.h"

#include <errno.h>

#include "base/escape.h"
#include "base/macro.h"

const char *field_text(const json_t *object, const char *key, const char *otherwise)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : otherwise;
}

bool field_flag(const json_t *object, const char *key)
{
        return json_is_true(json_object_get(object, key));
}

bool field_integer(const json_t *object, const char *key, int64_t *ret)
{
        const json_t *value = json_object_get(object, key);

        if (!json_is_integer(value))
                return false;
        *ret = json_integer_value(value);
        return true;
}

bool field_number(const json_t *object, const char *key, double *ret)
{
        const json_t *value = json_object_get(object, key);

        if (!json_is_number(value))
                return false;
        *ret = json_number_value(value);
        return true;
}

bool field_span(const json_t *object, const char *key, nsec_t *ret)
{
        int64_t usec;

        if (!field_integer(object, key, &usec) || usec < 0)
                return false;
        if (__builtin_mul_overflow((nsec_t)usec, NSEC_PER_USEC, ret))
                *ret = NSEC_INFINITY;
        return true;
}

static int make_text_printable(json_t *value)
{
        const char *text = json_string_value(value);
        size_t length = strlen(text);
        _cleanup_free_ char *printable = NULL;

        printable = malloc(ESCAPED_SIZE(length));
        if (!printable)
                return -ENOMEM;
        return json_string_set(value, escape_again(text, length, printable)) < 0 ? -ENOMEM : 0;
}

/* jansson reads nothing that is nested deeper than 2048 levels. */
int make_printable(json_t *value)
{
        const char *key;
        json_t *part;

        if (json_is_string(value))
                return make_text_printable(value);
        for (size_t i = 0; i < json_array_size(value); i++)
                if (make_printable(json_array_get(value, i)) < 0)
                        return -ENOMEM;
        json_object_foreach(value, key, part)
        {
                if (make_printable(part) < 0)
                        return -ENOMEM;
        }
        return 0;
}
