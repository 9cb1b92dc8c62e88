/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/thread.h"

#include <errno.h>
#include <limits.h>

#include "kernel/text.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

/* Fields of stat, by their numbers in the manual page. */
enum stat_field {
        STAT_PPID = 4, /* the first behind the name and the state */
        STAT_FLAGS = 9,
        STAT_NICE = 19,
        STAT_N_THREADS = 20,
        STAT_START_TICKS = 22,
        STAT_CPU = 39,
        STAT_RT_PRIORITY = 40,
        STAT_POLICY = 41,
        _STAT_MAX,
};

int thread_parse_counters(const char *text, size_t length, struct kernel_counters *ret)
{
        struct scanner s = {text, text + length}, line;
        struct kernel_counters counters;

        if (!text_line(&s, &line) || !scan_end(&s))
                return -EPROTO;
        if (!text_number(&line, &counters.run_nsec) || !text_number(&line, &counters.wait_nsec) ||
            !text_number(&line, &counters.n_slices) || !text_only_numbers(&line, 0))
                return -EPROTO;
        *ret = counters;
        return 0;
}

/* Takes "PID (NAME) ". All that follows the name are numbers and a letter, so its end is the last
 * parenthesis of the text. */
static bool take_name(struct scanner *s, struct scanner *ret_name)
{
        struct scanner head = *s;
        const char *close = s->end;
        uint64_t pid;

        do
                if (close == s->at)
                        return false;
        while (*--close != ')');
        head.end = close;
        if (!text_number(&head, &pid) || !scan_char(&head, '('))
                return false;
        if (memchr(head.at, '\0', (size_t)(head.end - head.at)))
                return false;
        s->at = close + 1;
        *ret_name = head;
        return scan_char(s, ' ');
}

/* Takes a number with an optional sign. Values that an int64_t cannot have become its largest: some
 * fields have them, none of those wanted here. */
static bool take_field(struct scanner *s, int64_t *ret)
{
        uint64_t magnitude;
        bool negative = scan_char(s, '-');

        if (!text_number(s, &magnitude))
                return false;
        *ret = (int64_t)MIN(magnitude, (uint64_t)INT64_MAX);
        if (negative)
                *ret = -*ret;
        return true;
}

static bool take_fields(struct scanner *s, int64_t fields[static _STAT_MAX])
{
        for (unsigned i = STAT_PPID; i < _STAT_MAX; i++)
                if (!take_field(s, &fields[i]))
                        return false;
        while (!scan_end(s)) {
                int64_t ignored;

                if (!take_field(s, &ignored))
                        return false;
        }
        return true;
}

static bool is_between(int64_t value, int64_t low, int64_t high)
{
        return value >= low && value <= high;
}

static bool is_plausible(const int64_t fields[static _STAT_MAX])
{
        return is_between(fields[STAT_PPID], 0, INT_MAX) &&
               is_between(fields[STAT_FLAGS], 0, UINT32_MAX) &&
               is_between(fields[STAT_NICE], -20, 19) &&
               is_between(fields[STAT_N_THREADS], 0, INT_MAX) &&
               is_between(fields[STAT_START_TICKS], 0, INT64_MAX - 1) &&
               is_between(fields[STAT_CPU], 0, CPUSET_MAX - 1) &&
               is_between(fields[STAT_RT_PRIORITY], 0, 99) &&
               is_between(fields[STAT_POLICY], 0, UINT8_MAX);
}

int thread_parse_stat(const char *text, size_t length, struct kernel_thread *ret)
{
        struct scanner s = {text, text + length}, name;
        int64_t fields[_STAT_MAX];
        char state;

        if (length == 0 || text[length - 1] != '\n')
                return -EPROTO;
        s.end--;
        if (!take_name(&s, &name) || scan_end(&s))
                return -EPROTO;
        state = *s.at++;
        if (!((state >= 'A' && state <= 'Z') || (state >= 'a' && state <= 'z')) ||
            !scan_char(&s, ' ') || !take_fields(&s, fields) || !is_plausible(fields))
                return -EPROTO;
        *ret = (struct kernel_thread){
                .state = state,
                .ppid = (pid_t)fields[STAT_PPID],
                .kernel_thread = fields[STAT_FLAGS] & PF_KTHREAD,
                .nice = (int)fields[STAT_NICE],
                .n_threads = (unsigned)fields[STAT_N_THREADS],
                .start_ticks = (uint64_t)fields[STAT_START_TICKS],
                .cpu = (unsigned)fields[STAT_CPU],
                .rt_priority = (unsigned)fields[STAT_RT_PRIORITY],
                .policy = (int)fields[STAT_POLICY],
        };
        memcpy(ret->comm, name.at, MIN((size_t)(name.end - name.at), sizeof(ret->comm) - 1));
        return 0;
}

/* Finds the line of a status file that begins with KEY; what follows KEY is taken off the text. No
 * name can fake a line: the kernel escapes line ends here. */
static bool find_line(struct scanner *rest, const char *key, struct scanner *ret_value)
{
        struct scanner line;

        while (text_line(rest, &line))
                if (scan_prefix(&line, key)) {
                        *ret_value = line;
                        return true;
                }
        return false;
}

static bool find_count(struct scanner *rest, const char *key, uint64_t *ret)
{
        struct scanner value;
        uint64_t count;

        if (!find_line(rest, key, &value))
                return false;
        scan_blank(&value);
        if (!scan_u64(&value, &count) || !scan_end(&value))
                return false;
        *ret = count;
        return true;
}

int thread_parse_switches(const char *text, size_t length, struct kernel_switches *ret)
{
        struct scanner rest = {text, text + length};
        struct kernel_switches switches;

        if (!find_count(&rest, "voluntary_ctxt_switches:", &switches.n_voluntary) ||
            !find_count(&rest, "nonvoluntary_ctxt_switches:", &switches.n_involuntary))
                return -EPROTO;
        *ret = switches;
        return 0;
}

int thread_parse_process(const char *text, size_t length, pid_t *ret_tgid)
{
        struct scanner rest = {text, text + length};
        uint64_t tgid;

        if (!find_count(&rest, "Tgid:", &tgid) || tgid == 0 || tgid > INT_MAX)
                return -EPROTO;
        *ret_tgid = (pid_t)tgid;
        return 0;
}

int thread_parse_allowed(const char *text, size_t length, struct cpuset *ret)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        struct scanner rest = {text, text + length}, value;
        int r;

        if (!find_line(&rest, "Cpus_allowed:", &value))
                return -EPROTO;
        r = cpuset_parse_mask(value.at, (size_t)(value.end - value.at), &set);
        if (r < 0)
                return r == -EINVAL ? -EPROTO : r;
        if (cpuset_is_empty(&set))
                return -EPROTO;
        *ret = TAKE_CPUSET(set);
        return 0;
}
