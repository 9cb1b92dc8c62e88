/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sim/free.h"

#include <errno.h>
#include <math.h>

#include "base/macro.h"
#include "sim/machine.h"

#define NO_TASK UINT32_MAX
#define NO_CPU  UINT32_MAX

/* How much more than the others a task may be held to have had when it wakes. */
#define WAKE_ARREARS ((double)(2 * MACHINE_SLICE_NSEC))

struct share {
        double had;        /* work by weight */
        nsec_t slice_left; /* until it must wait for its turn again */
        unsigned cpu;      /* in this step, or NO_CPU */
        bool served;       /* in this step */
};

struct queue {
        struct workload *workload;
        const struct topology *topology;
        unsigned *ranking; /* CPUs, the most wanted first */
        unsigned *task_on; /* by CPU: in this step, or NO_TASK */
        bool *visited;     /* by CPU, of the search for a path */
        struct share *shares;
        unsigned *order; /* all tasks, those that have had least first */
        unsigned n_shares, n_allocated;
        double least_had; /* at the end of the last step */
        bool has_masks;
};

static void queue_done(struct queue *q)
{
        free(q->ranking);
        free(q->task_on);
        free(q->visited);
        free(q->shares);
        free(q->order);
}

/* Puts CPU among those ranked so far, behind its equals. */
static void rank_first(struct queue *q, unsigned n, unsigned cpu)
{
        const struct topology_cpu *cpus = q->topology->cpus;
        unsigned i = n;

        for (; i > 0 && cpus[q->ranking[i - 1]].capacity < cpus[cpu].capacity; i--)
                q->ranking[i] = q->ranking[i - 1];
        q->ranking[i] = cpu;
}

/* First one CPU of each core, the faster ones first; then their siblings the other way round, so
 * that the CPUs that come first are those that are shared last. */
static void rank(struct queue *q)
{
        const struct topology *topology = q->topology;
        unsigned n = 0;

        for (; n < topology->n_cores; n++)
                rank_first(q, n, topology->cores[n].first);
        for (unsigned sibling = 1; n < topology->n_cpus; sibling++)
                for (unsigned i = topology->n_cores; i-- > 0;) {
                        unsigned first = q->ranking[i];

                        if (sibling < topology->cores[topology->cpus[first].core].count)
                                q->ranking[n++] = first + sibling;
                }
}

static int queue_init(struct queue *q, struct workload *workload, const struct topology *topology)
{
        *q = (struct queue){.workload = workload, .topology = topology};
        q->ranking = calloc(topology->n_cpus, sizeof(*q->ranking));
        q->task_on = calloc(topology->n_cpus, sizeof(*q->task_on));
        q->visited = calloc(topology->n_cpus, sizeof(*q->visited));
        if (!q->ranking || !q->task_on || !q->visited)
                return -ENOMEM;
        rank(q);
        return 0;
}

static int reserve(struct queue *q)
{
        unsigned n = MAX(q->workload->n_allocated, 1U), *order;
        struct share *shares;

        if (q->shares && q->n_allocated >= n)
                return 0;
        shares = realloc(q->shares, n * sizeof(*shares));
        if (!shares)
                return -ENOMEM;
        q->shares = shares;
        order = realloc(q->order, n * sizeof(*order));
        if (!order)
                return -ENOMEM;
        q->order = order;
        q->n_allocated = n;
        return 0;
}

static bool is_ready(const struct queue *q, unsigned task)
{
        return q->workload->tasks[task].state == TASK_READY;
}

static bool may_use(const struct queue *q, unsigned task, unsigned cpu)
{
        const struct cpuset *mask = &q->workload->tasks[task].spec.mask;

        return cpuset_is_empty(mask) || cpuset_contains(mask, cpu);
}

/* What the one of those ready has had that has had least; as before if none is. */
static void note_least(struct queue *q)
{
        double least = HUGE_VAL;

        for (unsigned i = 0; i < q->n_shares; i++)
                if (is_ready(q, i))
                        least = MIN(least, q->shares[i].had);
        if (isfinite(least))
                q->least_had = least;
}

static void add_new(struct queue *q)
{
        const struct workload *w = q->workload;

        for (; q->n_shares < w->n_tasks; q->n_shares++) {
                q->shares[q->n_shares] = (struct share){.had = q->least_had};
                q->order[q->n_shares] = q->n_shares;
                q->has_masks |= !cpuset_is_empty(&w->tasks[q->n_shares].spec.mask);
        }
}

/* Who wakes has no arrears, and of its past no more than what a slice or two would be is held
 * against it. */
