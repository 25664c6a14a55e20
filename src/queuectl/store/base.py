"""What every engine's store can do. An engine says how to connect, run statements and hold a transaction; the meaning
of each table lives here, once. Callers decide (`lifecycle.step`), the store writes what was decided, or nothing.
"""

from __future__ import annotations

from _operator import attrgetter
from _thread import RLock

from .. import clock
from ..errors import Conflict
from ..model import BLOCKED, CLAIMED, COMMAND, HELD, LATER, READY, Attempt, HistoryEntry, Job, WorkerRow
from ..record import Record
from . import sql
from .engine import Engine
from .sums import Sums
from .transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..lifecycle import Change, Event
    from ..locate import Place
    from ..model import Outcome, Serving
    from .claim import Claim

# Where a job of a pile that is still being added can be. One that was claimed has left its lane, whose number may be another's.
STANDING = frozenset((READY, LATER, HELD, BLOCKED))
CLOCK_STEP_US = 500_000
PROMOTE_MAX = 1000  # due jobs made ready in one turn
FENCED = frozenset(("start", "finish", "give back", "interrupt"))  # what only whoever has the run may say of it


class Claimed(Record):
    """What a claim has brought, and when a rate that has kept some waiting lets the next start."""

    jobs: list[Job]
    opens_us: int | None


