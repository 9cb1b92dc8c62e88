/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/interface.h"

#include <string.h>

const struct interface *interface_find(const char *name, size_t length)
{
        for (const struct interface *i = interfaces; i->name; i++)
                if (strlen(i->name) == length && memcmp(i->name, name, length) == 0)
                        return i;
        return NULL;
}
