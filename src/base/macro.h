/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Small helpers that every floor uses: cleanup attributes, ownership transfer, array and range
 * arithmetic. Nothing here allocates or calls the system, closing and freeing apart.
 */

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(function)   __attribute__((cleanup(function)))
#define _printf_(text, first) __attribute__((format(printf, text, first)))
#define _const_               __attribute__((const))
#define _pure_                __attribute__((pure))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Takes the pointer out of VARIABLE, which no longer owns it. */
#define TAKE_PTR(variable)                                                                         \
        ({                                                                                         \
                __typeof__(variable) taken_ = (variable);                                          \
                (variable) = NULL;                                                                 \
                taken_;                                                                            \
        })

/* The same for a descriptor; an empty one is -1 (or any negative number). */
#define TAKE_FD(variable)                                                                          \
        ({                                                                                         \
                int taken_ = (variable);                                                           \
                (variable) = -1;                                                                   \
                taken_;                                                                            \
        })

#define CONTAINER_OF(pointer, type, member)                                                        \
        ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define MIN(a, b)                                                                                  \
        ({                                                                                         \
                __typeof__(a) a_ = (a);                                                            \
                __typeof__(b) b_ = (b);                                                            \
                a_ < b_ ? a_ : b_;                                                                 \
        })
#define MAX(a, b)                                                                                  \
        ({                                                                                         \
                __typeof__(a) a_ = (a);                                                            \
                __typeof__(b) b_ = (b);                                                            \
                a_ > b_ ? a_ : b_;                                                                 \
        })

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

static inline void freep(void *pointer)
{
        free(*(void **)pointer);
}

static inline void closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static inline void fclosep(FILE **file)
{
        if (*file)
                fclose(*file);
}

static inline void closedirp(DIR **dir)
{
        if (*dir)
                closedir(*dir);
}

#define _cleanup_free_     _cleanup_(freep)
#define _cleanup_close_    _cleanup_(closep)
#define _cleanup_fclose_   _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)
