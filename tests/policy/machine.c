/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "machine.h"

#include <inttypes.h>

#define ALL_CPUS UINT64_MAX

static void require(int r)
{
        if (r < 0)
                abort();
}

uint64_t random_next(uint64_t *state)
{
        uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

unsigned random_below(uint64_t *state, unsigned n)
{
        return (unsigned)(random_next(state) % n);
}

double random_share(uint64_t *state)
{
        return (double)(random_next(state) >> 11) * 0x1p-53;
}

void machine_init(struct machine *m, unsigned n_cpus)
{
        *m = (struct machine){.n_cpus = n_cpus, .now = 100 * NSEC_PER_SEC};
        settings_init(&m->settings);
        plan_params_init(&m->params);
        for (unsigned k = 0; k < n_cpus; k++)
                m->seeds[k] = (struct topology_seed){.id = k, .core = k, .capacity = 1};
}

void machine_group(struct machine *m, unsigned by_core, unsigned by_llc, unsigned by_node)
{
        for (unsigned k = 0; k < m->n_cpus; k++) {
                m->seeds[k].core = k / by_core;
                m->seeds[k].llc = k / by_llc;
                m->seeds[k].node = k / by_node;
        }
}

void machine_balance(struct machine *m, float idle)
{
        for (unsigned k = 0; k < m->n_cpus; k++) {
                m->cpus[k].balanced = true;
                m->cpus[k].idle = m->cpus[k].idle_now = idle;
        }
}

struct snapshot_thread *machine_add_masked(struct machine *m, unsigned cpu, float demand,
                                           uint64_t mask)
{
        struct snapshot_thread *t = &m->threads[m->n_threads];

        if (m->n_threads == MACHINE_THREADS)
                abort();
        m->masks[m->n_threads] = mask;
        *t = (struct snapshot_thread){
                .tid = (pid_t)(100 + m->n_threads++),
                .flags = THREAD_RUNNABLE,
                .cpu = cpu,
                .home_node = m->seeds[cpu].node,
                .demand = demand,
                .run = demand,
                .run_smoothed = demand,
                .weight = 1,
                .cpu_since = m->now - 10 * NSEC_PER_SEC,
                .llc_since = m->now - 10 * NSEC_PER_SEC,
                .node_since = m->now - 10 * NSEC_PER_SEC,
        };
        return t;
}

struct snapshot_thread *machine_add(struct machine *m, unsigned cpu, float demand)
{
        return machine_add_masked(m, cpu, demand, ALL_CPUS);
}

void machine_settle(struct machine *m)
{
        double demand[MACHINE_CPUS] = {0};

        for (unsigned i = 0; i < m->n_threads; i++)
                demand[m->threads[i].cpu] += (double)m->threads[i].demand;
        for (unsigned i = 0; i < m->n_threads; i++) {
                struct snapshot_thread *t = &m->threads[i];
                double crowd = MAX(1.0, demand[t->cpu]);

                t->run = t->run_smoothed = (float)((double)t->demand / crowd);
                t->wait = (float)((double)t->demand * (1 - 1 / crowd));
        }
}

static uint64_t mask_of(const struct machine *m, unsigned thread)
{
        uint64_t online = m->n_cpus < 64 ? (UINT64_C(1) << m->n_cpus) - 1 : UINT64_MAX;

        return m->masks[thread] & online;
}

static unsigned intern(struct view *view, uint64_t mask)
{
        struct snapshot_class *mask_class;
        unsigned i;

        for (i = 0; i < view->snapshot.n_classes; i++)
                if (view->classes[i].cpus.words[0] == mask)
                        return i;
        mask_class = &view->classes[view->snapshot.n_classes++];
        require(cpuset_from_words(&mask_class->cpus, &mask, 1));
        mask_class->n_cpus = cpuset_count(&mask_class->cpus);
        return i;
}

static void init_ordered(struct view *view, const struct machine *m, const unsigned *order)
{
        *view = (struct view){0};
        require(topology_new(&view->topology, m->seeds, m->n_cpus));
        view->snapshot = (struct snapshot){
                .now = m->now,
                .interval = 20 * NSEC_PER_MSEC,
                .topology = view->topology,
                .cpus = m->cpus,
                .threads = view->threads,
                .n_threads = m->n_threads,
                .classes = view->classes,
        };
        for (unsigned i = 0; i < m->n_threads; i++) {
                view->threads[i] = m->threads[order[i]];
                view->threads[i].mask_class = intern(view, mask_of(m, order[i]));
        }
}

void view_init(struct view *view, const struct machine *m)
{
        unsigned order[MACHINE_THREADS] = {0};

        for (unsigned i = 0; i < m->n_threads; i++)
                order[i] = i;
        init_ordered(view, m, order);
}

void view_init_shuffled(struct view *view, const struct machine *m, uint64_t *random)
{
        unsigned order[MACHINE_THREADS] = {0};

        for (unsigned i = 0; i < m->n_threads; i++) {
                unsigned j = random_below(random, i + 1);

                order[i] = order[j];
                order[j] = i;
        }
        init_ordered(view, m, order);
}

void view_done(struct view *view)
{
        for (unsigned i = 0; i < view->snapshot.n_classes; i++)
                cpuset_done(&view->classes[i].cpus);
        topology_free(view->topology);
}

void machine_plan(const struct machine *m, struct plan *ret_plan)
{
        struct view view;

        view_init(&view, m);
        require(plan_build(&view.snapshot, &m->settings, &m->params, ret_plan));
        view_done(&view);
}

static void arrive(struct machine *m, struct snapshot_thread *t, const struct move *move)
{
        const struct topology_seed *from = &m->seeds[move->from], *to = &m->seeds[move->to];

        t->cpu = move->to;
        t->cpu_since = m->now;
        if (from->llc != to->llc)
                t->llc_since = m->now;
        if (from->node != to->node)
                t->node_since = m->now;
        if (move->reason == MOVE_ROTATE) {
                m->cpus[move->from].rotated_at = m->cpus[move->to].rotated_at = m->now;
                return;
        }
        t->moved_at = t->left_at = m->now;
        t->left_cpu = move->from;
        t->flags = from->node == to->node ? t->flags & ~THREAD_COLD_MOVED
                                          : t->flags | THREAD_COLD_MOVED;
}

void machine_apply(struct machine *m, const struct plan *plan)
{
        for (unsigned i = 0; i < plan->n_moves; i++)
                arrive(m, &m->threads[plan->moves[i].thread], &plan->moves[i]);
        machine_settle(m);
}

unsigned machine_count(const struct machine *m, unsigned cpu)
{
        unsigned n = 0;

        for (unsigned i = 0; i < m->n_threads; i++)
                n += m->threads[i].cpu == cpu;
        return n;
}

unsigned machine_busy(const struct machine *m)
{
        unsigned n = 0;

        for (unsigned k = 0; k < m->n_cpus; k++)
                n += machine_count(m, k) > 0;
        return n;
}

static void print_cpu(const struct machine *m, unsigned k, FILE *file)
{
        const struct topology_seed *seed = &m->seeds[k];
        const struct snapshot_cpu *cpu = &m->cpus[k];

        fprintf(file, "        m.seeds[%u] = (struct topology_seed){%u, %u, %u, %u, %.9gF};\n", k,
                seed->id, seed->core, seed->llc, seed->node, (double)seed->capacity);
        fprintf(file,
                "        m.cpus[%u] = (struct snapshot_cpu){%d, %d, %.9gF, %.9gF, %.9gF, "
                "%" PRIu64 "};\n",
                k, cpu->balanced, cpu->draining, (double)cpu->idle, (double)cpu->idle_now,
                (double)cpu->background, cpu->rotated_at);
}

static void print_thread(const struct machine *m, unsigned i, FILE *file)
{
        const struct snapshot_thread *t = &m->threads[i];

        fprintf(file,
                "        *machine_add_masked(&m, %u, 0, %#" PRIx64 ") = (struct snapshot_thread){"
                ".tid = %d, .flags = %#x, .cpu = %u, .home_node = %u, .demand = %.9gF, "
                ".run = %.9gF, .run_smoothed = %.9gF, .wait = %.9gF, .weight = %.9gF, "
                ".lag_sec = %.9gF, .moved_at = %" PRIu64 ", .left_at = %" PRIu64
                ", .left_cpu = %u, .cpu_since = %" PRIu64 ", .llc_since = %" PRIu64
                ", .node_since = %" PRIu64 "};\n",
                t->cpu, mask_of(m, i), (int)t->tid, t->flags, t->cpu, t->home_node,
                (double)t->demand, (double)t->run, (double)t->run_smoothed, (double)t->wait,
                (double)t->weight, (double)t->lag_sec, t->moved_at, t->left_at, t->left_cpu,
                t->cpu_since, t->llc_since, t->node_since);
}

void machine_print(const struct machine *m, FILE *file)
{
        fprintf(file, "        machine_init(&m, %u);\n", m->n_cpus);
        fprintf(file, "        m.settings.balance.across_nodes = %d;\n",
                (int)m->settings.balance.across_nodes);
        fprintf(file, "        m.settings.balance.rotate = %" PRIu64 ";\n",
                m->settings.balance.rotate);
        fprintf(file, "        m.now = %" PRIu64 ";\n", m->now);
        for (unsigned k = 0; k < m->n_cpus; k++)
                print_cpu(m, k, file);
        for (unsigned i = 0; i < m->n_threads; i++)
                print_thread(m, i, file);
}
