/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ledger's file: a header of one page, then records of one size. It must not know what a move
 * or a thread is: restore.c and the mover give the records their meaning.
 *
 * Why a SIGKILL at any instruction is survived: the file is shared memory, so every store that a
 * thread has made is in it whatever becomes of the process. A record's state word is stored last
 * (release), so whoever finds NARROW finds the whole record; a record is FREE again before its body
 * is reused (the free list's mutex orders the two). The header goes in by one write into a file of
 * zeros: a file whose header is all zeros was never finished, and nothing is recorded in it.
 *
 * Why a full runtime directory is no SIGBUS: every block is allocated before the first store.
 * (Truncating the file under a running daemon is one: the folder is root's own.)
 */

#include "engine/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

#include "kernel/cpulist.h"

#define FILE_NAME      "ledger"
#define MAGIC          UINT64_C(0x72656764656c6c62) /* "blledger" in memory, little-endian */
#define VERSION        1U
#define HEADER_SIZE    ((size_t)4096)
#define BITS_PER_WORD  64U
#define N_RECORDS_MAX  (1U << 20)
#define OPEN_TRIES_MAX 16

/* Stored states: words that stray bytes are unlikely to be. */
#define STORED_FREE    UINT32_C(0)
#define STORED_NARROW  UINT32_C(0x6e617272)
#define STORED_SETTLED UINT32_C(0x7365746c)

struct header {
        uint64_t magic;
        uint32_t version;
        uint32_t n_records;
        uint32_t n_words; /* of one mask */
        uint32_t record_size;
        sd_id128_t boot_id;
        uint64_t checksum; /* of all before */
};

struct record {
        _Atomic uint32_t state;
        uint32_t why;
        int32_t tgid, tid;
        uint32_t whole;
        uint32_t unused;
        uint64_t start_ticks;
        uint64_t narrowed_at;
        uint64_t settled_at; /* stored before SETTLED; not in the checksum */
        uint64_t checksum;   /* of all but `state` and `settled_at` */
        uint64_t masks[];    /* n_words of the original, n_words of what was set */
};

struct ledger {
        int fd;
        struct header header;
        void *map;
        size_t map_size;
        pthread_mutex_t lock; /* of what follows */
        int *free_records;    /* a stack */
        unsigned n_free;
        bool *is_own; /* by record: begun since the file was opened */
        unsigned n_own;
};

void ledger_entry_done(struct ledger_entry *entry)
{
        cpuset_done(&entry->original);
        cpuset_done(&entry->set);
}

/* FNV-1a, a word at a time: against torn and stray bytes, not against malice. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
        return (sum ^ word) * UINT64_C(0x100000001b3);
}

#define MIX_START UINT64_C(0xcbf29ce484222325)

static uint64_t header_checksum(const struct header *header)
{
        uint64_t sum = MIX_START;

        sum = mix(sum, header->magic);
        sum = mix(sum, header->version);
        sum = mix(sum, header->n_records);
        sum = mix(sum, header->n_words);
        sum = mix(sum, header->record_size);
        sum = mix(sum, header->boot_id.qwords[0]);
        return mix(sum, header->boot_id.qwords[1]);
}

static uint64_t record_checksum(const struct record *record, unsigned n_words)
{
        uint64_t sum = MIX_START;

        sum = mix(sum, record->why);
        sum = mix(sum, (uint32_t)record->tgid);
        sum = mix(sum, (uint32_t)record->tid);
        sum = mix(sum, record->whole);
        sum = mix(sum, record->start_ticks);
        sum = mix(sum, record->narrowed_at);
        for (unsigned i = 0; i < 2 * n_words; i++)
                sum = mix(sum, record->masks[i]);
        return sum;
}

static size_t file_size(const struct header *header)
{
        return HEADER_SIZE + (size_t)header->n_records * header->record_size;
}

static int make_header(struct header *ret, unsigned n_records, unsigned n_ids)
{
        unsigned n_words = (n_ids + BITS_PER_WORD - 1) / BITS_PER_WORD;
        struct header header = {.magic = MAGIC, .version = VERSION};
        int r;

        if (n_records == 0 || n_records > N_RECORDS_MAX || n_ids == 0 || n_ids > CPUSET_MAX)
                return -EINVAL;
        r = sd_id128_get_boot(&header.boot_id);
        if (r < 0)
                return r;
        header.n_records = n_records;
        header.n_words = n_words;
        header.record_size = (uint32_t)(sizeof(struct record) + 2 * n_words * sizeof(uint64_t));
        header.checksum = header_checksum(&header);
        *ret = header;
        return 0;
}

static bool header_is_sound(const struct header *header)
{
        return header->magic == MAGIC && header->version == VERSION &&
               header->checksum == header_checksum(header) && header->n_records > 0 &&
               header->n_records <= N_RECORDS_MAX && header->n_words > 0 &&
               header->n_words <= CPUSET_MAX / BITS_PER_WORD &&
               header->record_size ==
                       sizeof(struct record) + 2 * header->n_words * sizeof(uint64_t);
}

static bool is_zero(const void *data, size_t size)
{
        const char *bytes = data;

        for (size_t i = 0; i < size; i++)
                if (bytes[i])
                        return false;
        return true;
}

/* Returns 1 and the file's header, 0 if there is none yet, or a negative errno. */
static int read_header(int fd, struct header *ret)
{
        struct header header = {0};
        struct stat st;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        n = pread(fd, &header, sizeof(header), 0);
        if (n < 0)
                return -errno;
        if (is_zero(&header, sizeof(header)))
                return 0;
        if ((size_t)n < sizeof(header) || !header_is_sound(&header) ||
            (size_t)st.st_size != file_size(&header))
                return -EBADMSG;
        *ret = header;
        return 1;
}

/* Whether FD is what the name stands for: a daemon that gave up may have removed the file between
 * our open and our lock. */
static int is_current(int dir_fd, int fd)
{
        struct stat ours, named;

        if (fstat(fd, &ours) < 0)
                return -errno;
        if (fstatat(dir_fd, FILE_NAME, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static int lock_file(int fd)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
                return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
        return 0;
}

static int open_locked(int dir_fd, int *ret_fd)
{
        for (int i = 0; i < OPEN_TRIES_MAX; i++) {
                _cleanup_close_ int fd = -1;
                int r;

                fd = openat(dir_fd, FILE_NAME,
                            O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
                            0600);
                if (fd < 0)
                        return errno == ELOOP ? -EBADMSG : -errno;
                r = lock_file(fd);
                if (r < 0)
                        return r;
                r = is_current(dir_fd, fd);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                *ret_fd = TAKE_FD(fd);
                return 0;
        }
        return -EBUSY;
}

static int allocate(int fd, size_t size)
{
        int r;

        do
                r = posix_fallocate(fd, 0, (off_t)size);
        while (r == EINTR);
        return -r;
}

/* Makes the (locked) file an empty ledger; removes it where that fails, so that nothing half-made
 * stays. */
static int make_file(int dir_fd, int fd, const struct header *header)
{
        ssize_t n;
        int r;

        if (ftruncate(fd, 0) < 0)
                return -errno;
        r = allocate(fd, file_size(header));
        if (r == 0) {
                n = pwrite(fd, header, sizeof(*header), 0);
                if (n < 0)
                        r = -errno;
                else if ((size_t)n < sizeof(*header))
                        r = -EIO;
        }
        if (r < 0)
                (void)unlinkat(dir_fd, FILE_NAME, 0);
        return r;
}

static int map_file(struct ledger *ledger)
{
        size_t size = file_size(&ledger->header);
        void *map;
        int r;

        /* A file that was copied may have holes. */
        r = allocate(ledger->fd, size);
        if (r < 0)
                return r;
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ledger->fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        ledger->map = map;
        ledger->map_size = size;
        /* Only so that a worker under SCHED_FIFO need not wait for a page: not having it is no
         * error. */
        (void)mlock(map, size);
        return 0;
}

static void unmap_file(struct ledger *ledger)
{
        if (ledger->map)
                (void)munmap(ledger->map, ledger->map_size);
        ledger->map = NULL;
}

static struct record *record_at(const struct ledger *ledger, int record)
{
        assert(record >= 0 && (unsigned)record < ledger->header.n_records);
        return (void *)((char *)ledger->map + HEADER_SIZE +
                        (size_t)record * ledger->header.record_size);
}

/* For a file that has no list of free records yet. */
static unsigned count_taken(const struct ledger *ledger)
{
        unsigned n = 0;

        for (unsigned i = 0; i < ledger->header.n_records; i++)
                if (atomic_load_explicit(&record_at(ledger, (int)i)->state, memory_order_acquire) !=
                    STORED_FREE)
                        n++;
        return n;
}

/* Whether the file can be used as it is: the same boot, and either the same sizes or records that
 * are still to be given back. */
static bool is_usable(const struct ledger *ledger, const struct header *wanted)
{
        if (!sd_id128_equal(ledger->header.boot_id, wanted->boot_id))
                return false;
        return count_taken(ledger) > 0 || (ledger->header.n_records == wanted->n_records &&
                                           ledger->header.n_words == wanted->n_words);
}

static int load_or_make(struct ledger *ledger, int dir_fd, const struct header *wanted)
{
        int r;

        r = read_header(ledger->fd, &ledger->header);
        if (r < 0)
                return r;
        if (r > 0) {
                r = map_file(ledger);
                if (r < 0 || is_usable(ledger, wanted))
                        return r;
                unmap_file(ledger);
        }
        r = make_file(dir_fd, ledger->fd, wanted);
        if (r < 0)
                return r;
        ledger->header = *wanted;
        return map_file(ledger);
}

static int list_free(struct ledger *ledger)
{
        unsigned n_records = ledger->header.n_records;

        ledger->free_records = calloc(n_records, sizeof(*ledger->free_records));
        if (!ledger->free_records)
                return -ENOMEM;
        ledger->is_own = calloc(n_records, sizeof(*ledger->is_own));
        if (!ledger->is_own)
                return -ENOMEM;
        for (unsigned i = n_records; i-- > 0;)
                if (atomic_load(&record_at(ledger, (int)i)->state) == STORED_FREE)
                        ledger->free_records[ledger->n_free++] = (int)i;
        return 0;
}

static struct ledger *ledger_new(void)
{
        struct ledger *ledger = calloc(1, sizeof(*ledger));

        if (!ledger)
                return NULL;
        ledger->fd = -1;
        (void)pthread_mutex_init(&ledger->lock, NULL); /* cannot fail with default attributes */
        return ledger;
}

int ledger_open(struct ledger **ret, int runtime_dir_fd, unsigned n_records, unsigned n_ids)
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        struct header wanted;
        int r;

        r = make_header(&wanted, n_records, n_ids);
        if (r < 0)
                return r;
        ledger = ledger_new();
        if (!ledger)
                return -ENOMEM;
        r = open_locked(runtime_dir_fd, &ledger->fd);
        if (r < 0)
                return r;
        r = load_or_make(ledger, runtime_dir_fd, &wanted);
        if (r < 0)
                return r;
        r = list_free(ledger);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ledger);
        return 0;
}

/* A duplicate would share the open file, and with it the lock. */
static int open_again(int fd)
{
        char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
        int again;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        again = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return again < 0 ? -errno : again;
}

int ledger_open_unlocked(const struct ledger *ledger)
{
        return open_again(ledger->fd);
}

static int load_stored(struct ledger *ledger)
{
        sd_id128_t boot_id;
        int r;

        r = sd_id128_get_boot(&boot_id);
        if (r < 0)
                return r;
        r = read_header(ledger->fd, &ledger->header);
        if (r < 0)
                return r;
        if (r == 0 || !sd_id128_equal(ledger->header.boot_id, boot_id))
                return -ENODATA;
        return map_file(ledger);
}

int ledger_open_stored(struct ledger **ret, int fd)
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        int r;

        ledger = ledger_new();
        if (!ledger)
                return -ENOMEM;
        ledger->fd = open_again(fd);
        if (ledger->fd < 0)
                return ledger->fd;
        r = lock_file(ledger->fd);
        if (r < 0)
                return r;
        r = load_stored(ledger);
        if (r < 0)
                return r;
        r = list_free(ledger);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ledger);
        return 0;
}

