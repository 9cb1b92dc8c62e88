/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sets of CPU numbers, as wide as they need to be. The zero-initialised set is the empty set and
 * owns nothing; every other needs cpuset_done(). Two sets with the same members are equal,
 * whatever their widths.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"

/* Members are 0 <= cpu < CPUSET_MAX: the kernel's largest CONFIG_NR_CPUS is 8192. */
#define CPUSET_MAX 8192U

struct cpuset {
        uint64_t *words; /* little-endian by word: CPU n is bit n % 64 of words[n / 64] */
        unsigned n_words;
};

void cpuset_done(struct cpuset *set);
#define _cleanup_cpuset_ _cleanup_(cpuset_done)

/* Takes the members and the memory out of VARIABLE, which is the empty set from then on. */
#define TAKE_CPUSET(variable)                                                                      \
        ({                                                                                         \
                struct cpuset taken_ = (variable);                                                 \
                (variable) = (struct cpuset){0};                                                   \
                taken_;                                                                            \
        })

/* The following return 0, or -ENOMEM, or -ERANGE for a CPU of CPUSET_MAX or more; they leave SET as
 * it was when they fail. */
int cpuset_add(struct cpuset *set, unsigned cpu);
int cpuset_add_range(struct cpuset *set, unsigned first, unsigned last);
int cpuset_copy(struct cpuset *set, const struct cpuset *source);
int cpuset_unite(struct cpuset *set, const struct cpuset *other);
int cpuset_from_words(struct cpuset *set, const uint64_t *words, unsigned n_words);

void cpuset_remove(struct cpuset *set, unsigned cpu);
void cpuset_clear(struct cpuset *set); /* keeps its memory */
void cpuset_intersect(struct cpuset *set, const struct cpuset *other);
void cpuset_subtract(struct cpuset *set, const struct cpuset *other);

_pure_ bool cpuset_contains(const struct cpuset *set, unsigned cpu);
_pure_ bool cpuset_is_empty(const struct cpuset *set);
_pure_ bool cpuset_equal(const struct cpuset *a, const struct cpuset *b);
_pure_ bool cpuset_intersects(const struct cpuset *a, const struct cpuset *b);
_pure_ bool cpuset_is_subset(const struct cpuset *part, const struct cpuset *whole);
_pure_ unsigned cpuset_count(const struct cpuset *set);

/* The smallest member that is FROM or more, or -1. */
_pure_ int cpuset_next(const struct cpuset *set, unsigned from);

/* CPU must be an int. */
#define CPUSET_FOREACH(cpu, set)                                                                   \
        for ((cpu) = cpuset_next((set), 0); (cpu) >= 0; (cpu) = cpuset_next((set), (cpu) + 1U))

/*
 * Reads a list as /sys/devices/system/cpu/online and cpuset(7) "List format" have it: "0-3,8",
 * "0-15:2" (every second), "0-15:2/4" (the first two of every four). Surrounding white space is
 * skipped; empty text is the empty set. TEXT needs no final NUL. Returns 0, -ENOMEM, -ERANGE for a
 * CPU of CPUSET_MAX or more, or -EINVAL for any other fault.
 */
int cpuset_parse_list(const char *text, size_t length, struct cpuset *ret_set);

/*
 * Reads a mask as /proc/PID/status and /proc/schedstat have it: comma-separated groups of 32 bits
 * in hex, the highest first. Errors as for cpuset_parse_list().
 */
int cpuset_parse_mask(const char *text, size_t length, struct cpuset *ret_set);

/* Formats SET as a list ("0-3,8", "" if empty). Returns 0, or -ENOMEM. The caller frees. */
int cpuset_format_list(const struct cpuset *set, char **ret_text);
