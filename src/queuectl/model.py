"""The nouns: what a job is, what was asked for, how a run ended. Plain values; nothing here looks at the world.

Times are whole microseconds since 1970 (`…_us`), durations are seconds (`…_s`). These are records, not dataclasses,
because every `queuectl enqueue` imports this module.
"""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal, TypeAlias

    State: TypeAlias = Literal["pending", "processing", "completed", "failed", "dead", "cancelled"]
    Stage: TypeAlias = Literal[
        "ready", "later", "held", "blocked", "claimed", "running", "completed", "dead", "cancelled"
    ]

STATES: tuple[State, ...] = ("pending", "processing", "completed", "failed", "dead", "cancelled")

# Where a job stands inside; the six states that users see follow from it (`state_of`).
READY: Stage = "ready"  # may be claimed now
LATER: Stage = "later"  # waits for its time: run_at, delay, or the backoff before a retry
HELD: Stage = "held"  # waits for a person
BLOCKED: Stage = "blocked"  # waits for other jobs
CLAIMED: Stage = "claimed"  # promised to a worker, not started
RUNNING: Stage = "running"
COMPLETED: Stage = "completed"
DEAD: Stage = "dead"
CANCELLED: Stage = "cancelled"

STAGES: tuple[Stage, ...] = (READY, LATER, HELD, BLOCKED, CLAIMED, RUNNING, COMPLETED, DEAD, CANCELLED)
WAITING: tuple[Stage, ...] = (READY, LATER, HELD, BLOCKED, CLAIMED)
ENDED: tuple[Stage, ...] = (COMPLETED, DEAD, CANCELLED)

# What a job needs of a worker, besides tags: the words of column `needs`.
COMMAND, CALL, TASK, TAG, HOST = "command", "call", "task:", "tag:", "host:"

RERUN, HOLD, FAIL = "rerun", "hold", "fail"  # what an interrupted run leads to
INTERRUPTIONS_MAX = 3


def state_of(stage: Stage, attempts: int) -> State:
    """The state a user sees.

    >>> state_of(LATER, 0), state_of(LATER, 2), state_of(RUNNING, 2)
    ('pending', 'failed', 'processing')
    """
    match stage:
        case "running":
            return "processing"
        case "completed" | "dead" | "cancelled":
            return stage
        case _:
            return "failed" if attempts else "pending"


class Shell(Record):
    """Shell text, run by `/bin/sh -c`."""

    text: str


class Argv(Record):
    """A program and its arguments, kept as a list and run without a shell."""

    words: tuple[str, ...]


class Call(Record):
    """An HTTP request; its answer is the job's output."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    expect_status: str = "2xx"  # statuses that mean success: "200", "2xx,304"
    expect_body: str | None = None  # text that the answer must contain
    redirects: int = 10  # followed at most
    verify: bool = True  # the target's certificate
    proxy: str | None = None
    sign: str | None = None  # name of the secret that signs the request


class Function(Record):
    """A Python function by the name it was registered under, with its arguments as JSON."""

    name: str
    args: str = "[]"
    kwargs: str = "{}"


if TYPE_CHECKING:
    Work: TypeAlias = Shell | Argv | Call | Function


class Options(Record):
    """What few jobs ask for; stored as one JSON text, absent when all is default."""

    if_interrupted: str = RERUN
    no_retry: tuple[int, ...] = ()  # exit statuses that make the job dead at once
    grace_s: float | None = None  # between TERM and KILL
    stderr_apart: bool = False
    leftovers: str = "leave"  # what a run leaves running when it ends by itself: leave | kill
    memory: int | None = None  # bytes of address space of each process
    processes: int | None = None  # of this user at once
    cpu_time_s: float | None = None
    nice: int | None = None
    max_output: int | None = None  # bytes; None: the setting
    callback: str | None = None  # URL that is told of the end, by a call that is a job too
    callback_sign: str | None = None  # name of the secret that signs that call


class Spec(Record):
    """What somebody asks the queue to do; `None` means the setting's default."""

    work: Work
    id: str | None = None
    queue: str = "default"
    priority: int = 0
    max_retries: int | None = None
    timeout_s: float | None = None
    delay_s: float | None = None
    run_at_us: int | None = None
    key: str | None = None
    after: tuple[str, ...] = ()  # ids of jobs that must complete before this one may run,
    after_any: tuple[str, ...] = ()  # that must have ended, however,
    after_failed: tuple[str, ...] = ()  # that must have failed for good
    where: tuple[str, ...] = ()  # tags that a worker must have
    limit_key: str | None = None
    label: str | None = None
    cwd: str | None = None
    umask: int | None = None
    env: dict[str, str] | None = None  # the whole environment of the job; None: the queue's capture rule
    stdin: str | None = None  # a file of the store's payload folder
    options: Options = Options()

    @property
    def waits_for_jobs(self) -> bool:
        return bool(self.after or self.after_any or self.after_failed)