void ledger_free(struct ledger *ledger)
{
        if (!ledger)
                return;
        unmap_file(ledger);
        if (ledger->fd >= 0)
                close(ledger->fd);
        free(ledger->free_records);
        free(ledger->is_own);
        (void)pthread_mutex_destroy(&ledger->lock);
        free(ledger);
}

unsigned ledger_width(int sys_fd)
{
        _cleanup_cpuset_ struct cpuset possible = {0};
        unsigned n_ids = 0;
        int cpu;

        if (cpulist_read_at(sys_fd, "devices/system/cpu/possible", &possible) < 0)
                return CPUSET_MAX;
        CPUSET_FOREACH (cpu, &possible)
                n_ids = (unsigned)cpu + 1;
        return n_ids > 0 ? n_ids : CPUSET_MAX;
}

static bool fits(const struct cpuset *set, unsigned n_words)
{
        return cpuset_next(set, n_words * BITS_PER_WORD) < 0;
}

static void put_mask(uint64_t *words, unsigned n_words, const struct cpuset *set)
{
        for (unsigned i = 0; i < n_words; i++)
                words[i] = i < set->n_words ? set->words[i] : 0;
}

static int take_free(struct ledger *ledger)
{
        int record = -ENOSPC;

        (void)pthread_mutex_lock(&ledger->lock);
        if (ledger->n_free > 0) {
                record = ledger->free_records[--ledger->n_free];
                ledger->is_own[record] = true;
                ledger->n_own++;
        }
        (void)pthread_mutex_unlock(&ledger->lock);
        return record;
}

