/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <unistd.h>

#include "base/io.h"
#include "base/parse.h"
#include "kernel/cpulist.h"

/* CPUs that reach this share of the fastest one's clock are called equal: makers allow a few
 * favoured cores some more, which is no reason to move a thread. */
#define EQUAL_SPEED 0.9F

/* hwloc ranks kinds of CPUs. Where nothing else is known, the lowest rank gets this speed: the
 * order is right then, the amount a guess. */
#define LOWEST_RANK_SPEED 0.5F

/* The CPUs on their way into a topology. */
struct machine {
        struct topology_seed *seeds;
        unsigned n;
};

static void machine_done(struct machine *machine)
{
        free(machine->seeds);
}

static void destroy_topology(hwloc_topology_t *topology)
{
        if (*topology)
                hwloc_topology_destroy(*topology);
}

static void free_bitmap(hwloc_bitmap_t *bitmap)
{
        hwloc_bitmap_free(*bitmap);
}

static hwloc_obj_t ancestor(hwloc_obj_t pu, hwloc_obj_type_t type)
{
        hwloc_obj_t obj = pu->parent;

        while (obj && obj->type != type)
                obj = obj->parent;
        return obj;
}

/* The outermost cache of PU that is not of the first level, or NULL. */
static hwloc_obj_t last_level_cache(hwloc_obj_t pu)
{
        hwloc_obj_t found = NULL;

        for (hwloc_obj_t obj = pu->parent; obj; obj = obj->parent)
                if (hwloc_obj_type_is_dcache(obj->type) && obj->attr->cache.depth > 1)
                        found = obj;
        return found;
}

/* The node of PU. Nodes of memory alone (CXL, HBM) are near to CPUs that have a node already, as
 * many or more than that one has. */
static unsigned node_of(hwloc_topology_t hwloc, hwloc_obj_t pu)
{
        int best = 0, best_size = INT32_MAX;
        unsigned node;

        hwloc_bitmap_foreach_begin(node, pu->nodeset)
        {
                hwloc_obj_t obj = hwloc_get_numanode_obj_by_os_index(hwloc, node);
                int size = obj ? hwloc_bitmap_weight(obj->cpuset) : -1;

                if (size >= 0 && size < best_size) {
                        best = (int)node;
                        best_size = size;
                }
        }
        hwloc_bitmap_foreach_end();
        return (unsigned)best;
}

/* A group is called after its first CPU: no two cores or caches share one. */
static unsigned name_of(hwloc_obj_t group)
{
        return (unsigned)hwloc_bitmap_first(group->cpuset);
}

static struct topology_seed locate(hwloc_topology_t hwloc, hwloc_obj_t pu)
{
        hwloc_obj_t core = ancestor(pu, HWLOC_OBJ_CORE);
        hwloc_obj_t llc = last_level_cache(pu);

        if (!llc)
                llc = ancestor(pu, HWLOC_OBJ_PACKAGE);
        return (struct topology_seed){
                .id = pu->os_index,
                .core = core ? name_of(core) : pu->os_index,
                .llc = llc ? name_of(llc) : 0,
                .node = node_of(hwloc, pu),
                .capacity = 1,
        };
}

/* A CPU of which nothing but the number is known. */
static struct topology_seed stranger(unsigned id, bool alone)
{
        unsigned group = alone ? UINT32_MAX - id : 0;

        return (struct topology_seed){
                .id = id, .core = id, .llc = group, .node = group, .capacity = 1};
}

static int machine_alloc(struct machine *machine, unsigned n)
{
        machine->seeds = calloc(n, sizeof(*machine->seeds));
        return machine->seeds ? 0 : -ENOMEM;
}

/* Divides SPEEDS, all above 0, by the largest of them, and makes them the capacities. */
static void set_capacities(struct machine *machine, const float *speeds, float equal)
{
        float fastest = 0;

        for (unsigned i = 0; i < machine->n; i++)
                fastest = MAX(fastest, speeds[i]);
        for (unsigned i = 0; i < machine->n; i++) {
                float capacity = speeds[i] / fastest;

                machine->seeds[i].capacity = capacity < equal ? capacity : 1;
        }
}

/* The kernel's own figure: 1 ... 1024, where 1024 is the fastest CPU that the machine can have.
 * False where there is none. */
static bool read_capacity(int sys_fd, unsigned id, float *ret)
{
        char path[64], text[32];
        struct scanner s;
        uint64_t value;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "devices/system/cpu/cpu%u/cpu_capacity", id);
        n = read_small_at(sys_fd, path, text, sizeof(text));
        s = (struct scanner){text, text + (n > 0 ? n : 0)};
        if (!scan_u64(&s, &value) || value == 0 || value > UINT16_MAX)
                return false;
        *ret = (float)value;
        return true;
}

