"""From a claimed job to a process whose output goes to its log."""

from __future__ import annotations

import errno
import os
from time import sleep

from .. import clock, output, payload
from . import mark, spawn
from .journal import Journal, Trace
from .limits import limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ..model import Job, Options
    from ..queue import Queue

    T = TypeVar("T")


ENVIRONMENTS_MAX = 50  # kept ready; a few shells that add jobs, not every one that ever did
# A link, a folder or a file of somebody else stands where the log should be: the job's own misfortune, not the system's.
IN_THE_WAY = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES)


def _cannot_start(trace: Trace, reason: str, status: int = spawn.CANNOT_START) -> spawn.CannotStart:
    fault = spawn.CannotStart(status, reason)
    fault.trace = trace.but(status=status << 8, ended_us=clock.now_us())
    return fault


class Launcher:
    def __init__(self, queue: Queue, store_id: str, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal
        self._logs = queue.place.logs
        self._store_id = store_id
        self._environments: dict[int, spawn.Environment] = {}
        self._clocks_agree = False  # once seen: what /proc calls a process's start is read off the clock we have

    def launch(self, job: Job, options: Options) -> Trace:
        """Start the job; returns its trace, which stands in the journal: the intent before, the process after.

        Raises CannotStart, with the reason written into the log, when the job is the cause; OSError when the system is.
        """
        began = clock.now_us()
        out, log_start = self._opened(job, began)
        carried = mark.put(mark.of(spawn.cookie_of(self._store_id, job)))
        trace = Trace(job.number, job.run, 0, clock.boot_ticks(), began, log_start, mark=carried)
        err = out
        try:
            if options.stderr_apart:
                err, _ = self._opened(job, began, ".err")
            launch = self._launch(job, options, out, err)
            self._journal.starting(trace)
            pid = spawn.start(launch)
        except spawn.CannotStart as fault:
            _tell(err, fault.reason)
            raise _cannot_start(trace, fault.reason, fault.status) from None
        finally:
            os.close(out)
            if err != out:
                os.close(err)
        trace = trace.but(pid=pid, pid_start=self._start_of(pid, trace.pid_start))
        _for_certain(lambda: self._journal.started(trace))
        return trace

    def _start_of(self, pid: int, before: int) -> int:
        """When a process began that was started just now: within one tick of the clock there is nothing to look up."""
        if before == clock.boot_ticks() and self._clocks_agree:
            return before
        start = _for_certain(lambda: clock.process_start(pid))
        if before == start:
            self._clocks_agree = True
        return start

    def _opened(self, job: Job, began_us: int, stream: str = "") -> tuple[int, int]:
        try:
            if job.run > 1:
                self._queue.store.make_room(output.log_path(self._logs, job, stream), job)
            return output.open_log(self._logs, job, began_us, stream)
        except OSError as fault:
            if fault.errno not in IN_THE_WAY:
                raise
            reason = f"{output.log_path(self._logs, job, stream)} is no plain file"
            raise _cannot_start(Trace(job.number, job.run, started_us=began_us), reason) from None

    def _launch(self, job: Job, options: Options, out: int, err: int) -> spawn.Launch:
        environment = self._environment(job.env)
        return spawn.Launch(
            argv=limited(spawn.argv_for(job), options),
            path=environment.path,
            env=environment,
            own=spawn.own_variables(job, self._store_id),
            cwd=job.cwd or "/",
            umask=job.umask if job.umask is not None else 0o077,
            stdin=payload.path_of(self._queue.place, job.stdin) if job.stdin else os.devnull,
            stdout=out,
            stderr=err,
        )

    def _environment(self, env: int | None) -> spawn.Environment:
        known = self._environments.get(env or 0)
        if known is None:
            if len(self._environments) >= ENVIRONMENTS_MAX:
                del self._environments[next(iter(self._environments))]
            known = self._environments[env or 0] = spawn.environment(self._queue.environment_of(env))
        return known


class Nameless(Exception):
    """A process runs that stands nowhere: not to be taken for one that could not be started."""


TRIES, TRY_AGAIN_S = 100, 0.01


def _tell(log: int, reason: str) -> None:
    try:
        os.write(log, f"queuectl: {reason}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # no room for it; the store has the reason too


def _for_certain(act: Callable[[], T]) -> T:
    """The process runs: what names it must be known and written. When the system refuses for so long that it must be
    given up, the worker ends, and the next one finds the process by the journal's open start."""
    for _ in range(TRIES):
        try:
            return act()
        except OSError as fault:
            why = fault.strerror
            sleep(TRY_AGAIN_S)
    raise Nameless(f"a job was started and the system refuses to name or note it: {why}")
