# SPDX-License-Identifier: LGPL-2.1-or-later
"""What balancerd claims to have moved, held against what a trace of the kernel saw. Plain data.

The trace is the output of PROGRAM, run by bpftrace. Times are nanoseconds of CLOCK_MONOTONIC. A
migration is the daemon's doing if it came of a call by which the daemon set that thread's affinity (the
caller makes it, or the stopper thread of the CPU), or if a wakeup took the thread to where the daemon's
narrow mask had it go. Every other one must have a cause, too.
"""

import collections
import dataclasses
import math
from dataclasses import dataclass, field

# Each event is a line, some with the kernel's stack in lines behind it. They come in no order: every CPU
# has a buffer of its own. bpftrace attaches the probes from the last to the first.
PROGRAM = r"""
tracepoint:sched:sched_migrate_task {
    printf("migrate %llu %d %d %d %d %d\n%s", nsecs, tid, pid, args.pid, args.orig_cpu, args.dest_cpu, kstack(16));
    @told = count();
}
fentry:vmlinux:__set_cpus_allowed_ptr {
    printf("call %llu %d %d %d %llx\n", nsecs, tid, pid, args.p->pid, args.ctx->new_mask->bits[0]);
    @told = count();
}
fexit:vmlinux:__set_cpus_allowed_ptr {
    printf("called %llu %d %d %d\n", nsecs, tid, pid, args.p->pid); @told = count();
}
fentry:vmlinux:stop_one_cpu, fentry:vmlinux:stop_two_cpus {
    printf("stop %llu %d %d\n", nsecs, tid, pid); @told = count();
}
fexit:vmlinux:stop_one_cpu, fexit:vmlinux:stop_two_cpus {
    printf("stopped %llu %d %d\n", nsecs, tid, pid); @told = count();
}
fentry:vmlinux:move_queued_task {
    printf("queued %llu %d %d %d %d %d\n", nsecs, tid, pid, args.p->pid, args.p->thread_info.cpu, args.new_cpu);
    @told = count();
}
"""
KINDS = ("call", "called", "stop", "stopped", "queued", "migrate")


@dataclass(frozen=True)
class Migration:
    """A thread got another CPU."""

    at: int
    by: int  # the thread that ran where it happened, and its process
    process: int
    tid: int
    orig: int
    dest: int
    stack: tuple = ()  # names of functions, the innermost first


@dataclass(frozen=True)
class Span:
    """From when to when a thread was in a call that may move thread TID."""

    began: int
    ended: int
    by: int
    process: int
    tid: int
    mask: int = 0  # the affinity that was set; 0: it asked a stopper thread to move itself

    def holds(self, migration):
        return self.tid == migration.tid and self.began <= migration.at <= self.ended


@dataclass
class Trace:
    migrations: list = field(default_factory=list)  # each list in the order of time
    queued: list = field(default_factory=list)  # those by move_queued_task()
    calls: list = field(default_factory=list)  # Spans in which an affinity was set
    stops: list = field(default_factory=list)  # Spans in which a thread waited for a stopper thread


@dataclass(frozen=True)
class Claim:
    """A move that balancerd says it made."""

    at: int
    took: int
    tid: int
    orig: int
    dest: int


# Reading a trace.


