"""The connection to a server: meeting it, running statements, holding a transaction, and what becomes of both when it is lost.

Statements of a transaction that bring nothing back are sent without waiting for an answer (`pg_wire`), and with its end at
the latest all of them have succeeded or none. A commit whose answer is lost is asked for again: each transaction knows its number,
and the server knows what became of it.
"""

from __future__ import annotations

import os
import re
from operator import itemgetter
from threading import get_ident
from time import monotonic

from .. import clock
from ..errors import NotFound, Replaced, TryAgainLater
from . import migrate, pg_batch, pg_link, pg_sql, sql
from .base import Store
from .pg_bell import Ringer
from .pg_claim import Marks
from .pg_doubt import DOUBT_S, was_committed
from .pg_expect import Expected
from .pg_input import Inputs
from .pg_lease import Leases
from .pg_link import psycopg, translated
from .pg_output import Outputs
from .pg_place import resolved
from .pg_trust import Trust
from .pg_turns import IMPATIENT_S, Outside, Turns, streamed
from .pg_wire import Answer, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..locate import Place

SCHEMA_FILES = os.path.join(os.path.dirname(__file__), "schema", "postgres")
SCHEMA_VERSION = 5  # the number of the newest file there
MEET = f"select (select value from meta where key = 'schema'), (select value from meta where key = 'store_id'), {pg_sql.NOW_US}, "
MEET += "pg_backend_pid(), (select last_value from job_numbers), "
# Statistics begin anew after a crash, and not after a plain restart. Version 14 would read a file for them.
CRASHED, RESTARTED = "pg_stat_get_bgwriter_stat_reset_time()::text", "pg_postmaster_start_time()::text"
TIMELINE = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) where not pg_is_in_recovery()"
COPY_ROWS = 500  # from so many on, rows are copied in rather than inserted
COPIED = re.compile(r"insert into (\w+) \(([\w, ]+)\) values \([?, ]+\)")  # a plain insert of rows
SOON_S = 3.0  # a link that is lost without much waiting is made anew at once


def reads(text: str) -> bool:
    """Whether a statement writes nothing."""
    return text.lstrip().startswith(("select", "with"))


