/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/schedstat.h"

#include <errno.h>

#include "base/cpuset.h"
#include "kernel/text.h"

#define VERSION_OLDEST 14U
#define VERSION_NEWEST 17U

/* Where a CPU's line has its run_delay, counted from 1, and how many numbers it has. */
struct cpu_layout {
        unsigned run_delay, numbers;
};

static const struct cpu_layout layout_14 = {.run_delay = 11, .numbers = 12};
static const struct cpu_layout layout_15 = {.run_delay = 8, .numbers = 9};

/* Versions 14 to 16 have three groups of 8 and a tail of 12; version 17 has more. */
#define DOMAIN_NUMBERS_LEAST 36U

int schedstat_begin(struct schedstat_reader *reader, const char *text, size_t length)
{
        struct scanner rest = {text, text + length}, line;
        uint64_t version, timestamp;

        if (!text_line(&rest, &line) || !scan_prefix(&line, "version ") ||
            !text_number(&line, &version) || !scan_end(&line) || version < VERSION_OLDEST)
                return -EPROTO;
        if (!text_line(&rest, &line) || !scan_prefix(&line, "timestamp ") ||
            !text_number(&line, &timestamp) || !scan_end(&line))
                return -EPROTO;
        *reader = (struct schedstat_reader){.rest = rest, .version = version, .last_cpu = -1};
        return 0;
}

static bool parse_cpu_line(const struct schedstat_reader *reader, struct scanner line,
                           struct schedstat_cpu *ret)
{
        const struct cpu_layout *layout = reader->version == 14 ? &layout_14 : &layout_15;
        uint64_t cpu, value, run_delay = 0;
        unsigned n = 0;

        if (!scan_prefix(&line, "cpu") || !text_number(&line, &cpu) || cpu >= CPUSET_MAX)
                return false;
        while (text_number(&line, &value))
                if (++n == layout->run_delay)
                        run_delay = value;
        if (!scan_end(&line) || n < layout->numbers)
                return false;
        if (n > layout->numbers && reader->version > VERSION_NEWEST)
                return false;
        *ret = (struct schedstat_cpu){.cpu = (unsigned)cpu, .run_delay_nsec = run_delay};
        return true;
}

static bool is_mask(const struct scanner *word)
{
        for (const char *p = word->at; p < word->end; p++)
                if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'f') && *p != ',')
                        return false;
        return true;
}

static bool take_mask(struct scanner *line)
{
        struct scanner word;

        if (!scan_word(line, &word) || !scan_char(line, ' '))
                return false;
        return is_mask(&word);
}

/* Version 17 put a level's name before its mask. The words tell, not the version: some vendors
 * carry the one without the other. */
static bool is_domain_line(const struct schedstat_reader *reader, struct scanner line)
{
        bool has_mask;
        uint64_t level;

        if (!scan_prefix(&line, "domain") || !text_number(&line, &level))
                return false;
        has_mask = take_mask(&line);
        if (!has_mask)
                has_mask = take_mask(&line);
        return has_mask &&
               text_only_numbers(&line,
                                 reader->version > VERSION_NEWEST ? 1 : DOMAIN_NUMBERS_LEAST);
}

/* Takes the domain lines up to the next CPU's. */
static int take_domains(struct schedstat_reader *reader, bool *ret_any)
{
        struct scanner rest = reader->rest, line;

        *ret_any = false;
        while (text_line(&rest, &line)) {
                if (!scan_prefix(&(struct scanner){line.at, line.end}, "domain"))
                        return 0;
                if (!is_domain_line(reader, line))
                        return -EPROTO;
                *ret_any = true;
                reader->rest = rest;
        }
        return scan_end(&rest) ? 0 : -EPROTO;
}

int schedstat_next(struct schedstat_reader *reader, struct schedstat_cpu *ret)
{
        struct schedstat_cpu cpu;
        struct scanner line;
        int r;

        if (scan_end(&reader->rest))
                return reader->last_cpu < 0 ? -EPROTO : 0;
        if (!text_line(&reader->rest, &line) || !parse_cpu_line(reader, line, &cpu) ||
            (int)cpu.cpu <= reader->last_cpu)
                return -EPROTO;
        r = take_domains(reader, &cpu.has_domain);
        if (r < 0)
                return r;
        reader->last_cpu = (int)cpu.cpu;
        *ret = cpu;
        return 1;
}