class Job(Record):
    """One row of table `jobs`, in its columns' order."""

    number: int
    name: str | None
    queue: str
    lane: int
    kind: str
    command: str
    work: str | None
    state: State
    stage: Stage
    priority: int
    attempts: int
    max_retries: int
    interruptions: int
    run: int
    version: int
    timeout_s: float | None
    label: str | None
    key: str | None
    needs: str
    limit_key: str | None
    run_at_us: int | None
    due_us: int | None
    created_us: int
    updated_us: int
    started_us: int | None
    finished_us: int | None
    exit_code: int | None
    reason: str | None
    worker: int | None
    stop: str | None
    awaits: int
    cwd: str | None
    umask: int | None
    env: int | None
    stdin: str | None
    options: str | None

    @property
    def id(self) -> str:
        return self.name if self.name is not None else str(self.number)

    @property
    def ended(self) -> bool:
        return self.stage in ENDED


class Dependency(Record):
    """One job that waits for another: the other one of the two, as it is now, and what must become of the awaited."""

    other: Job
    condition: str  # after | after_any | after_failed
    decided: bool


class Outcome(Record):
    """How one run ended. `exit_code` is negative when a signal ended it (-15: TERM), None when nobody knows."""

    exit_code: int | None
    started_us: int
    ended_us: int
    reason: str = ""  # timeout | cancelled | stopped | not found | …; empty: it ended by itself
    cpu_s: float = 0.0
    memory_max: int | None = 0  # bytes, the largest resident size of any process of the run; None: not known
    log_start: int = 0
    log_end: int = 0
    pid: int = 0
    note: str = ""  # what else is worth a line in the history
    final: bool = False  # another attempt is of no use: the target of a call said so
    not_before_us: int = 0  # the next attempt, as the target of a call asked

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and not self.reason


class Attempt(Record):
    """One row of table `attempts`: a run that was started."""

    job: int
    run: int
    worker: int | None
    pid: int | None
    started_us: int
    ended_us: int | None
    exit_code: int | None
    reason: str | None
    cpu_s: float | None
    memory_max: int | None
    log_start: int
    log_end: int | None


class HistoryEntry(Record):
    """One change of a job: when, what, by whom."""

    at_us: int
    event: str
    stage: Stage
    run: int
    actor: str
    note: str | None


class Schedule(Record):
    """One row of table `schedules`: what adds a job at every instant of a cron expression."""

    name: str
    cron: str
    zone: str
    overlap: str
    catch_up: str
    paused: int
    next_us: int | None
    fired: int
    skipped: int
    job: int | None  # number of the newest it has added
    env: int | None
    note: str | None
    template: str  # JSON: the columns of its jobs


class WorkerRow(Record):
    """A worker process that registered with the store."""

    id: int
    host: str
    pid: int
    pid_start: int
    boot_id: str
    pid_ns: int
    slots: int
    queues: str | None
    started_us: int
    stopping: str | None
    offers: str = "command"  # what it can run, see `needs`

    @property
    def runs_commands(self) -> bool:
        return COMMAND in self.offers.split()

    @property
    def serving(self) -> Serving:
        return Serving(tuple(self.queues.split(",")) if self.queues else (), self.offers.split())


class Serving:
    """Which jobs a worker takes: of the named queues, or of all but those that servers keep for themselves; and of those
    the ones that need nothing but what it offers."""

    RESERVED = frozenset(("taskspool", "tasker"))

    def __init__(self, queues: tuple[str, ...] = (), offers: Iterable[str] = (COMMAND,)) -> None:
        self.queues = queues
        self.offers = frozenset(offers)
        self.at_once = 0  # jobs with the same key that it takes at most; 0: as many as there are
        self.busy: dict[str, int] = {}  # how many it has of each key
        self.short = False  # runs end so soon that hardly any needs to be shown as running
        self.newest: int | None = None  # the last job it takes: who drains takes none that came later

    def room(self, key: str) -> int:
        return max(0, self.at_once - self.busy.get(key, 0)) if self.at_once and key else 1 << 30

    def serves(self, queue: str, needs: str = COMMAND) -> bool:
        named = queue in self.queues if self.queues else queue not in self.RESERVED
        return named and self.offers.issuperset(needs.split())


class Limit(Record):
    """What holds for a queue or a key. `interval_us` lies between two starts; None: no limit."""

    name: str
    paused: bool
    parallel: int | None
    interval_us: int | None
    next_us: int | None  # no start before


class Query(Record):
    """Which jobs are meant: every condition given must hold; `ids` and `ranges` are alternatives to each other."""

    ids: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    last: int = 0  # the n newest jobs
    states: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    queue: str | None = None
    label: str | None = None
    ended_before_us: int | None = None
    below: int | None = None  # keyset page: numbers smaller than this
    limit: int | None = None
    oldest_first: bool = False
