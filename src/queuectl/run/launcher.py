"""From a claimed job to a process whose output goes to its log."""

from __future__ import annotations

import os

from .. import clock, output, payload
from . import spawn
from .journal import Journal, Trace
from .limits import limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job, Options
    from ..queue import Queue


class Launcher:
    def __init__(self, queue: Queue, store_id: str, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal
        self._store_id = store_id
        self._environments: dict[int, spawn.Environment] = {}

    def launch(self, job: Job, options: Options) -> Trace:
        """Start the job; returns its trace, which stands in the journal: the intent before, the process after.

        Raises CannotStart, with the reason written into the log, when the job is the cause; OSError when the system is.
        """
        logs, began = self._queue.place.logs, clock.now_us()
        out, log_start = output.open_log(logs, job, began)
        trace = Trace(job.number, job.run, started_us=began, log_start=log_start)
        err = out
        try:
            if options.stderr_apart:
                err, _ = output.open_log(logs, job, began, ".err")
            self._journal.starting(trace)
            pid = spawn.start(self._launch(job, options, out, err))
        except spawn.CannotStart as fault:
            os.write(err, f"queuectl: {fault.reason}\n".encode("utf-8", "backslashreplace"))
            fault.trace = trace.but(status=fault.status << 8, ended_us=clock.now_us())
            raise
        finally:
            os.close(out)
            if err != out:
                os.close(err)
        trace = trace.but(pid=pid, pid_start=clock.process_start(pid))
        self._journal.started(trace)
        return trace

    def _launch(self, job: Job, options: Options, out: int, err: int) -> spawn.Launch:
        environment = self._environment(job.env)
        return spawn.Launch(
            argv=limited(spawn.argv_for(job), options),
            path=environment.path,
            env=environment.of(job, self._store_id),
            cwd=job.cwd or "/",
            umask=job.umask if job.umask is not None else 0o077,
            stdin=payload.path_of(self._queue.place, job.stdin) if job.stdin else os.devnull,
            stdout=out,
            stderr=err,
        )

    def _environment(self, env: int | None) -> spawn.Environment:
        known = self._environments.get(env or 0)
        if known is None:
            known = self._environments[env or 0] = spawn.environment(self._queue.environment_of(env))
        return known
