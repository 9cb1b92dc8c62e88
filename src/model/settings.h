/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an administrator can choose, with defaults that need no choice. One table drives the command
 * line, the configuration file and the tests of schema and manual. Knows no file and no JSON.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

enum across_nodes {
        ACROSS_NODES_NEVER,
        ACROSS_NODES_STUCK,  /* only a thread that keeps waiting */
        ACROSS_NODES_ALWAYS, /* as within a node, at the price of the colder cache */
};

/* Whose threads make room for a window. */
enum push_victims {
        PUSH_VICTIMS_SAME_USER,
        PUSH_VICTIMS_ANY,
};

/* Whose threads a caller without privilege sees. */
enum observe {
        OBSERVE_OWN,
        OBSERVE_ALL,
};

struct settings {
        struct {
                bool unbalanced;    /* balance the CPUs that the kernel leaves alone */
                bool stuck_threads; /* move stuck threads on CPUs that the kernel balances */
                nsec_t rotate;      /* one rotation a CPU pair in this time; NSEC_INFINITY: never */
                enum across_nodes across_nodes;
                bool realtime;     /* SCHED_FIFO and SCHED_RR threads may be moved too */
                nsec_t tick;       /* between samples while threads wait on unbalanced CPUs */
                nsec_t quiet_tick; /* between samples when nothing waits */
        } balance;
        struct {
                bool enabled;
                enum push_victims victims;
                bool realtime; /* SCHED_FIFO and SCHED_RR threads may be victims */
        } push;
        struct {
                nsec_t default_length;         /* where the caller names none */
                nsec_t max_length;             /* of callers without privilege */
                nsec_t library_max_length;     /* of windows that the library opens */
                nsec_t privileged_max_length;  /* NSEC_INFINITY: no bound */
                unsigned per_user, per_cpu;    /* windows at one time */
                unsigned connections_per_user; /* to the socket */
                unsigned housekeeping_cpus;    /* so many CPUs are kept free of windows */
        } windows;
        enum observe observe;
        bool taskstats; /* ask taskstats for the switch counts of candidates */
};

void settings_init(struct settings *settings);

enum setting_kind {
        SETTING_BOOL,
        SETTING_SPAN,
        SETTING_SPAN_OR_OFF,      /* "off" is NSEC_INFINITY */
        SETTING_SPAN_OR_INFINITY, /* "infinity" is NSEC_INFINITY */
        SETTING_NUMBER,
        SETTING_WORD,
};

/* One choice. */
struct setting {
        const char *key; /* "balance.tick": the path through the file's objects */
        enum setting_kind kind;
        size_t offset;            /* of its field in struct settings */
        uint64_t min, max;        /* of numbers, and of spans in nanoseconds */
        const char *const *words; /* in the order of the enumeration, NULL at the end */
        const char *expected; /* in words: "off, or a time with its unit, such as 1s, from ..." */
        bool without_effect;  /* it is read and checked; nothing goes by it yet */
};

/* How many there are. */
#define SETTINGS_COUNT 20U

/* The setting at place I in the order of the manual, or NULL past the last. */
const struct setting *settings_at(size_t i);

/* The place of SETTING. */
size_t settings_index(const struct setting *setting);

/* NULL: there is none of that name. */
const struct setting *settings_find(const char *key);

/*
 * Sets what KEY names ("balance.tick") to what VALUE says ("20ms"). Returns 0, -ENOENT for a key
 * that there is not, -EINVAL for a value that is not of the key's kind, -ERANGE for one outside its
 * range; on -EINVAL and -ERANGE *ret_expected says what was expected (static text).
 */
int settings_set(struct settings *settings, const char *key, const char *value,
                 const char **ret_expected);

/* The room for the longest value that settings_get() writes, final NUL included. */
#define SETTING_TEXT_SIZE 24

/* Writes the value as text that settings_set() reads as the same value. Returns RET. */
char *settings_get(const struct settings *settings, const struct setting *setting,
                   char ret[static SETTING_TEXT_SIZE]);

/* Two settings that do not go together: the first may not be greater than the second, and is. */
struct settings_conflict {
        const struct setting *lesser, *greater;
};

/* Finds impossible combinations: the first that there is from *CURSOR (at first 0) on, which moves
 * past it. Returns false when there are no more. */
bool settings_next_conflict(const struct settings *settings, size_t *cursor,
                            struct settings_conflict *ret);
