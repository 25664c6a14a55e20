"""One run that a worker watches: its process tree, its deadline, and the ladder that ends it."""

from __future__ import annotations

import os
import resource
import signal
from time import monotonic

from .. import clock
from ..model import Job, Options, Outcome
from . import cgroup, spawn, system
from .journal import REASONS, Trace
from .tree import ProcessTable, group_lives, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_peak = 0  # our own largest size, when it was last asked for


class Run:
    """A started run. `child` is False when it was adopted: its exit status is another process's to collect."""

    def __init__(self, job: Job, trace: Trace, cookie: bytes, options: Options, timeout_s: float) -> None:
        self.job = job
        self.trace = trace
        self.cookie = cookie
        self.options = options
        self.child = True
        self.found_ended = False  # adopted, and its process had ended before anybody looked
        self.pidfd = -1
        self.group: str | None = None  # its control group, when it has one
        self._seen: system.Seen | None = None  # how its process has ended, when it is our child
        self.began = monotonic()
        self.deadline = self.began + timeout_s if timeout_s else None
        self.ending = False  # the ladder has begun
        self.stop_reason = ""  # why: timeout, cancelled, stopped, output limit; empty for leftovers of a normal end
        self.note = ""
        self.log_seen = 0  # how long its log was at the last look
        self.kill_at = 0.0
        self.over = False  # the leader has ended; the rest of a tree that is being ended may not have
        self.asked_since: float | None = None  # adopted and ended: since when its keeper's word is awaited

    @property
    def key(self) -> tuple[int, int]:
        return self.job.number, self.job.run

    @property
    def next_moment(self) -> float | None:
        """When something must be done about this run: its deadline, or the next look at a tree that is being ended."""
        if not self.over and (self.asked_since is not None or self.pidfd < 0):
            return monotonic() + system.LOOK_S
        if self.ending:
            return self.kill_at if self.kill_at > monotonic() else None  # the worker looks at trees by itself
        return self.deadline

    @property
    def exists(self) -> bool:
        """Whether the very process is there, alive or waiting to be reaped."""
        return clock.process_start(self.trace.pid) == self.trace.pid_start

    def must_be_looked_at(self) -> bool:
        """Whether its end shows only to who looks: where processes have no descriptors."""
        if self.pidfd >= 0:
            return False
        return self.child or not clock.is_alive(self.trace.pid, self.trace.pid_start)

    def stop(self, reason: str, grace_s: float, table: ProcessTable | None = None) -> None:
        """Ask the whole tree to end; `tend` kills what has not after the grace. Who stops many runs at once gives the
        one look at the system that serves for all of them."""
        if self.ending:
            if grace_s == 0:
                self.kill_at = monotonic()
            return
        self.ending = True
        self.stop_reason = reason
        self.trace = self.trace.but(stopped_for=REASONS.index(reason))
        self.kill_at = monotonic() + grace_s
        self._signal(signal.SIGTERM, table or processes_of([self]))

    def tend(self, table: ProcessTable) -> bool:
        """Climb the ladder of a run that is being ended; True when its leader has ended and nothing of it is left."""
        if monotonic() >= self.kill_at:
            return self._signal(signal.SIGKILL, table) == 0 and self.over
        return self.over and not self.members(table)

    @property
    def leaves_something(self) -> bool:
        """The leader has ended and is reaped: may it have left something running? Most jobs leave nothing, which one
        system call tells for the process group; only a job that asked for its leftovers to be ended pays for a search."""
        return self.options.leftovers == "kill" or group_lives(self.trace.pid)

    def settle_leftovers(self, grace_s: float) -> None:
        """Report what the leader left running, or end that too, as the job chose."""
        kill = self.options.leftovers == "kill"
        table = processes_of([self])
        left = len(self.members(table))
        if left:
            self.note = f"{'ended' if kill else 'left'} {left} process{'es' if left > 1 else ''}{'' if kill else ' running'}"
        if left and kill:
            self.stop("", grace_s, table)

    def members(self, table: ProcessTable) -> list[int]:
        found = table.members(self.trace.pid, self.trace.pid_start, self.cookie)
        return [*found, *cgroup.members(self.group)] if self.group else found

    def enclose(self, parent: str) -> None:
        """Give the run a control group of its own below `parent`."""
        self.group = cgroup.enclose(parent, "queuectl-" + self.cookie.decode().replace(":", "-"), self.trace.pid)

    def leave_group(self) -> None:
        if self.group:
            cgroup.remove(self.group)

    def _signal(self, number: int, table: ProcessTable) -> int:
        if self.group and number == signal.SIGKILL:
            cgroup.kill(self.group)
        found = self.members(table)
        send(found, number)
        return len(found)

    def collect(self) -> Trace | None:
        """What the journal must know before the process is reaped: its end. None when it has not ended."""
        seen = system.look_at_end(self.trace.pid)
        if seen is None:
            return None
        self._seen = seen
        cpu_us, memory_max = seen.used or (0, 0)
        self.trace = self.trace.but(status=seen.status, ended_us=clock.now_us(), cpu_us=cpu_us, memory_max=memory_max)
        return self.trace

    def reap(self) -> bool:
        """Give the process's number back; True when only that has told what it used."""
        seen = self._seen
        assert seen is not None
        cpu_us, memory_max = system.reap(self.trace.pid) if seen.is_zombie else (0, 0)
        if seen.used:
            return False
        self.trace = self.trace.but(cpu_us=cpu_us, memory_max=memory_max)
        return True

    def close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def outcome(self, log_end: int) -> Outcome:
        return outcome_of(self.trace, self.stop_reason, log_end, self.note)


def processes_of(runs: Iterable[Run]) -> ProcessTable:
    """One look for all of these."""
    return ProcessTable(min([run.trace.pid_start for run in runs], default=0))


def _its_own(memory_max: int) -> int | None:
    """What the kernel tells of a child begins with what we had used when it was started, for until its `exec` it shared our
    memory: what is not more than that tells nothing of the job."""
    global _peak
    if memory_max > _peak:
        _peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * system.MAXRSS_UNIT
    return memory_max if memory_max > _peak else None


def outcome_of(trace: Trace, reason: str, log_end: int, note: str = "") -> Outcome:
    """The end of a run as the store records it."""
    assert trace.status is not None
    return Outcome(
        exit_code=spawn.exit_code(trace.status),
        started_us=trace.started_us,
        ended_us=max(trace.ended_us, trace.started_us),
        reason=reason,
        cpu_s=trace.cpu_us / 1e6,
        memory_max=_its_own(trace.memory_max),
        log_start=trace.log_start,
        log_end=log_end,
        pid=trace.pid,
        note=note,
    )