/* Returns 1 when all CPUs have the kernel's figure, 0 when not, or -ENOMEM. */
static int capacities_from_kernel(struct machine *machine, int sys_fd)
{
        _cleanup_free_ float *speeds = NULL;

        speeds = calloc(machine->n, sizeof(*speeds));
        if (!speeds)
                return -ENOMEM;
        for (unsigned i = 0; i < machine->n; i++)
                if (!read_capacity(sys_fd, machine->seeds[i].id, &speeds[i]))
                        return 0;
        set_capacities(machine, speeds, 1);
        return 1;
}

/* A kind's clock in MHz, or 0. */
static float clock_of(const struct hwloc_info_s *infos, unsigned n_infos)
{
        for (unsigned i = 0; i < n_infos; i++) {
                uint64_t mhz;

                if (streq(infos[i].name, "FrequencyMaxMHz") &&
                    parse_u64(infos[i].value, &mhz) == 0 && mhz < UINT32_MAX)
                        return (float)mhz;
        }
        return 0;
}

/* Writes the speed of the CPUs of KIND, by clock or by rank, to SPEEDS. Returns 1, 0 when it is not
 * known, or -ENOMEM. */
static int add_kind(const struct machine *machine, hwloc_topology_t hwloc, int kind, int n_kinds,
                    bool by_clock, float *speeds)
{
        _cleanup_(free_bitmap) hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
        struct hwloc_info_s *infos;
        unsigned n_infos;
        float speed;
        int rank;

        if (!cpus)
                return -ENOMEM;
        if (hwloc_cpukinds_get_info(hwloc, (unsigned)kind, cpus, &rank, &n_infos, &infos, 0) < 0)
                return 0;
        speed = by_clock ? clock_of(infos, n_infos)
                         : LOWEST_RANK_SPEED +
                                   (1 - LOWEST_RANK_SPEED) * (float)rank / (float)(n_kinds - 1);
        if (speed <= 0 || (!by_clock && rank < 0))
                return 0;
        for (unsigned i = 0; i < machine->n; i++)
                if (hwloc_bitmap_isset(cpus, machine->seeds[i].id))
                        speeds[i] = speed;
        return 1;
}

/* Returns 1 when each CPU's speed is known so, 0 when not, or -ENOMEM. */
static int capacities_from_kinds(struct machine *machine, hwloc_topology_t hwloc, bool by_clock)
{
        int n_kinds = hwloc_cpukinds_get_nr(hwloc, 0), r;
        _cleanup_free_ float *speeds = NULL;

        if (n_kinds < 2)
                return 0;
        speeds = calloc(machine->n, sizeof(*speeds));
        if (!speeds)
                return -ENOMEM;
        for (int kind = 0; kind < n_kinds; kind++) {
                r = add_kind(machine, hwloc, kind, n_kinds, by_clock, speeds);
                if (r <= 0)
                        return r;
        }
        for (unsigned i = 0; i < machine->n; i++)
                if (speeds[i] <= 0)
                        return 0;
        set_capacities(machine, speeds, by_clock ? EQUAL_SPEED : 1);
        return 1;
}

/* HWLOC may be NULL. Where no source knows, all CPUs stay equal. -EINVAL without any CPU. */
static int find_capacities(struct machine *machine, int sys_fd, hwloc_topology_t hwloc)
{
        int r;

        if (machine->n == 0)
                return -EINVAL;
        r = sys_fd < 0 ? 0 : capacities_from_kernel(machine, sys_fd);
        if (r == 0 && hwloc)
                r = capacities_from_kinds(machine, hwloc, true);
        if (r == 0 && hwloc)
                r = capacities_from_kinds(machine, hwloc, false);
        return MIN(r, 0);
}

/* Adds what hwloc knows of ONLINE (NULL: of all), then the others. */
static int add_cpus(struct machine *machine, hwloc_topology_t hwloc, const struct cpuset *online)
{
        _cleanup_cpuset_ struct cpuset missing = {0};
        hwloc_obj_t pu = NULL;
        int cpu, r;

        r = online ? cpuset_copy(&missing, online) : 0;
        if (r < 0)
                return r;
        while ((pu = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_PU, pu))) {
                if (online && !cpuset_contains(&missing, pu->os_index))
                        continue;
                machine->seeds[machine->n++] = locate(hwloc, pu);
                cpuset_remove(&missing, pu->os_index);
        }
        CPUSET_FOREACH (cpu, &missing)
                machine->seeds[machine->n++] = stranger((unsigned)cpu, true);
        return 0;
}

int machine_from_hwloc(struct hwloc_topology *hwloc, int sys_fd, const struct cpuset *online,
                       struct topology **ret)
{
        _cleanup_(machine_done) struct machine machine = {0};
        int n_pus = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU), r;

        r = machine_alloc(&machine, online ? cpuset_count(online) : (unsigned)MAX(n_pus, 0));
        if (r < 0)
                return r;
        r = add_cpus(&machine, hwloc, online);
        if (r < 0)
                return r;
        r = find_capacities(&machine, sys_fd, hwloc);
        return r < 0 ? r : topology_new(ret, machine.seeds, machine.n);
}