def events(text):
    """[[kind, number, ..., stack]] in the order of time."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if line[:1].isspace() and words:
            found[-1][-1].append(words[0].partition("+")[0])
        elif words and words[0] in KINDS:
            *decimal, last = words[1:]
            found.append([words[0], *map(int, decimal), int(last, 16 if words[0] == "call" else 10), []])
    return sorted(found, key=lambda event: event[1])


def paired(began, ended, span):
    """Spans of each beginning and the end that follows it in the same thread; without an end it goes on."""
    ends = collections.defaultdict(list)
    for event in ended:
        ends[event[2]].append(event[1])
    for event in began:
        yield span(event, next((at for at in ends[event[2]] if at >= event[1]), math.inf))


def parse(text, since=0, until=math.inf):
    """The Trace of which TEXT tells, from SINCE until UNTIL."""
    of_kind = {kind: [] for kind in KINDS}
    for event in events(text):
        if since <= event[1] <= until:
            of_kind[event[0]].append(event)

    def migrations(kind):
        return [Migration(*event[1:-1], tuple(event[-1])) for event in of_kind[kind]]

    def affinity_set(event, end):
        return Span(event[1], end, *event[2:-1])

    def asked_stopper(event, end):
        return Span(event[1], end, *event[2:-1], event[2])

    return Trace(
        migrations("migrate"),
        migrations("queued"),
        list(paired(of_kind["call"], of_kind["called"], affinity_set)),
        list(paired(of_kind["stop"], of_kind["stopped"], asked_stopper)),
    )


# Who made a migration.

# From the call of move_queued_task() to the migration that it makes, on a CPU of an emulated machine.
QUEUED_WITHIN = 1_000_000_000

# Functions that stand in the stack of a migration by the kernel itself.
KERNEL_CAUSES = {
    "wakeup": ("try_to_wake_up", "wake_up_new_task"),
    "load balancing": ("sched_balance_rq", "active_load_balance_cpu_stop", "detach_one_task"),
    "real-time balancing": ("push_rt_task", "pull_rt_task", "push_cpu_stop"),
}


def is_single(mask):
    return mask & (mask - 1) == 0


def moving_calls(trace, daemons):
    """{tid: calls by which one of the processes DAEMONS set the affinity of that thread, which is not the caller}"""
    calls = collections.defaultdict(list)
    for call in trace.calls:
        if call.process in daemons and call.by != call.tid:
            calls[call.tid].append(call)
    return calls


def narrow_spans(calls):
    """From the beginning of each call that left a thread one CPU to the end of the one that gave its mask
    back."""
    return [
        dataclasses.replace(call, ended=after.ended) for call, after in zip(calls, calls[1:]) if is_single(call.mask)
    ]


def is_forced(migration, calls):
    """Whether CALLS about this thread made it."""
    if "move_queued_task" in migration.stack and any(call.holds(migration) for call in calls):
        return True
    return any(span.holds(migration) and span.mask >> migration.dest & 1 for span in narrow_spans(calls))


def cause(migration, trace, daemons):
    """Why a migration that is no move of the daemon's was made; None: nobody knows."""
    holding = [call for call in trace.calls if call.holds(migration)]
    if any(call.process in daemons and call.by == call.tid for call in holding):
        return "the daemon's own thread"
    if any(call.process not in daemons for call in holding):
        return "affinity set by others"
    if any(stop.holds(migration) for stop in trace.stops):
        return "exec or NUMA balancing"
    for name, functions in KERNEL_CAUSES.items():
        if set(functions) & set(migration.stack):
            return name
    return None


def was_queued(migration, trace):
    """Whether move_queued_task() was seen to make it, not a wakeup."""
    return any(
        (one.by, one.tid, one.orig, one.dest) == (migration.by, migration.tid, migration.orig, migration.dest)
        and 0 <= migration.at - one.at < QUEUED_WITHIN
        for one in trace.queued
    )


# The comparison.


@dataclass
class Verdict:
    matched: list = field(default_factory=list)  # [(Claim, Migration)]
    missing: list = field(default_factory=list)  # claims that the trace does not have
    unclaimed: list = field(default_factory=list)  # the daemon's migrations that it does not claim
    others: collections.Counter = field(default_factory=collections.Counter)  # {cause: how many}
    unknown: list = field(default_factory=list)  # migrations without a cause


def fits(claim, migration, slack):
    """Whether MIGRATION is the move of CLAIM; SLACK: how far the claim's clock may be off."""
    return (claim.tid, claim.orig, claim.dest) == (migration.tid, migration.orig, migration.dest) and (
        claim.at - slack <= migration.at <= claim.at + claim.took + slack
    )


def compare(claims, trace, daemons, slack):
    """The Verdict on what the processes DAEMONS claim."""
    verdict = Verdict()
    calls = moving_calls(trace, daemons)
    for migration in trace.migrations:
        if is_forced(migration, calls[migration.tid]):
            verdict.unclaimed.append(migration)
        elif reason := cause(migration, trace, daemons):
            verdict.others[reason] += 1
        else:
            verdict.unknown.append(migration)
    for claim in claims:
        made = next((one for one in verdict.unclaimed if fits(claim, one, slack)), None)
        if made:
            verdict.unclaimed.remove(made)
            verdict.matched.append((claim, made))
        else:
            verdict.missing.append(claim)
    return verdict
