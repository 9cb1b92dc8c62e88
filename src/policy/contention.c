/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy/contention.h"

#include "policy/demand.h"

#define GRAIN      ((double)(1U << 20))
#define LARGEST    1e5 /* of demand x weight: nice -20 weighs 87 */
#define LEAST_BUSY 0.03

static double rounded(double value)
{
        /* Also catches what is no number. */
        if (!(value > 0))
                return 0;
        return (double)(int64_t)(MIN(value, LARGEST) * GRAIN + 0.5) / GRAIN;
}

struct load load_of(const struct snapshot_thread *thread)
{
        double demand = rounded(MIN((double)thread->demand, 1.0));

        return (struct load){
                .demand = demand,
                .weight = rounded(demand * (double)thread->weight),
                .home_node = thread->home_node,
        };
}

void contention_layout(struct contention *c, struct arena *arena, unsigned n_cpus)
{
        ARENA_TAKE(arena, c->cpus, n_cpus);
        ARENA_TAKE(arena, c->scratch, n_cpus);
        tree_layout(&c->by_seen, arena, n_cpus);
        tree_layout(&c->by_weight, arena, n_cpus);
        tree_layout(&c->sources, arena, n_cpus);
}

static void init_cpu(struct contention *c, const struct snapshot_cpu *seen, unsigned cpu)
{
        const struct topology_cpu *place = &c->topology->cpus[cpu];
        double background = rounded((double)seen->background);

        c->cpus[cpu] = (struct cpu_load){
                .demand = background,
                .weight = background,
                .capacity = (double)place->capacity,
                .core = c->topology->cores[place->core],
                .node = place->node,
                .target = !seen->balanced && !seen->draining,
                .source = !seen->balanced,
        };
        c->smt |= c->cpus[cpu].core.count > 1;
        c->even &= c->cpus[cpu].capacity >= c->cpus[0].capacity &&
                   c->cpus[cpu].capacity <= c->cpus[0].capacity;
}

static void add_thread(struct contention *c, const struct snapshot_thread *thread)
{
        struct cpu_load *cpu = &c->cpus[thread->cpu];
        struct load load = load_of(thread);

        cpu->demand += load.demand;
        cpu->squares += load.demand * load.demand;
        cpu->weight += load.weight;
        cpu->wait += rounded((double)thread->wait);
        if (cpu->node != load.home_node)
                c->away += load.demand;
}

static bool has_busy_sibling(const struct contention *c, unsigned cpu)
{
        struct topology_range core = c->cpus[cpu].core;

        for (unsigned k = core.first; k < core.first + core.count; k++)
                if (k != cpu && c->cpus[k].demand > LEAST_BUSY)
                        return true;
        return false;
}

double contention_of_siblings(const struct contention *c, unsigned cpu)
{
        struct topology_range core = c->cpus[cpu].core;
        double busy = 0;

        if (core.count == 1)
                return 0;
        for (unsigned k = core.first; k < core.first + core.count; k++)
                if (k != cpu)
                        busy += MIN(1.0, c->cpus[k].demand);
        return c->smt_weight * busy;
}

static double newcomer_sees(const struct contention *c, unsigned cpu)
{
        const struct cpu_load *k = &c->cpus[cpu];

        if (!k->target)
                return TREE_ABSENT;
        return (1 + k->demand + contention_of_siblings(c, cpu)) / k->capacity;
}

static double target_weight(const struct contention *c, unsigned cpu)
{
        const struct cpu_load *k = &c->cpus[cpu];

        return k->target && contention_saturated(c, cpu) ? k->weight : TREE_ABSENT;
}

static double source_order(const struct contention *c, unsigned cpu)
{
        const struct cpu_load *k = &c->cpus[cpu];

        if (!k->source)
                return TREE_ABSENT;
        return -(k->demand + contention_of_siblings(c, cpu)) / k->capacity;
}

static void fill(struct contention *c, struct tree *tree,
                 double (*value)(const struct contention *, unsigned))
{
        unsigned n = c->topology->n_cpus;

        for (unsigned cpu = 0; cpu < n; cpu++)
                c->scratch[cpu] = value(c, cpu);
        tree_fill(tree, c->scratch, n);
}

void contention_init(struct contention *c, const struct snapshot *snapshot,
                     const struct plan_params *params)
{
        unsigned n = snapshot->topology->n_cpus;

        c->topology = snapshot->topology;
        c->smt_weight = (double)params->smt_weight;
        c->node_penalty = (double)params->node_penalty;
        c->away = 0;
        c->smt = false;
        c->even = true;
        for (unsigned cpu = 0; cpu < n; cpu++)
                init_cpu(c, &snapshot->cpus[cpu], cpu);
        for (unsigned i = 0; i < snapshot->n_threads; i++)
                add_thread(c, &snapshot->threads[i]);
        for (unsigned cpu = 0; cpu < n; cpu++)
                c->cpus[cpu].source &= c->cpus[cpu].wait > (double)DEMAND_WAIT_NOISE ||
                                       c->cpus[cpu].capacity < 1 || has_busy_sibling(c, cpu);
        fill(c, &c->by_seen, newcomer_sees);
        fill(c, &c->by_weight, target_weight);
        fill(c, &c->sources, source_order);
}

