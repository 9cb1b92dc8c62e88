/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "reference.h"

static double busy(double demand)
{
        return demand < 1 ? demand : 1;
}

double reference_potential(const struct machine *m)
{
        double demand[MACHINE_CPUS], sum = 0;

        for (unsigned k = 0; k < m->n_cpus; k++) {
                demand[k] = (double)m->cpus[k].background;
                /* A background alone: one that sees itself and half of itself. */
                sum += (demand[k] + demand[k] * demand[k] / 2) / (double)m->seeds[k].capacity;
        }
        for (unsigned i = 0; i < m->n_threads; i++) {
                const struct snapshot_thread *t = &m->threads[i];

                sum += (double)t->demand * (1 + demand[t->cpu]) / (double)m->seeds[t->cpu].capacity;
                if (m->seeds[t->cpu].node != t->home_node)
                        sum += (double)m->params.node_penalty * (double)t->demand;
                demand[t->cpu] += (double)t->demand;
        }
        for (unsigned a = 0; a < m->n_cpus; a++)
                for (unsigned k = a + 1; k < m->n_cpus; k++)
                        if (m->seeds[a].core == m->seeds[k].core)
                                sum += (double)m->params.smt_weight * busy(demand[a]) *
                                       busy(demand[k]) / (double)m->seeds[a].capacity;
        return sum;
}

static double demand_of(const struct machine *m, unsigned cpu)
{
        double demand = (double)m->cpus[cpu].background;

        for (unsigned i = 0; i < m->n_threads; i++)
                if (m->threads[i].cpu == cpu)
                        demand += (double)m->threads[i].demand;
        return demand;
}

double reference_waste(const struct machine *m)
{
        double sum = 0;

        for (unsigned k = 0; k < m->n_cpus; k++) {
                double demand = demand_of(m, k), full = 0.98 * (double)m->seeds[k].capacity;

                sum += demand < full ? demand * demand / 2
                                     : full * full / 2 + full * (demand - full);
        }
        return sum;
}

double reference_weight_potential(const struct machine *m)
{
        double sum = 0;

        for (unsigned k = 0; k < m->n_cpus; k++) {
                double weight = (double)m->cpus[k].background;

                for (unsigned i = 0; i < m->n_threads; i++)
                        if (m->threads[i].cpu == k)
                                weight +=
                                        (double)m->threads[i].demand * (double)m->threads[i].weight;
                sum += weight * weight / 2;
        }
        return sum;
}

/* Kuhn's algorithm: gives THREAD a CPU, moving earlier ones on. */
static bool give_cpu(const struct machine *m, unsigned thread, int *owner, bool *tried)
{
        for (unsigned k = 0; k < m->n_cpus; k++) {
                if (!(m->masks[thread] >> k & 1) || tried[k])
                        continue;
                tried[k] = true;
                if (owner[k] < 0 || give_cpu(m, (unsigned)owner[k], owner, tried)) {
                        owner[k] = (int)thread;
                        return true;
                }
        }
        return false;
}

unsigned reference_matching(const struct machine *m)
{
        int owner[MACHINE_CPUS];
        unsigned n = 0;

        for (unsigned k = 0; k < MACHINE_CPUS; k++)
                owner[k] = -1;
        for (unsigned i = 0; i < m->n_threads; i++) {
                bool tried[MACHINE_CPUS] = {false};

                n += give_cpu(m, i, owner, tried);
        }
        return n;
}