int ledger_begin(struct ledger *ledger, const struct ledger_entry *entry)
{
        unsigned n_words = ledger->header.n_words;
        struct record *record;
        int number;

        if (!fits(&entry->original, n_words) || !fits(&entry->set, n_words))
                return -ERANGE;
        number = take_free(ledger);
        if (number < 0)
                return number;
        record = record_at(ledger, number);
        record->why = entry->why;
        record->tgid = entry->tgid;
        record->tid = entry->tid;
        record->whole = entry->whole;
        record->start_ticks = entry->start_ticks;
        record->narrowed_at = entry->narrowed_at;
        record->settled_at = 0;
        put_mask(record->masks, n_words, &entry->original);
        put_mask(record->masks + n_words, n_words, &entry->set);
        record->checksum = record_checksum(record, n_words);
        atomic_store_explicit(&record->state, STORED_NARROW, memory_order_release);
        return number;
}

void ledger_settle(struct ledger *ledger, int number, nsec_t at)
{
        struct record *record = record_at(ledger, number);

        record->settled_at = at;
        atomic_store_explicit(&record->state, STORED_SETTLED, memory_order_release);
}

void ledger_reopen(struct ledger *ledger, int number)
{
        atomic_store_explicit(&record_at(ledger, number)->state, STORED_NARROW,
                              memory_order_release);
}

