/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/encode.h"

#include <errno.h>
#include <math.h>

#include "base/escape.h"

json_t *encode_cpus(const struct cpuset *cpus)
{
        _cleanup_free_ char *list = NULL;

        return cpuset_format_list(cpus, &list) < 0 ? NULL : json_string(list);
}

json_t *encode_configuration(const struct server *server)
{
        const char *const *file = server->host.configuration(server->host.userdata);
        json_auto_t *files = json_array();

        for (; *file; file++)
                if (json_array_append_new(files, json_string(*file)) < 0)
                        return NULL;
        return json_incref(files);
}

/* JSON has no infinity. */
static double real(float value)
{
        return isfinite(value) ? (double)value : 0;
}

/* Names are foreign bytes. */
static json_t *encode_comm(const char comm[static KERNEL_COMM_SIZE])
{
        char escaped[ESCAPED_SIZE(KERNEL_COMM_SIZE)];

        return json_string(escape_text(comm, KERNEL_COMM_SIZE, escaped));
}

static json_int_t usec(nsec_t span)
{
        return (json_int_t)(span / NSEC_PER_USEC);
}

json_t *encode_cpu(const struct cpu_view *view)
{
        json_auto_t *cpu = json_pack("{s:i, s:i, s:i, s:i, s:f, s:b, s:f, s:i, s:f}", "cpu",
                                     (int)view->cpu, "core", (int)view->core, "llc", (int)view->llc,
                                     "node", (int)view->node, "capacity", real(view->capacity),
                                     "balanced", view->balanced, "idle", real(view->idle),
                                     "threads", (int)view->n_threads, "demand", real(view->demand));

        if (!cpu || (view->has_waiting &&
                     json_object_set_new(cpu, "waiting", json_real(real(view->waiting))) < 0))
                return NULL;
        return json_incref(cpu);
}

/* What is known of a watched thread alone. */
static int add_watched(json_t *thread, const struct thread_view *view, nsec_t now)
{
        json_auto_t *more = json_pack("{s:f, s:f, s:f}", "run", real(view->run), "wait",
                                      real(view->wait), "demand", real(view->demand));

        if (view->moved_at != 0 &&
            json_object_set_new(more, "movedAgoUSec",
                                json_integer(usec(now - MIN(now, view->moved_at)))) < 0)
                return -ENOMEM;
        return json_object_update(thread, more) < 0 ? -ENOMEM : 0;
}

json_t *encode_thread(const struct thread_view *view, nsec_t now)
{
        const char state[] = {view->state, '\0'};
        json_auto_t *thread = json_pack(
                "{s:i, s:i, s:o, s:I, s:i, s:o, s:s, s:i, s:b}", "tid", (int)view->tid, "pid",
                (int)view->tgid, "comm", encode_comm(view->comm), "uid", (json_int_t)view->uid,
                "cpu", (int)view->cpu, "affinity", encode_cpus(&view->affinity), "state", state,
                "priority", view->prio, "watched", view->watched);

        if (!thread || (view->watched && add_watched(thread, view, now) < 0) ||
            json_object_set_new(thread, "verdict", json_string(verdict_to_string(view->verdict))) <
                    0)
                return NULL;
        return json_incref(thread);
}

/* What the interface calls the end of a move. */
static const char *result_name(enum mover_result result)
{
        return result == MOVER_NO_ROOM ? "noRoom" : mover_result_to_string(result);
}

static bool set(json_t *object, const char *name, json_t *value)
{
        return json_object_set_new(object, name, value) == 0;
}

static bool add_switches(json_t *object, const struct kernel_switches *switches)
{
        return set(object, "voluntarySwitches", json_integer((json_int_t)switches->n_voluntary)) &&
               set(object, "involuntarySwitches",
                   json_integer((json_int_t)switches->n_involuntary));
}

static bool add_result(json_t *object, const struct decision *decision)
{
        return set(object, "result", json_string(result_name(decision->result))) &&
               (decision->error == 0 ||
                set(object, "error", json_string(strerrorname_np(-decision->error) ?: "?"))) &&
               set(object, "durationUSec", json_integer(usec(decision->took)));
}

json_int_t encode_time(nsec_t at, const struct calendar *calendar)
{
        return usec(calendar_realtime(calendar, at));
}

json_t *encode_decision(const struct decision *decision, const struct calendar *calendar)
{
        json_auto_t *object =
                json_pack("{s:I, s:i, s:i, s:o, s:i, s:i, s:i, s:s}", "timeUSec",
                          encode_time(decision->boottime_at, calendar), "tid", (int)decision->tid,
                          "pid", (int)decision->tgid, "comm", encode_comm(decision->comm),
                          "priority", decision->prio, "from", (int)decision->from, "to",
                          (int)decision->to, "reason", move_reason_to_string(decision->reason));

        if (!object ||
            (decision->chain > 0 && !set(object, "chain", json_integer(decision->chain))) ||
            !set(object, "gain", json_real(real(decision->gain))) ||
            !set(object, "loadFrom", json_real(real(decision->load_from))) ||
            !set(object, "loadTo", json_real(real(decision->load_to))) ||
            (decision->has_switches && !add_switches(object, &decision->switches)) ||
            (decision->carried_out && !add_result(object, decision)))
                return NULL;
        return json_incref(object);
}

json_t *encode_notice(const struct notice *notice, nsec_t at, const struct calendar *calendar)
{
        return json_pack("{s:I, s:i, s:s}", "timeUSec", encode_time(at, calendar), "level",
                         notice->level, "text", notice->text);
}
