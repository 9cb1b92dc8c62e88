/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/arena.h"

#define ALIGNMENT ((size_t)16)

void *arena_take(struct arena *arena, size_t n, size_t size)
{
        size_t at = arena->used;

        arena->used += (n * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        return arena->block ? arena->block + at : NULL;
}
