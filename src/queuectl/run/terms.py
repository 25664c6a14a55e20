"""The terms a job runs under: what it asked for itself, else the settings in force now."""

from __future__ import annotations

from time import monotonic

from .. import clock, codec, output, plan, trouble
from ..config import Config
from ..errors import QueueError
from ..model import Query
from ..store.sums import forget_old_minutes
from . import holes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Job, Options
    from ..queue import Queue
    from ..schedule import Backoff
    from .running import Run

SETTINGS_S = 0.02  # the file is looked at again no more often


class Terms:
    def __init__(self, queue: Queue, say: Callable[[str], None]) -> None:
        self._queue = queue
        self._logs = queue.place.logs
        self._say = say
        self._config = Config()
        self._config_until = 0.0
        self._backoff = self._config.backoff
        self.disk_is_low = False

    @property
    def config(self) -> Config:
        """The settings in force."""
        self._refresh()
        return self._config

    @property
    def backoff(self) -> Backoff:
        self._refresh()
        return self._backoff

    def _refresh(self) -> None:
        now = monotonic()
        if now >= self._config_until:
            try:
                self._config = self._queue.settings.read()
            except QueueError as fault:
                self._say(f"{fault}; the earlier settings stay in force")
            self._config_until = now + SETTINGS_S
            self._backoff = self._config.backoff

    def options_of(self, job: Job) -> Options:
        return codec.options_from(job.options)

    def timeout_of(self, job: Job) -> float:
        return self.config.job_timeout if job.timeout_s is None else job.timeout_s

    def grace_of(self, run: Run) -> float:
        return self.config.kill_grace if run.options.grace_s is None else run.options.grace_s

    def log_size(self, job: Job) -> int:
        return output.size(self._logs, job)

    def bound_output(self, run: Run) -> bool:
        """A run that prints without end: the middle of its log goes, or it does. True while it prints fast."""
        limit = self._output_limit(run)
        seen = run.log_seen
        run.log_seen = 0
        for path in output.log_paths(self._logs, run.job, run.options.stderr_apart) if limit else ():
            size, room = holes.size_and_room(path)
            run.log_seen += size
            if not holes.is_over(size, room, run.trace.log_start, limit):
                continue
            if self.config.output_over == "kill" and not run.over:
                run.stop("output limit", self.grace_of(run))
            else:
                holes.cut_middle(path, run.trace.log_start, limit)
        return run.log_seen - seen > holes.FAST_BYTES

    def _output_limit(self, run: Run) -> int:
        return self.config.max_output if run.options.max_output is None else run.options.max_output

    def final_log_size(self, run: Run) -> int:
        """How long the log of a run is that has ended; a last look at its bound."""
        size = self.log_size(run.job)
        if size - run.trace.log_start > self._output_limit(run) or run.options.stderr_apart:
            self.bound_output(run)
        return size

    def look_at_disk(self) -> None:
        low = trouble.disk_is_low(self._queue.place, self.config.min_free)
        if low and not self.disk_is_low:
            self._say(f"{low}; no new job starts")
        self.disk_is_low = bool(low)

    def prune_old(self) -> None:
        """Remove what ended more than `keep_days` ago, some at a time, and sums that no chart reaches back to."""
        forget_old_minutes(self._queue.store, clock.now_us())
        if self.config.keep_days:
            before = clock.now_us() - round(self.config.keep_days * 86400e6)
            self._queue.prune(Query(ended_before_us=before, limit=plan.PRUNE_AT_ONCE, oldest_first=True))