void ledger_clear(struct ledger *ledger, int number)
{
        struct record *record = record_at(ledger, number);

        assert(atomic_load(&record->state) != STORED_FREE);
        atomic_store_explicit(&record->state, STORED_FREE, memory_order_release);
        (void)pthread_mutex_lock(&ledger->lock);
        ledger->free_records[ledger->n_free++] = number;
        if (ledger->is_own[number])
                ledger->n_own--;
        ledger->is_own[number] = false;
        (void)pthread_mutex_unlock(&ledger->lock);
}

unsigned ledger_size(const struct ledger *ledger)
{
        return ledger->header.n_records;
}

unsigned ledger_count(struct ledger *ledger)
{
        unsigned n_own;

        (void)pthread_mutex_lock(&ledger->lock);
        n_own = ledger->n_own;
        (void)pthread_mutex_unlock(&ledger->lock);
        return n_own;
}

unsigned ledger_count_narrow(struct ledger *ledger)
{
        unsigned n_narrow = 0;

        (void)pthread_mutex_lock(&ledger->lock);
        for (int i = 0, n_left = (int)ledger->n_own; n_left > 0; i++) {
                if (!ledger->is_own[i])
                        continue;
                n_left--;
                n_narrow += atomic_load(&record_at(ledger, i)->state) == STORED_NARROW;
        }
        (void)pthread_mutex_unlock(&ledger->lock);
        return n_narrow;
}

static enum ledger_state state_of(const struct record *record, unsigned n_words)
{
        uint32_t state = atomic_load_explicit(&record->state, memory_order_acquire);

        if (state == STORED_FREE)
                return LEDGER_FREE;
        if (state != STORED_NARROW && state != STORED_SETTLED)
                return LEDGER_DAMAGED;
        if (record->checksum != record_checksum(record, n_words))
                return LEDGER_DAMAGED;
        if (record->tid <= 0 || record->tgid <= 0 || record->why > LEDGER_CHILD ||
            record->whole > 1)
                return LEDGER_DAMAGED;
        return state == STORED_NARROW ? LEDGER_NARROW : LEDGER_SETTLED;
}

static int get_entry(const struct record *record, unsigned n_words, struct ledger_entry *ret)
{
        _cleanup_(ledger_entry_done) struct ledger_entry entry = {
                .tgid = record->tgid,
                .tid = record->tid,
                .start_ticks = record->start_ticks,
                .narrowed_at = record->narrowed_at,
                .why = (enum ledger_why)record->why,
                .whole = record->whole,
        };
        int r;

        r = cpuset_from_words(&entry.original, record->masks, n_words);
        if (r < 0)
                return r;
        r = cpuset_from_words(&entry.set, record->masks + n_words, n_words);
        if (r < 0)
                return r;
        if (cpuset_is_empty(&entry.set) || !cpuset_is_subset(&entry.set, &entry.original))
                return -EBADMSG;
        *ret = entry;
        entry.original = entry.set = (struct cpuset){0};
        return 0;
}

int ledger_get(const struct ledger *ledger, int number, struct ledger_entry *ret_entry,
               nsec_t *ret_settled_at)
{
        const struct record *record = record_at(ledger, number);
        enum ledger_state state = state_of(record, ledger->header.n_words);
        int r;

        if (state != LEDGER_NARROW && state != LEDGER_SETTLED)
                return state;
        r = get_entry(record, ledger->header.n_words, ret_entry);
        if (r == -EBADMSG)
                return LEDGER_DAMAGED;
        if (r < 0)
                return r;
        *ret_settled_at = state == LEDGER_SETTLED ? record->settled_at : NSEC_INFINITY;
        return state;
}
