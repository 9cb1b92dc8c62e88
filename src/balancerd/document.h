/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One JSON document of the configuration: from its text to settings. It is read strictly: no key
 * twice, none that there is not, no value of another type. Knows no files.
 */

#include <stddef.h>

#include "balancerd/fault.h"
#include "model/settings.h"

/* What a document writes to. */
struct document {
        const char *file; /* its name, as faults are to tell it */
        struct settings *settings;
        /* Which settings it has set, at the places of settings_at(), gets MARK. */
        unsigned *set_by; /* SETTINGS_COUNT */
        unsigned mark;
        struct faults *faults;
};

/* Sets what the document's TEXT says, and notes all that is wrong with it: then the settings are of
 * no use. Returns 0 or -ENOMEM. */
int document_apply(const struct document *document, const char *text, size_t length);

/* The pointer to a setting: "/balance/tick". */
#define POINTER_SIZE 64
char *document_pointer(const struct setting *setting, char ret[static POINTER_SIZE]);
