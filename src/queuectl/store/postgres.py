"""The shared engine: the same queue on a PostgreSQL server (14 or newer), used by any number of machines.

Here stands what is done otherwise than on one machine; the connection is `pg_connection`'s, what is said otherwise `pg_sql`'s,
the claim `pg_claim`'s, who is alive `pg_lease`'s.
"""

from __future__ import annotations

from time import monotonic

from .. import clock
from ..model import READY, Job, WorkerRow
from . import pg_add, pg_link, pg_sql, sql
from .claim import shares
from .pg_bell import SharedListener
from .pg_claim import SharedClaim
from .pg_connection import COPY_ROWS, PostgresConnection
from .pg_patience import Patience, look
from .sums import Sums

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..lifecycle import Change
    from ..locate import Place
    from ..model import Serving
    from .base import Claimed


ENVS_MAX = 100


class PostgresStore(PostgresConnection):
    """A store on a server."""

    _envs: dict[bytes, int]  # numbers of environments that were used here, by their digests

    def __init__(self, place: Place, create: bool = True, upgrade: bool = True) -> None:
        self._envs = {}
        self._due: int | None = None
        self._due_in = 0  # known in this transaction, by how many there were
        self._due_look = Patience()
        self._awaited = True  # ends were, when it was last looked
        super().__init__(place, create, upgrade)

    def new_claim(self, worker: int, now: int) -> SharedClaim:
        return SharedClaim(self, worker, now)

    def take_numbers(self, n: int) -> int:
        [(first,)] = self.run("select take_numbers(?)", (n,))
        return int(first)

    def insert_alike(self, first: Job, commands: list[str], actor: str) -> None:
        self.marks.forget()
        if len(commands) < COPY_ROWS:
            super().insert_alike(first, commands, actor)
            return
        numbers = range(first.number, first.number + len(commands))
        row = dict(zip(Job.fields, first.values(), strict=True))
        del row["number"], row["command"]
        line = {"at_us": first.created_us, "event": "add", "stage": first.stage, "run": 0, "actor": actor}
        with self.lock:
            self.expected.written(sql.INSERT_JOB)
            self._copy("jobs", row, {"number": numbers, "command": commands})
            self._copy("history", line, {"job": numbers})
        self.sums.add(first.queue, first.state, first.stage, first.lane, len(commands))

    def insert(self, jobs: list[Job], actor: str) -> None:
        self.marks.forget()
        super().insert(jobs, actor)
        self.inputs.keep([job.stdin for job in jobs if job.stdin])

    def env_id(self, digest: bytes, body: bytes) -> int:
        if len(self._envs) > ENVS_MAX:
            self._envs.clear()
        found = self._envs[digest] = super().env_id(digest, body)
        return found

    def known_env(self, digest: bytes) -> int:
        return self._envs.get(digest, 0)

    def add_at_once(self, job: Job, actor: str) -> tuple[Job, int] | None:
        lane = self._lanes.get((job.queue, job.needs))
        if lane is None or not job.env or job.limit_key is not None or job.stdin or self.to.pooled or not self.adds_at_once:
            return None
        self.marks.forget()
        with self.lock:
            return pg_add.add(self, job.but(lane=lane), actor)

    def fetch_input(self, name: str, path: str) -> None:
        self.inputs.fetch(name, path)

    def delete(self, jobs: list[Job]) -> None:
        super().delete(jobs)
        self.outputs.forget([job.number for job in jobs])
        self.inputs.forget([job.stdin for job in jobs if job.stdin])

    def at_home(self, change: Change) -> Change:
        if change.after.stage == READY:
            self.marks.forget()
        return super().at_home(change)

    def locked(self, number: int) -> Job | None:
        self.run(pg_sql.VERSIONS, ([number],))
        return super().locked(number)

    def _versions(self, jobs: list[Job]) -> dict[int, int]:
        """And nobody else changes these jobs until this transaction ends."""
        if self.trust.holds:
            return {job.number: job.version for job in jobs}
        return dict(self.run(pg_sql.VERSIONS, ([job.number for job in jobs],))) if jobs else {}

    def forget_envs(self, envs: set[int]) -> None:
        """An adder that has found one keeps it: the rows are locked first, and then looked at again."""
        if envs:
            self.run("select id from envs where id = any(?) order by id for update", (list(envs),))
        super().forget_envs(envs)

    def counts(self) -> list[tuple[str, str, str, int]]:
        return [(q, s, g, int(n)) for q, s, g, n in self.run(pg_sql.COUNTS)]

    def write_sums(self) -> None:
        sums, self.sums = self.sums, Sums()
        lines: list[tuple[Any, ...]] = [(*place, n, None, 0, 0, 0, 0) for place, n in sums.counts.items() if n]
        lines += [(queue, None, None, 0, minute, *numbers) for (queue, minute), numbers in sums.totals.items()]
        if lines:
            self.run(pg_sql.ADD_DELTAS, tuple(map(list, zip(*lines, strict=True))))

    def claim(self, worker: int, free: int, ahead: int, now: int, serving: Serving) -> Claimed:
        claimed = super().claim(worker, free, ahead, now, serving)
        self.outputs.claimed(claimed.jobs)
        self.inputs.claimed([job.stdin for job in claimed.jobs if job.stdin])
        return claimed

    def claim_at_once(self, worker: int, free: int, now: int, serving: Serving) -> list[Job]:
        if not self.works or serving.at_once or serving.short or serving.newest is not None:
            return []
        with self.lock:
            return self._claim_at_once(self, worker, free, now)

    def make_room(self, path: str, job: Job) -> None:
        self.outputs.make_room(path, job)

    def fetch_log(self, job: Job, stream: str, path: str) -> str:
        return self.outputs.mirror(job, stream, path)

    def add_worker(self, row: WorkerRow) -> int:
        worker = super().add_worker(row)
        if not self.to.pooled:
            from . import pg_at_once  # only a worker has use for it, and has it before its program may be another

            self._claim_at_once = pg_at_once.claim
            self.run(pg_link.PLANS)
            self.works = True
        for (text,) in self.run("select value from settings where name = 'lease'"):
            self.leases.lease_s = float(text)
        self.leases.begin(worker)
        self.lease_until_s = self.leases.until_s
        self.doubt_s = float("inf")  # what has become of a claim is asked until it is known
        return worker

    def foresee(self, worker: int, jobs: list[Job], wanted: int) -> None:
        asked: list[tuple[str, tuple[Any, ...]]] = [(pg_sql.HOLDS, (worker,))]
        self.only_looks = True
        self.trust.begin_turn()
        if jobs and not self.trust.holds:
            # Whether somebody waits for their ends can be asked once nobody can begin to: their rows are locked, or written.
            asked += [(pg_sql.VERSIONS, ([job.number for job in jobs],)), (sql.SOMETHING_AWAITED, ())]
        if jobs:
            asked.append((sql.CLOSED_LANES, ()))
        asked += [(sql.STOPS_ASKED, (worker,)), (sql.STOPPING, (worker,))]
        self.expect(*asked)
        self.expected.wanted = wanted
        if wanted:
            self.share_claims()
            self.expect((sql.OPEN_LANES, ()))
            if not jobs:
                self._expect_looks(wanted, ready=True)

    def _write(self, changes: list[Change], actor: str) -> None:
        super()._write(changes, actor)
        if self.expected.wanted:
            if not self.expected.has(sql.SOMETHING_AWAITED, ()):
                self.expect((sql.SOMETHING_AWAITED, ()))
            # Rows of those that wait are locked before any that are ready: so do all who lock both.
            self._expect_looks(self.expected.wanted, ready=not self._awaited)

    def something_awaited(self) -> bool:
        self._awaited = super().something_awaited()
        return self._awaited

    def _expect_looks(self, wanted: int, ready: bool) -> None:
        """What a claim begins with, when that is known to be cheap, and most likely the same as the last time."""
        marks, lanes, due = self.marks, self.marks.lanes, self._due_look
        if not due.apart and due.allows(monotonic()):
            self.expect((sql.NEXT_DUE, ()))
        is_due = self._due is not None and self._due <= clock.now_us()  # what is made ready waits for others, and spoils READY
        marks.decide()
        if ready and not is_due and lanes and not (marks.full and marks.full_look.apart):
            self.expect((pg_sql.READY, marks.bindings(shares(dict.fromkeys(lanes, wanted), self.gave, wanted))))

    def keep_lease(self, worker: int, lease_s: float) -> float | None:
        return self.leases.keep(worker, lease_s)

    def may_rescue(self) -> bool:
        return self.leases.may_take()

    def lost_worker(self, but: list[int]) -> int | None:
        return self.leases.lost(but)

    def take_lease(self, worker: int) -> None:
        self.leases.take(worker)

    def settled(self, worker: int) -> list[tuple[Any, ...]]:
        self.run(pg_sql.LOCK_WORKER, (worker,))
        return super().settled(worker)

    def leased_workers(self) -> list[WorkerRow]:
        rows = self.run(f"select {sql.WORKER} from workers where lease_us > {pg_sql.NOW_US} order by id")
        return [WorkerRow(*row) for row in rows]

    def notify(self, name: str) -> int | None:
        return self.ringer.ring(name)

    def listener(self, folder: str, name: str) -> SharedListener:
        return SharedListener(folder, name, self.to, self.store_id)

    def next_due(self) -> int | None:
        """Jobs that wait for their time and have come and gone lie in the way here too: see `pg_claim`. Once in a
        transaction is enough, unless what was due has been made ready since."""
        known = self._open and self._due_in == self.begun and (self._due is None or self._due > clock.now_us())
        if not known and self._due_look.allows(monotonic()):
            with self.lock:
                [(self._due,)] = look(self, self._due_look, sql.NEXT_DUE)
            self._due_in = self.begun
        return self._due

    def limited_jobs_wait(self) -> bool:
        return self.limits_seen and super().limited_jobs_wait()

    def follow_clock(self, boot_id: str, offset_us: int) -> int:
        return 0  # the server's clock is everybody's

    def checkpoint(self) -> None:
        """The server's own affair; ours is to fold the sums and drop lanes that are used up. One worker at a time."""
        with self.transaction():
            [(mine,)] = self.run("select pg_try_advisory_xact_lock(?)", (self._lock_number("tidy"),))
            if mine:
                self._send(pg_sql.FOLD_DELTAS, ())
                lanes = [lane for (lane,) in self.run(pg_sql.IDLE_LANES)]
                if lanes:
                    self.run(pg_sql.DROP_LANES, (lanes,))

    def columns(self, table: str) -> list[str]:
        named = "table_schema = ? and table_name = ? and is_generated = 'NEVER'"
        rows = self.run(f"select column_name from information_schema.columns where {named}", (self.to.schema, table))
        return sorted(name for (name,) in rows)

    def close_tables(self, tables: Iterable[str], why: str) -> None:
        self.run(pg_sql.FENCE)
        text = why.replace("'", "''")
        for table in tables:
            self.run(
                f"create or replace trigger fence before insert or update or delete or truncate on {table} "
                f"for each statement execute function fence('{text}')"
            )

    def open_tables(self, tables: Iterable[str]) -> None:
        for table in tables:
            self.run(f"drop trigger if exists fence on {table}")

    def renumber(self) -> None:
        with self.transaction():
            self.run("select setval('job_numbers', coalesce((select max(number) from jobs), 0) + 1, false)")
            for table in ("lanes", "envs", "attempts", "history"):
                newest = f"coalesce((select max(id) from {table}), 0) + 1"
                self.run(f"select setval(pg_get_serial_sequence('{table}', 'id'), {newest}, false)")

    def set_sums(self, counts: list[Any], totals: list[Any], minutes: list[Any], ready: list[tuple[int, int]]) -> None:
        self.run("delete from deltas")
        super().set_sums(counts, totals, minutes, [])

    def keep_log(self, job: Job, stream: str, path: str) -> None:
        self.outputs.keep(job, stream, path)

    def keep_inputs(self, names: list[str]) -> None:
        with self.transaction():
            self.inputs.keep(names)

    def shrink(self) -> None:
        pass  # autovacuum's

    def wal_bytes(self) -> int:
        return 0

    def close(self) -> None:
        with self.lock:
            self.ringer.finish()
            self._db.close()