double contention_seen(const struct contention *c, const struct load *load, unsigned from,
                       unsigned cpu)
{
        const struct cpu_load *k = &c->cpus[cpu];
        double seen = 1 + k->demand - (cpu == from ? load->demand : 0);

        if (k->core.count > 1) {
                double busy = 0;

                for (unsigned s = k->core.first; s < k->core.first + k->core.count; s++)
                        if (s != cpu)
                                busy += MIN(1.0,
                                            c->cpus[s].demand - (s == from ? load->demand : 0));
                seen += c->smt_weight * busy;
        }
        seen /= k->capacity;
        return k->node == load->home_node ? seen : seen + c->node_penalty;
}

double contention_of_nodes(const struct contention *c, const struct load *load, unsigned from,
                           unsigned to)
{
        bool away_before = c->cpus[from].node != load->home_node;
        bool away_after = c->cpus[to].node != load->home_node;

        return c->node_penalty * load->demand * (away_after - away_before);
}

void contention_shift(struct contention *c, const struct load *load, unsigned from, unsigned to)
{
        struct cpu_load *a = &c->cpus[from], *k = &c->cpus[to];

        a->demand -= load->demand;
        a->squares -= load->demand * load->demand;
        a->weight -= load->weight;
        k->demand += load->demand;
        k->squares += load->demand * load->demand;
        k->weight += load->weight;
        if (a->node == load->home_node && k->node != load->home_node)
                c->away += load->demand;
        if (a->node != load->home_node && k->node == load->home_node)
                c->away -= load->demand;
}

void contention_refresh(struct contention *c, unsigned cpu)
{
        struct topology_range core = c->cpus[cpu].core;

        tree_set(&c->by_weight, cpu, target_weight(c, cpu));
        for (unsigned k = core.first; k < core.first + core.count; k++) {
                tree_set(&c->by_seen, k, newcomer_sees(c, k));
                tree_set(&c->sources, k, source_order(c, k));
        }
}

void contention_move(struct contention *c, const struct load *load, unsigned from, unsigned to)
{
        contention_shift(c, load, from, to);
        contention_refresh(c, from);
        contention_refresh(c, to);
}

void contention_drop_source(struct contention *c, unsigned cpu)
{
        c->cpus[cpu].source = false;
        tree_set(&c->sources, cpu, TREE_ABSENT);
}

double contention_of_cpu(const struct contention *c, unsigned cpu, double demand, double squares)
{
        /* Each thread sees itself and the others: summed over the moves that brought them here. */
        return (demand + (demand * demand - squares) / 2) / c->cpus[cpu].capacity;
}

/* Of all CPUs of the core: each by itself, and each pair of siblings. */
static double of_core(const struct contention *c, struct topology_range core)
{
        double sum = 0;

        for (unsigned k = core.first; k < core.first + core.count; k++) {
                const struct cpu_load *cpu = &c->cpus[k];

                sum += contention_of_cpu(c, k, cpu->demand, cpu->squares);
                for (unsigned s = core.first; s < k; s++)
                        sum += c->smt_weight * MIN(1.0, cpu->demand) * MIN(1.0, c->cpus[s].demand) *
                               (1 / cpu->capacity + 1 / c->cpus[s].capacity) / 2;
        }
        return sum;
}

double contention_potential(const struct contention *c)
{
        double sum = c->node_penalty * c->away;

        for (unsigned core = 0; core < c->topology->n_cores; core++)
                sum += of_core(c, c->topology->cores[core]);
        return sum;
}

static double of_both(const struct contention *c, unsigned a, unsigned b)
{
        double sum = c->node_penalty * c->away + of_core(c, c->cpus[a].core);

        return c->cpus[a].core.first == c->cpus[b].core.first ? sum
                                                              : sum + of_core(c, c->cpus[b].core);
}

double contention_change(struct contention *c, const struct load *load, unsigned from, unsigned to)
{
        double before = of_both(c, from, to), after;

        contention_shift(c, load, from, to);
        after = of_both(c, from, to);
        contention_shift(c, load, to, from);
        return after - before;
}

double contention_weight_potential(const struct contention *c)
{
        double sum = 0;

        for (unsigned cpu = 0; cpu < c->topology->n_cpus; cpu++)
                sum += c->cpus[cpu].weight * c->cpus[cpu].weight / 2;
        return sum;
}
