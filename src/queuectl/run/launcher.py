"""From a claimed job to a process whose output goes to its log."""

from __future__ import annotations

import os

from .. import output, payload
from . import spawn
from .journal import Trace
from .limits import limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job, Options
    from ..queue import Queue


class Launcher:
    def __init__(self, queue: Queue, store_id: str) -> None:
        self._queue = queue
        self._store_id = store_id
        self._environments: dict[int, spawn.Environment] = {}

    def launch(self, job: Job, options: Options, trace: Trace) -> Trace:
        """Start the job; returns the trace with pid and place in the log.

        Raises CannotStart, with the reason written into the log, when the job is the cause; OSError when the system is.
        """
        logs, began = self._queue.place.logs, trace.started_us
        out, log_start = output.open_log(logs, job, began)
        err = out
        try:
            if options.stderr_apart:
                err, _ = output.open_log(logs, job, began, ".err")
            pid = spawn.start(self._launch(job, options, out, err))
        except spawn.CannotStart as fault:
            os.write(err, f"queuectl: {fault.reason}\n".encode("utf-8", "backslashreplace"))
            fault.log = (log_start, os.fstat(out).st_size)
            raise
        finally:
            os.close(out)
            if err != out:
                os.close(err)
        return trace.but(pid=pid, pid_start=spawn.process_start(pid), log_start=log_start)

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