static void take_in(struct queue *q)
{
        const struct workload *w = q->workload;

        add_new(q);
        for (unsigned i = 0; i < w->n_woken && w->woken[i] < q->n_shares; i++) {
                struct share *share = &q->shares[w->woken[i]];

                share->had = MAX(share->had, q->least_had);
                share->had = MIN(share->had, q->least_had + WAKE_ARREARS);
        }
}

/* Who has begun a slice may end it; otherwise who has had least comes first. */
static bool comes_before(const struct share *a, const struct share *b)
{
        if ((a->slice_left > 0) != (b->slice_left > 0))
                return a->slice_left > 0;
        return a->had < b->had;
}

/* By insertion: from one step to the next the order changes little. */
static void sort(struct queue *q)
{
        for (unsigned i = 1; i < q->n_shares; i++) {
                unsigned task = q->order[i], j = i;

                for (; j > 0 && comes_before(&q->shares[task], &q->shares[q->order[j - 1]]); j--)
                        q->order[j] = q->order[j - 1];
                q->order[j] = task;
        }
}

static void assign(struct queue *q, unsigned task, unsigned cpu)
{
        q->task_on[cpu] = task;
        q->shares[task].cpu = cpu;
}

/* Finds a CPU for TASK, where need be by moving others to other CPUs that they may use. */
static bool find_path(struct queue *q, unsigned task)
{
        for (unsigned i = 0; i < q->topology->n_cpus; i++) {
                unsigned k = q->ranking[i];

                if (q->visited[k] || !may_use(q, task, k))
                        continue;
                q->visited[k] = true;
                if (q->task_on[k] == NO_TASK || find_path(q, q->task_on[k])) {
                        assign(q, task, k);
                        return true;
                }
        }
        return false;
}

/* The most wanted free CPU of NODE (negative: of any), or NO_CPU. */
static unsigned find_free(const struct queue *q, int node)
{
        for (unsigned i = 0; i < q->topology->n_cpus; i++) {
                unsigned k = q->ranking[i];

                if (q->task_on[k] == NO_TASK &&
                    (node < 0 || q->topology->cpus[k].node == (unsigned)node))
                        return k;
        }
        return NO_CPU;
}

static void assign_by_mask(struct queue *q)
{
        unsigned n_assigned = 0;

        for (unsigned i = 0; i < q->n_shares && n_assigned < q->topology->n_cpus; i++) {
                if (!is_ready(q, q->order[i]))
                        continue;
                memset(q->visited, 0, q->topology->n_cpus * sizeof(*q->visited));
                n_assigned += find_path(q, q->order[i]);
        }
}

/* Those whose turn it is: beside their memory first, then wherever there is room. */
static void assign_by_node(struct queue *q)
{
        for (unsigned pass = 0; pass < 2; pass++) {
                unsigned n_turns = 0;

                for (unsigned i = 0; i < q->n_shares && n_turns < q->topology->n_cpus; i++) {
                        unsigned task = q->order[i], k;

                        if (!is_ready(q, task))
                                continue;
                        n_turns++;
                        if (q->shares[task].cpu != NO_CPU)
                                continue;
                        k = find_free(q, pass == 0 ? q->workload->tasks[task].spec.home_node
                                                   : TASK_NO_HOME);
                        if (k != NO_CPU)
                                assign(q, task, k);
                }
        }
}

static double pace_on(const struct queue *q, unsigned task, unsigned cpu)
{
        const struct topology_cpu *place = &q->topology->cpus[cpu];
        const struct topology_range *core = &q->topology->cores[place->core];
        int home = q->workload->tasks[task].spec.home_node;
        double pace = (double)place->capacity;

        if (home >= 0 && (unsigned)home != place->node)
                pace *= MACHINE_REMOTE_SPEED;
        for (unsigned s = core->first; s < core->first + core->count; s++)
                if (s != cpu && q->task_on[s] != NO_TASK)
                        return pace * MACHINE_SMT_SPEED;
        return pace;
}

/* Gives TASK up to SPAN of CPU. Returns what it took. */
static double serve_task(struct queue *q, unsigned task, unsigned cpu, double span, nsec_t end)
{
        struct task *t = &q->workload->tasks[task];
        double pace = pace_on(q, task, cpu), work = MIN(span * pace, t->left);

        q->shares[task].had += work / machine_weight(t->spec.nice);
        q->shares[task].served = true;
        workload_give(q->workload, task, work, end - (nsec_t)(span - work / pace));
        return work / pace;
}

/* A CPU that is done with its task before the step ends takes the next that may use it. */
static void serve_cpu(struct queue *q, unsigned cpu, nsec_t end)
{
        double left = (double)MACHINE_STEP_NSEC;

        left -= serve_task(q, q->task_on[cpu], cpu, left, end);
        for (unsigned i = 0; left > 1 && i < q->n_shares; i++) {
                unsigned task = q->order[i];

                if (is_ready(q, task) && !q->shares[task].served && q->shares[task].cpu == NO_CPU &&
                    may_use(q, task, cpu))
                        left -= serve_task(q, task, cpu, left, end);
        }
}