class Store(Engine):
    """One queue's durable truth. Usable from several threads: each transaction holds `lock`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lock = RLock()
        self.sums = Sums()
        self._lanes: dict[tuple[str, str], int] = {}
        self.gave: dict[int, float] = {}  # each lane's share in what the last claim here wanted

    # ------------------------------------------------------------ transactions

    def transaction(self) -> Transaction:
        return Transaction(self)

    def lane_of(self, queue: str, needs: str = COMMAND, limit_key: str | None = None) -> int:
        """The lane of everyday adds of such jobs; it and its queue are made on the first of them. In a transaction."""
        place = (queue, needs)
        lane = self._lanes.get(place) if limit_key is None else None  # those with a key are dropped when empty
        if lane is None:
            found = self.run(sql.EVERYDAY_LANE, (queue, needs, limit_key or ""))
            lane = found[0][0] if found else self.add_lane(queue, needs, limit_key)
        if limit_key is None:
            self._lanes[place] = lane
        return lane

    def lane_for(self, job: Job) -> int:
        return self.lane_of(job.queue, job.needs, job.limit_key)

    def add_lane(
        self, queue: str, needs: str = COMMAND, limit_key: str | None = None, adder: str | None = None, first: int | None = None
    ) -> int:
        self.run(sql.ADD_QUEUE, (queue,))
        [(lane,)] = self.run(sql.ADD_LANE, (queue, needs, limit_key or "", adder, first))
        return int(lane)

    # ------------------------------------------------------------ adding

    def take_numbers(self, n: int) -> int:
        """The first of n fresh job numbers; inside a transaction."""
        [(after,)] = self.run(sql.TAKE_NUMBERS, (n,))
        return int(after) - n

    def number_is_chosen(self, number: int) -> bool:
        return bool(self.run(sql.JOB_BY_NAME, (str(number),)))

    def some_number_is_chosen(self) -> bool:
        return bool(self.run(sql.NUMERIC_NAMES))

    def insert_alike(self, first: Job, commands: list[str], actor: str) -> None:
        """Write new jobs that differ from the first in number, which goes on from its, and command."""
        if first.due_us is not None:
            self.follow_this_clock()  # as in `insert`
        values, at = first.values(), Job.fields.index("command")
        head, tail = values[1:at], values[at + 1 :]
        numbers = range(first.number, first.number + len(commands))
        self.run_many(sql.INSERT_JOB, [(n, *head, command, *tail) for n, command in zip(numbers, commands, strict=True)])
        self.run_many(sql.INSERT_HISTORY, [(n, first.created_us, "add", first.stage, 0, actor, None) for n in numbers])
        self.sums.add(first.queue, first.state, first.stage, first.lane, len(commands))

    def insert(self, jobs: list[Job], actor: str) -> None:
        """Write new jobs and the first line of their history; inside a transaction. What they wait for is `await_ends`'s."""
        if any(job.due_us is not None for job in jobs):
            self.follow_this_clock()  # a delay begins now: it has nothing to do with how the clock was set before
        self.run_many(sql.INSERT_JOB, [job.values() for job in jobs])
        self.run_many(sql.INSERT_HISTORY, [(j.number, j.created_us, "add", j.stage, 0, actor, None) for j in jobs])
        places: dict[tuple[str, str, str, int], int] = {}
        for job in jobs:
            place = (job.queue, job.state, job.stage, job.lane)
            places[place] = places.get(place, 0) + 1
        for (queue, state, stage, lane), n in places.items():
            self.sums.add(queue, state, stage, lane, n)

    def await_ends(self, waits: list[tuple[int, int, str]]) -> None:
        """Note (target, job, condition) of jobs that are being added; inside a transaction."""
        self.run_many(sql.ADD_DEPENDENCY, waits)

    def env_id(self, digest: bytes, body: bytes) -> int:
        """The number of this environment, stored on its first use; inside a transaction."""
        found = self.run(sql.ENV, (digest,)) or self.run(sql.ADD_ENV, (digest, body))
        return int(found[0][0])

    def env_body(self, env: int) -> bytes:
        [(body,)] = self.run("select body from envs where id = ?", (env,))
        return bytes(body)

    # ------------------------------------------------------------ reading

    def job(self, number: int) -> Job | None:
        found = self.run(sql.JOB_BY_NUMBER, (number,))
        return Job(*found[0]) if found else None

    def job_by_id(self, job_id: str) -> Job | None:
        """By the id that somebody chose, else by number when nobody chose another id for it."""
        found = self.run(sql.JOB_BY_NAME, (job_id,))
        if not found and job_id.isascii() and job_id.isdigit() and len(job_id) < 19 and str(int(job_id)) == job_id:
            found = [row for row in self.run(sql.JOB_BY_NUMBER, (int(job_id),)) if row[1] is None]
        return Job(*found[0]) if found else None

    def job_by_key(self, queue: str, key: str) -> Job | None:
        found = self.run(sql.JOB_BY_KEY, (queue, key))
        return Job(*found[0]) if found else None

    def counts(self) -> list[tuple[str, str, str, int]]:
        """(queue, state, stage, n) for all that is not zero."""
        rows = self.run("select queue, state, stage, n from counts where n <> 0 order by queue")
        return [(q, s, g, n) for q, s, g, n in rows]

    def attempts(self, number: int) -> list[Attempt]:
        return [Attempt(*row) for row in self.run(f"select {sql.ATTEMPT} from attempts where job = ? order by run", (number,))]

    def history(self, number: int) -> list[HistoryEntry]:
        rows = self.run(f"select {sql.HISTORY} from history where job = ? order by id", (number,))
        return [HistoryEntry(*row) for row in rows]

    def set_sums(self, counts: list[Any], totals: list[Any], minutes: list[Any], ready: list[tuple[int, int]]) -> None:
        """Put these in the place of all sums; inside a transaction."""
        for name in ("counts", "totals", "minutes"):
            self.run(f"delete from {name}")
        self.run_many("insert into counts (queue, state, stage, n) values (?, ?, ?, ?)", counts)
        names = "queue, succeeded, failed, duration_us, waited_us"
        self.run_many(f"insert into totals ({names}) values (?, ?, ?, ?, ?)", totals)
        self.run_many(sql.ADD_MINUTE, minutes)
        self.run("update lanes set ready = 0")
        self.run_many("update lanes set ready = ? where id = ?", [(n, lane) for lane, n in ready])

    # ------------------------------------------------------------ changing

    def apply(self, job: Job, event: Event, now: int, actor: str) -> Change | None:
        """`apply_all` for one job; None when it was fenced off. Raises Conflict."""
        changes = self.apply_all([(job, event)], now, actor)
        return changes[0] if changes else None

    def apply_all(
        self, pairs: list[tuple[Job, Event]], now: int, actor: str, refused: Callable[[Job, Conflict], None] | None = None
    ) -> list[Change]:
        """Decide and write changes of different jobs, inside a transaction; returns what was written.

        A job whose row moved since it was read is read again and decided again: no other recovery exists. It is left
        out when it is gone, or when a worker speaks of a run that is no longer its own (fenced): somebody else has the
        job now. An event that its state does not allow goes to `refused`, or raises Conflict.
        """
        if not pairs:
            return []
        from ..lifecycle import step  # here: `enqueue` changes no job, and has no use for the table
        from .dependents import follow, one_of_each

        versions = self._versions([job for job, _ in pairs])
        closed = {lane for (lane,) in self.run(sql.CLOSED_LANES)}
        changes: list[Change] = []
        for job, event in pairs:
            if versions.get(job.number) != job.version:
                fresh = self.job(job.number)
                if fresh is None or (fresh.run != job.run and event.name in FENCED):
                    continue
                job = fresh
            try:
                if job.lane in closed and job.stage in STANDING:
                    raise Conflict(f"cannot {event.name} job {job.id}", why="the pile it is part of is still being added")
                changes.append(self.at_home(step(job, event, now)))
            except Conflict as conflict:
                if refused is None:
                    raise
                refused(job, conflict)
        self._write(changes, actor)
        led_to = follow(self, changes, now)
        while led_to:
            for part in one_of_each(led_to):
                self._write(part, actor)
            led_to = follow(self, led_to, now)
        return changes

    def something_awaited(self) -> bool:
        """Whether any job waits for the end of another; inside a transaction."""
        return bool(self.run(sql.SOMETHING_AWAITED))

    def locked(self, number: int) -> Job | None:
        """The job, and nobody else changes it until this transaction ends."""
        return self.job(number)

    def _versions(self, jobs: list[Job]) -> dict[int, int]:
        if len(jobs) == 1:  # as a statement that is planned once
            return dict(self.run(sql.VERSION, (jobs[0].number,)))
        return dict(self.run(sql.VERSIONS.format(numbers=", ".join([str(job.number) for job in jobs]))))

    def at_home(self, change: Change) -> Change:
        """A job that gets ready again, or becomes of another kind, stands in its everyday lane."""
        before, after = change.before, change.after
        if after.stage != READY or (before.stage == READY and _place(before) == _place(after)):
            return change
        return change.but(after=after.but(lane=self.lane_for(after)))

    def _write(self, changes: list[Change], actor: str) -> None:
        edits = [c for c in changes if c.event == "edit"]
        self.run_many(sql.EDIT_JOB, [(*_editable(c.after), c.before.number, c.before.version) for c in edits])
        rows = [(*_mutable(c.after), c.before.number, c.before.version) for c in changes]
        self.run_many(sql.UPDATE_JOB, rows)
        # A job that ends as it was claimed, ahead, was never told of: its attempt is written whole.
        whole = [_attempt_row(c.before, c.outcome) for c in changes if c.outcome is not None and c.before.stage == CLAIMED]
        ends = [_attempt_row(c.before, c.outcome) for c in changes if c.outcome is not None and c.before.stage != CLAIMED]
        self.run_many(sql.ATTEMPT_WHOLE, whole)
        self.run_many(sql.ATTEMPT_ENDED, ends)
        starts = [(c.before.number, c.before.run, c.before.worker, c.after.started_us) for c in changes if c.event == "start"]
        self.run_many(sql.ATTEMPT_STARTED, starts)
        cuts = [(c.at_us, CUT_REASONS[c.event], c.before.number, c.before.run) for c in changes if c.event in CUT_REASONS]
        self.run_many(sql.ATTEMPT_NOT_BEGUN, [(c.before.number, c.before.run) for c in changes if c.event == "give back"])
        self.run_many(sql.ATTEMPT_CUT, cuts)
        lines = [(c.after.number, c.at_us, c.event, c.after.stage, c.after.run, actor, c.note or None) for c in changes]
        self.run_many(sql.INSERT_HISTORY, lines)
        for change in changes:
            self.sums.moved(change.before, change.after)
            if change.outcome is not None:
                self.sums.ended(change.before, change.outcome)
            if change.after.options is not None and change.after.ended:
                from ..callbacks import tell  # few ask for it

                tell(self, change.after, change.at_us, actor)

    def delete(self, jobs: list[Job]) -> None:
        """Remove ended jobs with everything of them but their logs; inside a transaction."""
        keys = [(job.number,) for job in jobs]
        for statement in REMOVED:
            self.run_many("delete from " + statement, keys)
        for job in jobs:
            self.sums.add(job.queue, job.state, job.stage, job.lane, -1)

    def forget_envs(self, envs: set[int]) -> None:
        """Remove those of these environments that no job, spool or schedule has any more: they may hold secrets."""
        for env in envs:
            self.run(sql.FORGET_ENV, (env, env, env, env))

    # ------------------------------------------------------------ claiming

    def claim(self, worker: int, free: int, ahead: int, now: int, serving: Serving) -> Claimed:
        """Take up to `free` jobs to run now and `ahead` more to run when a slot gets free; inside a transaction.
        Makes due jobs ready first. O(jobs taken + lanes with ready jobs), whatever waits behind."""
        self.promote_due(now)
        self.write_sums()  # what this transaction has made ready or ended counts for what it may claim
        claim = self.new_claim(worker, now)
        jobs = claim.take(claim.pick(free, ahead, serving), free, serving.short)
        return Claimed(jobs, claim.opens_us)

    def new_claim(self, worker: int, now: int) -> Claim:
        from .claim import Claim

        return Claim(self, worker, now)

    def write_sums(self) -> None:
        """What this transaction has changed so far counts from here on."""
        self.sums.write(self)
        self.sums = Sums()

    def promote_due(self, now: int) -> None:
        """Add the jobs of schedules whose instant has come, and make ready what has waited for its time; inside a
        transaction."""
        due = self.next_due()
        if due is None or due > now:
            return
        from .recurring import fire

        fire(self, now)
        moves = []
        for number, queue, needs, key, state, lane in self.run(sql.DUE, (now, PROMOTE_MAX)):
            home = self.lane_of(queue, needs, key)
            self.sums.add(queue, state, "later", lane, -1)
            self.sums.add(queue, state, "ready", home, +1)
            moves.append((home, number))
        self.run_many(sql.MAKE_READY, moves)

    def follow_clock(self, boot_id: str, offset_us: int) -> int:
        """Move what waits for a span of time when the wall clock was set since the last look on this boot; inside a
        transaction. Returns by how much, in microseconds; slow corrections of the clock are let be."""
        known = self.run(sql.META, ("clock",))
        boot, _, offset = str(known[0][0]).rpartition(":") if known else ("", "", "0")
        step = offset_us - int(offset) if boot == boot_id else 0
        if boot != boot_id or abs(step) >= CLOCK_STEP_US:
            self.run(sql.PUT_META, ("clock", f"{boot_id}:{offset_us}"))
        if abs(step) < CLOCK_STEP_US:
            return 0
        for statement in sql.SHIFT_SPANS:
            self.run(statement, (step,))
        return step

    def follow_this_clock(self) -> None:
        """Before a span of time is written, in the transaction that writes it."""
        if not self.shared:
            self.follow_clock(clock.boot_id(), clock.boot_offset_us())

    def next_due(self) -> int | None:
        """When the next waiting job or schedule becomes due, in microseconds since 1970."""
        [(due,)] = self.run(sql.NEXT_DUE)
        return None if due is None else int(due)

    def limited_jobs_wait(self) -> bool:
        """Whether ready jobs wait that a limit may have kept waiting."""
        return bool(self.run(sql.LIMITED_WAIT))

    def stops_asked(self, worker: int) -> list[tuple[int, int, str]]:
        """(number, run, what) of this worker's jobs that somebody wants stopped."""
        return [(n, r, s) for n, r, s in self.run(sql.STOPS_ASKED, (worker,))]

    # ------------------------------------------------------------ workers

    def add_worker(self, row: WorkerRow) -> int:
        if found := self.run("select value from meta where key in ('moving', 'moved')"):
            why = f"it is being moved or was, {found[0][0]}"
            hint = "use the new one; 'queuectl store keep' gives the move up"
            raise Conflict(f"the queue at {self.place.name} takes no workers", why=why, hint=hint)
        names = sql.WORKER.replace("id, ", "", 1)
        places = ", ".join("?" * (len(WorkerRow.fields) - 1))
        [(worker,)] = self.run(f"insert into workers ({names}) values ({places}) returning id", row.values()[1:])
        return int(worker)

    def workers(self) -> list[WorkerRow]:
        return [WorkerRow(*row) for row in self.run(f"select {sql.WORKER} from workers order by id")]

    def leased_workers(self) -> list[WorkerRow]:
        """The workers that hold a lease, where there are leases."""
        return self.workers()

    def ask_worker(self, worker: int, what: str) -> None:
        self.run("update workers set stopping = ? where id = ?", (what, worker))

    def settled(self, worker: int) -> list[tuple[Any, ...]]:
        """Inside a transaction: numbers and versions of a dead worker's jobs, once all that it had sent is done."""
        return self.run("select number, version from jobs where worker = ? order by number", (worker,))

    def remove_worker(self, worker: int) -> None:
        self.run("delete from workers where id = ?", (worker,))

    def jobs_of_worker(self, worker: int) -> list[Job]:
        rows = self.run(f"select {sql.JOB} from jobs where worker = ? order by number", (worker,))
        return [Job(*row) for row in rows]

    def hand_over(self, jobs: list[Job], worker: int) -> list[Job]:
        """Give running jobs to the worker that adopts them; their run goes on."""
        # With a new version, or a verb that read the row before would write the dead worker back.
        self.run_many(sql.HAND_OVER, [(worker, job.number) for job in jobs])
        return [job.but(worker=worker, version=job.version + 1) for job in jobs]


_mutable, _editable = attrgetter(*sql.MUTABLE), attrgetter(*sql.EDITABLE)
REMOVED = (
    *("jobs where number = ?", "attempts where job = ?", "history where job = ?"),
    *("dependencies where job = ?", "dependencies where target = ?"),
)
CUT_REASONS = {"give back": "stopped", "interrupt": "interrupted"}


def _attempt_row(job: Job, outcome: Outcome) -> tuple[Any, ...]:
    ended = (outcome.ended_us, outcome.exit_code, outcome.reason or None, outcome.cpu_s, outcome.memory_max)
    place = (job.number, job.run, job.worker, outcome.pid or None, outcome.started_us)
    return (*place, *ended, outcome.log_start, outcome.log_end)


def _place(job: Job) -> tuple[str, str, str | None]:
    return job.queue, job.needs, job.limit_key
