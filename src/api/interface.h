/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The interfaces that the server has, as their own texts say (src/api/NAME.varlink). */

#include <stddef.h>

struct interface {
        const char *name;
        const char *text;
};

/* By name; behind the last a NULL. Made from the texts at build time. */
extern const struct interface interfaces[];

/* The interface whose name is the first LENGTH bytes of NAME, or NULL. */
const struct interface *interface_find(const char *name, size_t length);