static void end_slice(struct queue *q, unsigned task)
{
        struct share *share = &q->shares[task];

        if (!share->served || !is_ready(q, task))
                share->slice_left = 0;
        else if (share->slice_left > 0)
                share->slice_left -= MIN(share->slice_left, MACHINE_STEP_NSEC);
        else
                share->slice_left = MACHINE_SLICE_NSEC - MACHINE_STEP_NSEC;
}

static void serve_step(struct queue *q, nsec_t end)
{
        sort(q);
        for (unsigned i = 0; i < q->n_shares; i++) {
                q->shares[i].cpu = NO_CPU;
                q->shares[i].served = false;
        }
        for (unsigned k = 0; k < q->topology->n_cpus; k++)
                q->task_on[k] = NO_TASK;
        if (q->has_masks)
                assign_by_mask(q);
        else
                assign_by_node(q);
        for (unsigned k = 0; k < q->topology->n_cpus; k++)
                if (q->task_on[k] != NO_TASK)
                        serve_cpu(q, k, end);
        for (unsigned i = 0; i < q->n_shares; i++)
                end_slice(q, i);
        note_least(q);
}

int free_serve(struct workload *workload, const struct topology *topology, nsec_t span)
{
        _cleanup_(queue_done) struct queue q;
        int r;

        r = queue_init(&q, workload, topology);
        for (nsec_t now = 0; r >= 0 && now < span; now += MACHINE_STEP_NSEC) {
                r = workload_advance(workload, now);
                if (r < 0)
                        break;
                r = reserve(&q);
                if (r < 0)
                        break;
                take_in(&q);
                serve_step(&q, now + MACHINE_STEP_NSEC);
        }
        return r;
}

/* The best placement. */

struct placement {
        const struct workload *workload;
        unsigned n_cpus;
        unsigned *cpus;  /* by task */
        double *demands; /* by task */
        double *loads;   /* by CPU */
};

static void placement_done(struct placement *p)
{
        free(p->demands);
        free(p->loads);
}

static bool may_be_placed(const struct placement *p, unsigned task, unsigned cpu)
{
        const struct cpuset *mask = &p->workload->tasks[task].spec.mask;

        return cpuset_is_empty(mask) || cpuset_contains(mask, cpu);
}

static void place(struct placement *p, unsigned task, unsigned cpu)
{
        p->loads[p->cpus[task]] -= p->demands[task];
        p->cpus[task] = cpu;
        p->loads[cpu] += p->demands[task];
}

#define LEAST_GAIN 1e-9

static bool improve_by_move(struct placement *p, unsigned task)
{
        double d = p->demands[task];

        for (unsigned k = 0; k < p->n_cpus; k++)
                if (k != p->cpus[task] && may_be_placed(p, task, k) &&
                    p->loads[p->cpus[task]] - d - p->loads[k] > LEAST_GAIN) {
                        place(p, task, k);
                        return true;
                }
        return false;
}

static bool improve_by_swap(struct placement *p, unsigned task)
{
        for (unsigned other = 0; other < task; other++) {
                unsigned a = p->cpus[task], b = p->cpus[other];
                double less = p->demands[task] - p->demands[other];

                if (a == b || !may_be_placed(p, task, b) || !may_be_placed(p, other, a))
                        continue;
                if (less * (p->loads[a] - p->loads[b] - less) <= LEAST_GAIN)
                        continue;
                place(p, task, b);
                place(p, other, a);
                return true;
        }
        return false;
}

int free_place(const struct workload *workload, unsigned n_cpus, unsigned *ret_cpus)
{
        _cleanup_(placement_done) struct placement p = {
                .workload = workload, .n_cpus = n_cpus, .cpus = ret_cpus};
        bool improved = true;

        p.demands = calloc(MAX(workload->n_tasks, 1U), sizeof(*p.demands));
        p.loads = calloc(n_cpus, sizeof(*p.loads));
        if (!p.demands || !p.loads)
                return -ENOMEM;
        for (unsigned i = 0; i < workload->n_tasks; i++) {
                p.cpus[i] = workload->tasks[i].spec.cpu;
                p.demands[i] = task_demand(&workload->tasks[i]);
                p.loads[p.cpus[i]] += p.demands[i];
        }
        while (improved) {
                improved = false;
                for (unsigned i = 0; i < workload->n_tasks; i++)
                        improved |= improve_by_move(&p, i) || improve_by_swap(&p, i);
        }
        return 0;
}