int machine_flat(int sys_fd, const struct cpuset *online, struct topology **ret)
{
        _cleanup_(machine_done) struct machine machine = {0};
        int cpu, r;

        r = machine_alloc(&machine, cpuset_count(online));
        if (r < 0)
                return r;
        CPUSET_FOREACH (cpu, online)
                machine.seeds[machine.n++] = stranger((unsigned)cpu, false);
        r = find_capacities(&machine, sys_fd, NULL);
        return r < 0 ? r : topology_new(ret, machine.seeds, machine.n);
}

/* Keeps all that is not asked for here out of memory. */
static int choose_objects(hwloc_topology_t hwloc)
{
        static const hwloc_obj_type_t wanted[] = {
                HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE,    HWLOC_OBJ_L2CACHE,
                HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L5CACHE,
        };

        if (hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE) < 0)
                return -EIO;
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
                if (hwloc_topology_set_type_filter(hwloc, wanted[i], HWLOC_TYPE_FILTER_KEEP_ALL) <
                    0)
                        return -EIO;
        return 0;
}

/* Loads the topology of the running system or of HWLOC_FSROOT. */
static int load(hwloc_topology_t *ret)
{
        _cleanup_(destroy_topology) hwloc_topology_t hwloc = NULL;

        if (hwloc_topology_init(&hwloc) < 0)
                return -ENOMEM;
        /* That component binds the calling thread to each CPU in turn. */
        (void)hwloc_topology_set_components(hwloc, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
        /* The daemon's own cpuset is no bound to what it looks after. */
        if (choose_objects(hwloc) < 0 ||
            hwloc_topology_set_flags(hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) < 0 ||
            hwloc_topology_load(hwloc) < 0)
                return -EIO;
        *ret = TAKE_PTR(hwloc);
        return 0;
}

/* Sets NAME, or unsets it for NULL. */
static int set_variable(const char *name, const char *value)
{
        return (value ? setenv(name, value, 1) : unsetenv(name)) < 0 ? -ENOMEM : 0;
}

static int load_below(const char *root, hwloc_topology_t *ret)
{
        const char *name = "HWLOC_FSROOT", *previous = getenv(name);
        _cleanup_free_ char *saved = NULL;
        int r, q;

        saved = previous ? strdup(previous) : NULL;
        if (previous && !saved)
                return -ENOMEM;
        r = set_variable(name, root);
        if (r < 0)
                return r;
        r = load(ret);
        q = set_variable(name, saved);
        return r < 0 ? r : q;
}

/* Loads what is below the parent of SYS_ROOT. */
static int load_machine(const char *sys_root, hwloc_topology_t *ret)
{
        static const char sys[] = "/sys";
        size_t length = strlen(sys_root);
        _cleanup_free_ char *root = NULL;

        /* Once set they stay, so that later calls leave the environment alone. A broken firmware's
         * tables are no reason for hwloc to write to standard error. */
        if (setenv("HWLOC_PLUGINS_PATH", "/nonexistent", 0) < 0 ||
            setenv("HWLOC_HIDE_ERRORS", "2", 0) < 0)
                return -ENOMEM;
        if (streq(sys_root, sys))
                return load(ret);
        if (length <= strlen(sys) || !streq(sys_root + length - strlen(sys), sys))
                return -EOPNOTSUPP;
        root = strndup(sys_root, length - strlen(sys));
        return root ? load_below(root, ret) : -ENOMEM;
}

/* Descriptors that hwloc has open at a time, and some more. */
#define HWLOC_DESCRIPTORS 8U

/* hwloc says nothing of files that it could not open: it takes them for missing. Returns 0 or
 * -EMFILE, -ENFILE, -ENOMEM. */
static int spare_descriptors(int sys_fd)
{
        int fds[HWLOC_DESCRIPTORS], r = 0;
        unsigned n = 0;

        while (n < ARRAY_SIZE(fds) && r == 0) {
                fds[n] = open_at(sys_fd, ".", O_DIRECTORY);
                if (fds[n] >= 0)
                        n++;
                else
                        r = fds[n];
        }
        while (n > 0)
                close(fds[--n]);
        return r;
}

int machine_read(int sys_fd, const char *sys_root, struct topology **ret)
{
        _cleanup_(destroy_topology) hwloc_topology_t hwloc = NULL;
        _cleanup_cpuset_ struct cpuset online = {0};
        int r;

        r = cpulist_read_at(sys_fd, "devices/system/cpu/online", &online);
        if (r < 0)
                return r;
        r = spare_descriptors(sys_fd);
        if (r < 0)
                return r;
        r = load_machine(sys_root, &hwloc);
        if (r == -ENOMEM)
                return r;
        if (r == 0)
                return machine_from_hwloc(hwloc, sys_fd, &online, ret);
        r = machine_flat(sys_fd, &online, ret);
        return r < 0 ? r : 1;
}

int machine_probe(const char *sys_root)
{
        _cleanup_(destroy_topology) hwloc_topology_t hwloc = NULL;

        return load_machine(sys_root, &hwloc);
}
