/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which of the kernel's sources are there. Each that is missing is named once, with what is lost.
 */

#include <stdbool.h>

#include "kernel/kernel.h"
#include "model/notice.h"

struct sources {
        bool missing[_KERNEL_SOURCE_MAX];
        void (*on_notice)(const struct notice *notice, void *userdata); /* may be NULL */
        void *userdata;
};

/* Notes those sources that are missing and without which reads go on in silence, and where threads
 * are to be moved (MOVES) whether all may be. Before the first thread is started: hwloc uses the
 * environment. */
void sources_probe(struct sources *sources, struct kernel *kernel, bool moves);

/* Looks whether SOURCE, one of those that can be probed, is there (again); notes it where it is
 * not. Returns 0 or a negative errno. */
int sources_look(struct sources *sources, struct kernel *kernel, enum kernel_source source);

/* Notes that SOURCE failed with ERROR (a negative errno), and tells of it unless that was done. */
void sources_note(struct sources *sources, enum kernel_source source, int error);
