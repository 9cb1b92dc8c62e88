/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One block of memory for all arrays of a plan. A layout function takes its arrays from an arena;
 * it is called twice: with an arena that has no block, to learn the size, and with one that has.
 * So nothing can fail between the two, and a block that is large enough is used again.
 */

#include <stddef.h>

#include "base/macro.h"

struct arena {
        char *block; /* NULL: only measuring */
        size_t used;
};

/* Space for N objects of SIZE bytes, or NULL while measuring. Not cleared. */
void *arena_take(struct arena *arena, size_t n, size_t size);

#define ARENA_TAKE(arena, pointer, n)                                                              \
        ((pointer) = (__typeof__(pointer))arena_take((arena), (n), sizeof(*(pointer))))
