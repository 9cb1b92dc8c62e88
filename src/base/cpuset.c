/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/cpuset.h"

#include <errno.h>
#include <stdio.h>

#include "base/parse.h"

#define BITS_PER_WORD 64U

static uint64_t word_at(const struct cpuset *set, unsigned i)
{
        return i < set->n_words ? set->words[i] : 0;
}

static int reserve(struct cpuset *set, unsigned n_words)
{
        uint64_t *words;

        if (n_words <= set->n_words)
                return 0;
        words = realloc(set->words, n_words * sizeof(*words));
        if (!words)
                return -ENOMEM;
        memset(words + set->n_words, 0, (n_words - set->n_words) * sizeof(*words));
        set->words = words;
        set->n_words = n_words;
        return 0;
}

void cpuset_done(struct cpuset *set)
{
        free(set->words);
        *set = (struct cpuset){0};
}

int cpuset_add(struct cpuset *set, unsigned cpu)
{
        return cpuset_add_range(set, cpu, cpu);
}

int cpuset_add_range(struct cpuset *set, unsigned first, unsigned last)
{
        int r;

        if (first > last || last >= CPUSET_MAX)
                return -ERANGE;
        r = reserve(set, last / BITS_PER_WORD + 1);
        if (r < 0)
                return r;
        for (unsigned cpu = first; cpu <= last; cpu++)
                /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): reserve() saw to it */
                set->words[cpu / BITS_PER_WORD] |= UINT64_C(1) << cpu % BITS_PER_WORD;
        return 0;
}

int cpuset_copy(struct cpuset *set, const struct cpuset *source)
{
        int r;

        if (set == source)
                return 0;
        r = reserve(set, source->n_words);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < set->n_words; i++)
                set->words[i] = word_at(source, i);
        return 0;
}

int cpuset_from_words(struct cpuset *set, const uint64_t *words, unsigned n_words)
{
        int r;

        if (n_words > CPUSET_MAX / BITS_PER_WORD)
                return -ERANGE;
        r = reserve(set, n_words);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < set->n_words; i++)
                set->words[i] = i < n_words ? words[i] : 0;
        return 0;
}

int cpuset_unite(struct cpuset *set, const struct cpuset *other)
{
        int r;

        r = reserve(set, other->n_words);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < other->n_words; i++)
                set->words[i] |= other->words[i];
        return 0;
}

void cpuset_remove(struct cpuset *set, unsigned cpu)
{
        if (cpu / BITS_PER_WORD < set->n_words)
                set->words[cpu / BITS_PER_WORD] &= ~(UINT64_C(1) << cpu % BITS_PER_WORD);
}

void cpuset_clear(struct cpuset *set)
{
        for (unsigned i = 0; i < set->n_words; i++)
                set->words[i] = 0;
}

void cpuset_intersect(struct cpuset *set, const struct cpuset *other)
{
        for (unsigned i = 0; i < set->n_words; i++)
                set->words[i] &= word_at(other, i);
}

void cpuset_subtract(struct cpuset *set, const struct cpuset *other)
{
        for (unsigned i = 0; i < set->n_words; i++)
                set->words[i] &= ~word_at(other, i);
}

bool cpuset_contains(const struct cpuset *set, unsigned cpu)
{
        return word_at(set, cpu / BITS_PER_WORD) >> cpu % BITS_PER_WORD & 1;
}

bool cpuset_is_empty(const struct cpuset *set)
{
        return cpuset_next(set, 0) < 0;
}

bool cpuset_equal(const struct cpuset *a, const struct cpuset *b)
{
        for (unsigned i = 0; i < MAX(a->n_words, b->n_words); i++)
                if (word_at(a, i) != word_at(b, i))
                        return false;
        return true;
}

bool cpuset_intersects(const struct cpuset *a, const struct cpuset *b)
{
        for (unsigned i = 0; i < MIN(a->n_words, b->n_words); i++)
                if (a->words[i] & b->words[i])
                        return true;
        return false;
}

bool cpuset_is_subset(const struct cpuset *part, const struct cpuset *whole)
{
        for (unsigned i = 0; i < part->n_words; i++)
                if (part->words[i] & ~word_at(whole, i))
                        return false;
        return true;
}

unsigned cpuset_count(const struct cpuset *set)
{
        unsigned count = 0;

        for (unsigned i = 0; i < set->n_words; i++)
                count += (unsigned)__builtin_popcountll(set->words[i]);
        return count;
}