class PostgresConnection(Store):
    """One connection to a server, guarded by the lock of `Store` so that threads may share it."""

    shared = True
    works = False  # here is a worker's store
    busy_s_max = float("inf")  # no lock of ours outlives a transaction here: a worker waits for the server as long as it takes

    def __init__(self, place: Place, create: bool = True, upgrade: bool = True) -> None:
        super().__init__(place)
        self.lock = Turns(self)  # type: ignore[assignment]  # all of a lock that is asked of it
        self.to = pg_link.address(place.url)
        self.marks = Marks()
        self.leases = Leases(self)
        self.ringer = Ringer(self)
        self.outputs = Outputs(self)
        self.inputs = Inputs(self)
        self.doubt_s = DOUBT_S
        self.limits_seen = True  # where jobs are claimed from
        self.adds_at_once = True  # the server has a function for it; a store of an earlier day may have none
        self.served_by = (0, 0)  # the server's process, and a moment in its life
        self.newest = 0  # a job's number of then, or later
        self.crashed = ""  # something that is otherwise after each crash of the server
        self._timeline = ""
        self._open = False  # a transaction is
        self._shares = False  # with other claims, in this one
        self.only_looks = False  # so far, this one
        self.trust = Trust(self)
        self.begun = 0  # transactions
        self._xid: Answer | str = ""
        self.expected = Expected()
        self._texts: dict[str, tuple[str, bool]] = {}
        self._manies: dict[str, pg_batch.Many | None] = {}
        more = pg_link.settings_sql(self.to).rstrip(";").split(";") if self.to.pooled else []
        self._begin = ["begin isolation level read committed", *more]
        self._connect()
        self.store_id = self._meet(create, upgrade)
        self.place = resolved(place, self.store_id, self.to.shown)

    def _patience_s(self) -> float:
        return IMPATIENT_S if self.impatient == get_ident() else pg_link.ANSWER_S

    # ------------------------------------------------------------ meeting the server

    def _connect(self, within_s: float | None = None) -> None:
        self._db = pg_link.connect(self.to, within_s=within_s)
        if self.works:
            self._db.execute(pg_link.PLANS)
        self._wire = Wire(self._db, prepares=not self.to.pooled, patience_s=self._patience_s)

    def _meet(self, create: bool, upgrade: bool) -> str:
        """Make or migrate the schema as need be, learn the server's time; returns the store's id."""
        found = self._look()
        if found is None:
            if not create:
                raise NotFound(f"there is no queue at {self.to.shown}", hint="'queuectl init' makes one")
            self._make_schema()
        else:
            migrate.refuse_newer(self, f"the store at {self.to.shown}", found[0], SCHEMA_VERSION)
        if found is None or (found[0] < SCHEMA_VERSION and upgrade):
            migrate.bring_up_to_date(self, SCHEMA_FILES)
            found = self._look()
        assert found is not None
        self._timeline = self._read_timeline()
        return found[1]

    def _look(self) -> tuple[int, str] | None:
        began = clock.since_boot_us()
        try:
            meet = MEET + (CRASHED if self._db.info.server_version >= 150000 else RESTARTED)
            [(version, store_id, server_us, pid, newest, crashed)] = self._plain(meet)
        except psycopg.errors.UndefinedTable:
            return None
        except psycopg.Error as fault:
            raise self._told(fault) from None
        self.served_by, self.newest, self.crashed = (pid, server_us), newest, crashed
        clock.follow_server(server_us, (began + clock.since_boot_us()) // 2)
        return (int(version), str(store_id)) if version else None

    def _plain(self, text: str) -> list[tuple[Any, ...]]:
        """One statement, with the settings of a transaction where sessions keep none."""
        if not self.to.pooled:
            return self._db.execute(text).fetchall()
        with self._db.transaction():
            self._db.execute(pg_link.settings_sql(self.to))
            return self._db.execute(text).fetchall()

    def _read_timeline(self) -> str:
        """Which history the server is at: another one once a standby was promoted, or a backup restored in its place."""
        try:
            rows = self._db.execute(TIMELINE).fetchall()
        except psycopg.Error as fault:
            if self._is_gone():
                raise self._told(fault) from None
            return ""  # not everybody may look, or it is no plain server
        return str(rows[0][0]) if rows else ""

    def _make_schema(self) -> None:
        try:
            with self._db.transaction():
                self._db.execute("select pg_advisory_xact_lock(%s)", (self._lock_number("schema"),))
                self._db.execute(f'create schema if not exists "{self.to.schema}"')
        except psycopg.Error as fault:
            raise self._told(fault) from None

    def schema_version(self) -> int:
        """Inside a transaction nobody else changes it from here on."""
        if self._open:
            self._send("select pg_advisory_xact_lock($1)", (self._lock_number("schema"),))
        if not self.run("select 1 from pg_class where oid = to_regclass(?)", (f"{self.to.schema}.meta",)):
            return 0
        found = self.run(sql.META, ("schema",))
        return int(found[0][0]) if found else 0

    def apply_schema(self, script: str, version: int) -> None:
        with Outside(self):
            self._db.execute(script)
        if version == 1:
            self.run(sql.PUT_META, ("store_id", os.urandom(8).hex()))
        self.run(sql.PUT_META, ("schema", str(version)))

    def some_worker_lives(self) -> bool:
        if self.run("select 1 from pg_class where oid = to_regclass(?)", (f"{self.to.schema}.workers",)):
            return bool(self.run(f"select 1 from workers where lease_us > {pg_sql.NOW_US}"))
        return False

    def _lock_number(self, what: str) -> int:
        """Advisory locks are numbers for the whole database: ours are told apart by schema."""
        from hashlib import blake2b

        return int.from_bytes(blake2b(f"queuectl/{self.to.schema}/{what}".encode(), digest_size=8).digest(), "big", signed=True)

    def guard(self, *words: str) -> None:
        self._send("select pg_advisory_xact_lock($1)", (self._lock_number("/".join(words)),))

    def share_claims(self) -> None:
        """Whoever changes what may start waits for the claims that have begun, and these for it."""
        if not self._shares:
            self._shares = True
            self._send(*self.sharing_claims())

    def sharing_claims(self) -> tuple[str, tuple[int]]:
        return "select pg_advisory_xact_lock_shared($1)", (self._lock_number("claims"),)

    def settle_claims(self) -> None:
        self._send("select pg_advisory_xact_lock($1)", (self._lock_number("claims"),))

    # ------------------------------------------------------------ statements

    def run(self, statement: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        text, brings = self._text(statement)
        with self.lock:
            if not self._open:
                return self._run_alone(text, bindings, brings)
            self.only_looks &= reads(text)
            try:
                answer = self.expected.take(statement, bindings) or self._wire.send(text, bindings)
                return self._wire.rows(answer) if brings else []
            except psycopg.Error as fault:
                raise self._told(fault) from None

    def expect(self, *asked: tuple[str, tuple[Any, ...]]) -> None:
        """Inside a transaction: these will be run in it. They are answered as they are sent, all in one trip; what spoils an
        answer is told in `pg_expect`."""
        try:
            for statement, bindings in asked:
                self.expected.ask(statement, bindings, self._wire.send(self._text(statement)[0], bindings))
        except psycopg.Error as fault:
            raise self._told(fault) from None

    def _run_alone(self, text: str, bindings: tuple[Any, ...], brings: bool) -> list[tuple[Any, ...]]:
        """A statement that is a transaction by itself. One that only reads is asked again on a new connection."""
        if self.to.pooled or not brings:
            with self.transaction():
                answer = self._wire.send(text, bindings)
                return self._wire.rows(answer) if brings else []
        began = monotonic()
        try:
            self._alive()
            return self._wire.alone(text, bindings)
        except psycopg.Error as fault:
            if not (self._is_gone() and reads(text) and monotonic() - began < SOON_S):
                raise self._told(fault) from None
        self._alive()
        try:
            return self._wire.alone(text, bindings)
        except psycopg.Error as fault:
            raise self._told(fault) from None

    def run_here(self, statement: str, bindings: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """A transaction by itself, on the connection as it stands. Raises psycopg.Error."""
        with self.lock:
            return self._wire.alone(self._text(statement)[0], bindings)

    def _text(self, statement: str) -> tuple[str, bool]:
        """The statement as it runs here, and whether it brings rows."""
        known = self._texts.get(statement)
        if known is None:
            pieces = pg_sql.OWN.get(statement, statement).split("?")
            text = pieces[0] + "".join([f"${place}{piece}" for place, piece in enumerate(pieces[1:], 1)])
            brings = text.lstrip().startswith(("select", "with", "explain", "show")) or "returning" in text
            if len(self._texts) > 2000:
                self._texts.clear()
            known = self._texts[statement] = (text, brings)
        return known

    def run_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        if statement == sql.UPDATE_JOB and len(rows) > 1:
            rows = sorted(rows, key=itemgetter(-2))  # by number, as whoever locks several does
        with self.lock:
            self.expected.written(statement)
            self.only_looks = False
            if not self._open:
                with self.transaction():
                    self.run_many(statement, rows)
            elif len(rows) >= COPY_ROWS and (copied := COPIED.fullmatch(statement)):
                self._copy(copied[1], *pg_batch.by_column(copied[2].split(", "), rows))
            elif len(rows) > 1 and (many := self._many(statement)):
                text, bindings = many.put(rows)
                self.trust.written(statement, self._send(self._text(text)[0], bindings), len(rows))
            else:
                text = self._text(statement)[0]
                for row in rows:
                    self.trust.written(statement, self._send(text, row), 1)

    def _many(self, statement: str) -> pg_batch.Many | None:
        """The statement for many rows at once, by the columns that its table has."""
        if statement not in self._manies:
            table = pg_batch.table_of(statement)
            types = dict(self.run(pg_batch.TYPES, (table,))) if table else {}
            self._manies[statement] = pg_batch.Many(statement, types) if table else None
        return self._manies[statement]

    def _copy(self, table: str, alike: dict[str, Any], own: dict[str, Sequence[Any]]) -> None:
        self.only_looks = False
        text, pieces = pg_batch.copy_text(table, alike, own)
        with Outside(self), self._db.cursor().copy(text) as copy:
            for piece in pieces:
                copy.write(piece)

    def _send(self, text: str, bindings: tuple[Any, ...]) -> Answer:
        """Inside a transaction: without waiting for what it brings."""
        try:
            return self._wire.send(text, bindings)
        except psycopg.Error as fault:
            raise self._told(fault) from None

    def stream(self, statement: str, bindings: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows as the server finds them, from a connection of its own."""
        return streamed(self.to, self._text(statement)[0], bindings)

    # ------------------------------------------------------------ transactions

    def begin(self) -> None:
        began = monotonic()
        self._alive()
        try:
            self._begin_here()
        except psycopg.Error as fault:
            if not self._is_gone() or monotonic() - began > SOON_S:
                raise self._told(fault) from None
            self._alive()
            try:
                self._begin_here()
            except psycopg.Error as again:
                raise self._told(again) from None

    def _begin_here(self) -> None:
        """What the server knows the transaction by is asked first: it has a number before it draws any job's number."""
        self.expected.begin()
        self.begun += 1
        self.limits_seen, self._shares, self.only_looks = True, False, False
        self.trust.begin()
        self._wire.open()
        for text in self._begin:
            self._wire.send(text)
        self._xid = self._wire.send("select pg_current_xact_id()")
        self._open = True

    def end(self) -> None:
        began = monotonic()
        try:
            if isinstance(self._xid, Answer):  # before the commit leaves, or nobody could ask for its outcome
                [(self._xid,)] = self._wire.rows(self._xid)
            self.trust.check()
            if self.only_looks:  # and has locked what it looked at: nobody has to wait for a disk to be told so
                self._wire.send("set local synchronous_commit = off")
            self._wire.send("commit")
            self._wire.sync()
            self._wire.close()
            self._open = False
            self.leases.committed()
        except psycopg.Error as fault:
            asked = self._is_gone() and isinstance(self._xid, str) and not self.only_looks
            if not (asked and was_committed(self, str(self._xid), began)):
                raise self._told(fault) from None
            self._open = False

    def undo(self) -> None:
        self._open = False
        self.leases.undone()
        self.marks.forget()
        for last in ((), ("rollback",)):
            try:
                for text in last if self._db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE else ():
                    self._wire.send(text)
                self._wire.sync()
            except psycopg.Error:
                pass  # the fault that led here is the one to tell
        self._wire.close_or_break()

    def _is_gone(self) -> bool:
        return self._db.closed or self._db.broken or self._db.pgconn.status != psycopg.pq.ConnStatus.OK

    def _alive(self, within_s: float | None = None) -> None:
        """A connection that stands, a new one if need be; with a limit also for whoever is impatient. Raises Replaced when
        another server answers than before."""
        if not self._is_gone():
            return
        if self.impatient == get_ident() and within_s is None:
            raise TryAgainLater(f"the store at {self.to.shown} cannot be reached", why="the link to it is gone")
        self._db.close()
        self._connect(within_s)
        self.leases.connected()
        self.marks = Marks()
        found = self._look()
        if found is None or found[1] != self.store_id:
            raise Replaced(f"the store at {self.to.shown} is gone", why="another one stands in its place", hint="find out why")
        timeline = self._read_timeline()
        if timeline and self._timeline and timeline != self._timeline:
            before, self._timeline = self._timeline, timeline
            why = f"its history has branched ({before} → {timeline}): a standby was promoted, or a backup restored"
            hint = "what was committed last may be missing there; 'queuectl store check' looks for it"
            raise Replaced(f"the server of {self.to.shown} was replaced", why=why, hint=hint)

    def break_link(self) -> None:
        pg_link.shut(self._db)

    def _told(self, fault: psycopg.Error) -> Exception:
        return translated(fault, self.to.shown)