int cpuset_next(const struct cpuset *set, unsigned from)
{
        for (unsigned i = from / BITS_PER_WORD; i < set->n_words; i++) {
                uint64_t word = set->words[i];

                if (i == from / BITS_PER_WORD)
                        word &= ~UINT64_C(0) << from % BITS_PER_WORD;
                if (word != 0)
                        return (int)(i * BITS_PER_WORD) + __builtin_ctzll(word);
        }
        return -1;
}

/* One element of a list: "5", "0-3", "0-15:2" or "0-15:2/4". */
static int parse_range(struct scanner *s, struct cpuset *set)
{
        uint64_t first, last, used = 1, group = 1;

        if (!scan_u64(s, &first))
                return -EINVAL;
        last = first;
        if (scan_char(s, '-')) {
                if (!scan_u64(s, &last) || last < first)
                        return -EINVAL;
                if (scan_char(s, ':')) {
                        if (!scan_u64(s, &group))
                                return -EINVAL;
                        if (scan_char(s, '/')) {
                                used = group;
                                if (!scan_u64(s, &group))
                                        return -EINVAL;
                        }
                        if (group == 0 || used == 0 || used > group)
                                return -EINVAL;
                }
        }
        if (last >= CPUSET_MAX)
                return -ERANGE;
        /* Larger steps come to the same, and must not wrap. */
        group = MIN(group, (uint64_t)CPUSET_MAX);
        used = MIN(used, group);
        for (uint64_t start = first; start <= last; start += group) {
                int r = cpuset_add_range(set, (unsigned)start,
                                         (unsigned)MIN(start + used - 1, last));
                if (r < 0)
                        return r;
        }
        return 0;
}

int cpuset_parse_list(const char *text, size_t length, struct cpuset *ret_set)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        struct scanner s = {text, text + length};

        scan_space(&s);
        while (!scan_end(&s)) {
                int r = parse_range(&s, &set);
                if (r < 0)
                        return r;
                if (scan_char(&s, ',')) {
                        if (scan_end(&s))
                                return -EINVAL;
                        continue;
                }
                scan_space(&s);
                if (!scan_end(&s))
                        return -EINVAL;
        }
        *ret_set = TAKE_CPUSET(set);
        return 0;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int cpuset_parse_mask(const char *text, size_t length, struct cpuset *ret_set)
{
        _cleanup_cpuset_ struct cpuset set = {0};
        struct scanner s = {text, text + length};
        unsigned bit = 0, digits_in_group = 0;
        int r;

        scan_space(&s);
        while (s.end > s.at && (s.end[-1] == '\n' || s.end[-1] == ' ' || s.end[-1] == '\t'))
                s.end--;
        if (s.at == s.end)
                return -EINVAL;
        for (const char *p = s.end; p-- > s.at;) {
                int digit;

                if (*p == ',') {
                        if (digits_in_group != 8)
                                return -EINVAL;
                        digits_in_group = 0;
                        continue;
                }
                digit = hex_digit(*p);
                if (digit < 0 || ++digits_in_group > 8)
                        return -EINVAL;
                for (unsigned i = 0; i < 4; i++)
                        if (digit >> i & 1) {
                                r = cpuset_add(&set, bit + i);
                                if (r < 0)
                                        return r;
                        }
                bit += 4;
        }
        if (digits_in_group == 0)
                return -EINVAL;
        *ret_set = TAKE_CPUSET(set);
        return 0;
}

int cpuset_format_list(const struct cpuset *set, char **ret_text)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_fclose_ FILE *stream = NULL;
        size_t size;
        const char *comma = "";

        stream = open_memstream(&text, &size);
        if (!stream)
                return -ENOMEM;
        for (int first = cpuset_next(set, 0), last; first >= 0;
             first = cpuset_next(set, last + 1U)) {
                last = first;
                while (cpuset_contains(set, last + 1U))
                        last++;
                if (last == first)
                        fprintf(stream, "%s%d", comma, first);
                else
                        fprintf(stream, "%s%d-%d", comma, first, last);
                comma = ",";
        }
        if (fflush(stream) != 0)
                return -ENOMEM;
        fclose(TAKE_PTR(stream));
        *ret_text = TAKE_PTR(text);
        return 0;
}
