"""The connection to a server: meeting it, running statements, holding a transaction, and what becomes of both when it is lost.

Statements of a transaction that bring nothing back are sent without waiting for an answer, and with its end at the latest
all of them have succeeded or none. A commit whose answer is lost is asked for again: each transaction knows its number, and
the server knows what became of it.
"""

from __future__ import annotations

import os
import re
from threading import get_ident
from time import monotonic, sleep

from .. import clock
from ..errors import NotFound, Replaced, StorageError, TryAgainLater
from . import migrate, pg_batch, pg_link, pg_sql, sql
from .base import Store
from .pg_bell import Ringer
from .pg_claim import Marks, Patience
from .pg_input import Inputs
from .pg_lease import Leases
from .pg_link import psycopg, translated
from .pg_output import Outputs
from .pg_place import resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..locate import Place

SCHEMA_FILES = os.path.join(os.path.dirname(__file__), "schema", "postgres")
SCHEMA_VERSION = 4  # the number of the newest file there
MEET = f"select (select value from meta where key = 'schema'), (select value from meta where key = 'store_id'), {pg_sql.NOW_US}"
TIMELINE = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) where not pg_is_in_recovery()"
COPY_ROWS = 20  # from so many on, rows are copied in rather than inserted
COPIED = re.compile(r"insert into (\w+) \(([\w, ]+)\) values \([%s, ]+\)")  # a plain insert of rows
DOUBT_S = 8.0  # how long the outcome of a lost commit is asked for
ASK_AGAIN_S = 0.1


class PostgresConnection(Store):
    """One connection to a server, guarded by the lock of `Store` so that threads may share it."""

    shared = True
    busy_s_max = float("inf")  # no lock of ours outlives a transaction here: a worker waits for the server as long as it takes

    def __init__(self, place: Place, create: bool = True, upgrade: bool = True) -> None:
        super().__init__(place)
        self.to = pg_link.address(place.url)
        self.marks = Marks()
        self.leases = Leases(self)
        self.ringer = Ringer(self)
        self.outputs = Outputs(self)
        self.inputs = Inputs(self)
        self.doubt_s = DOUBT_S
        self._due_look = Patience()
        self._due: int | None = None
        self._timeline = ""
        self._pipeline: Any = None
        self._xid = ""
        self._texts: dict[str, tuple[str, bool]] = {}
        self._wholes: dict[str, tuple[str, tuple[str, ...]] | None] = {}
        self._begin = b"begin isolation level read committed;"
        if self.to.pooled:
            self._begin += pg_link.settings_sql(self.to).encode()
        self._db = pg_link.connect(self.to)
        self.store_id = self._meet(create, upgrade)
        self.place = resolved(place, self.store_id, self.to.shown)

    # ------------------------------------------------------------ meeting the server

    def _meet(self, create: bool, upgrade: bool) -> str:
        """Make or migrate the schema as need be, learn the server's time; returns the store's id."""
        found = self._look()
        if found is None:
            if not create:
                raise NotFound(f"there is no queue at {self.to.shown}", hint="'queuectl init' makes one")
            self._make_schema()
        elif found[0] > SCHEMA_VERSION:
            why = f"its schema is version {found[0]}, this program knows {SCHEMA_VERSION}"
            raise StorageError(f"the store at {self.to.shown} was made by a newer queuectl", why=why, hint="upgrade queuectl")
        if found is None or (found[0] < SCHEMA_VERSION and upgrade):
            migrate.bring_up_to_date(self, SCHEMA_FILES)
            found = self._look()
        assert found is not None
        self._timeline = self._read_timeline()
        return found[1]

    def _look(self) -> tuple[int, str] | None:
        began = clock.since_boot_us()
        try:
            [(version, store_id, server_us)] = self._plain(MEET)
        except psycopg.errors.UndefinedTable:
            return None
        except psycopg.Error as fault:
            raise self._told(fault) from None
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
        if self._pipeline is not None:
            self._send("select pg_advisory_xact_lock(%s)", (self._lock_number("schema"),))
        if not self.run("select 1 from pg_class where oid = to_regclass(?)", (f"{self.to.schema}.meta",)):
            return 0
        found = self.run(sql.META, ("schema",))
        return int(found[0][0]) if found else 0

    def apply_schema(self, script: str, version: int) -> None:
        with self._outside_pipeline():
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
        self._send("select pg_advisory_xact_lock(%s)", (self._lock_number("/".join(words)),))

    def share_claims(self) -> None:
        """Whoever changes what may start waits for the claims that have begun, and these for it."""
        self._send("select pg_advisory_xact_lock_shared(%s)", (self._lock_number("claims"),))

    def settle_claims(self) -> None:
        self._send("select pg_advisory_xact_lock(%s)", (self._lock_number("claims"),))

    # ------------------------------------------------------------ statements

    def run(self, statement: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        text, brings = self._text(statement)
        with self.lock:
            if self._pipeline is None:
                return self._run_alone(text, bindings, brings)
            try:
                cursor = self._db.execute(text, bindings)
                return cursor.fetchall() if brings else []
            except psycopg.Error as fault:
                raise self._told(fault) from None

    def _run_alone(self, text: str, bindings: tuple[Any, ...], brings: bool) -> list[tuple[Any, ...]]:
        """A statement that is a transaction by itself. One that only reads is asked again on a new connection."""
        if self.to.pooled or not brings:
            with self.transaction():
                cursor = self._db.execute(text, bindings)
                return cursor.fetchall() if brings else []
        try:
            self._alive()
            return self._db.execute(text, bindings).fetchall()
        except psycopg.Error as fault:
            if not (self._is_gone() and text.lstrip().startswith(("select", "with"))):
                raise self._told(fault) from None
        self._alive()
        try:
            return self._db.execute(text, bindings).fetchall()
        except psycopg.Error as fault:
            raise self._told(fault) from None

    def _text(self, statement: str) -> tuple[str, bool]:
        """The statement as it runs here, and whether it brings rows."""
        known = self._texts.get(statement)
        if known is None:
            own = pg_sql.OWN.get(statement, statement)
            text = own if "%s" in own else own.replace("%", "%%").replace("?", "%s")
            brings = text.lstrip().startswith(("select", "with", "explain", "show")) or "returning" in text
            if len(self._texts) > 2000:
                self._texts.clear()
            known = self._texts[statement] = (text, brings)
        return known

    def run_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        with self.lock:
            if self._pipeline is None:
                with self.transaction():
                    self.run_many(statement, rows)
                return
            text = self._text(statement)[0]
            if len(rows) >= COPY_ROWS and (copied := COPIED.fullmatch(text)):
                self._copy(f"copy {copied[1]} ({copied[2]}) from stdin", rows)
                return
            if len(rows) > 1 and (whole := self._whole(statement)):
                self._send(whole[0], (pg_batch.as_json(whole[1], rows),))
                return
            try:
                self._db.cursor().executemany(text, rows)
            except psycopg.Error as fault:
                raise self._told(fault) from None

    def _whole(self, statement: str) -> tuple[str, tuple[str, ...]] | None:
        if statement not in self._wholes:
            self._wholes[statement] = pg_batch.for_many(statement)
        return self._wholes[statement]

    def _copy(self, text: str, rows: list[tuple[Any, ...]]) -> None:
        with self._outside_pipeline(), self._db.cursor().copy(text) as copy:
            for row in rows:
                copy.write_row(row)

    def _send(self, text: str, bindings: tuple[Any, ...]) -> None:
        """Inside a transaction: without waiting for what it brings."""
        try:
            self._db.execute(text, bindings)
        except psycopg.Error as fault:
            raise self._told(fault) from None

    def stream(self, statement: str, bindings: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows as the server finds them, from a connection of its own."""
        reader = pg_link.connect(self.to)
        try:
            with reader.transaction():
                if self.to.pooled:
                    reader.execute(pg_link.settings_sql(self.to))
                with reader.cursor(name="stream") as cursor:
                    cursor.itersize = 1000
                    yield from cursor.execute(self._text(statement)[0], bindings)
        except psycopg.Error as fault:
            raise self._told(fault) from None
        finally:
            reader.close()

    # ------------------------------------------------------------ transactions

    def begin(self) -> None:
        self._alive()
        try:
            self._open()
        except psycopg.Error as fault:
            if not self._is_gone():
                raise self._told(fault) from None
            self._alive()
            try:
                self._open()
            except psycopg.Error as again:
                raise self._told(again) from None
        self._pipeline = self._db.pipeline()
        self._pipeline.__enter__()

    def _open(self) -> None:
        """Begin, and learn the number that the server knows this transaction by: it has one before it draws any job's
        number. One trip for both."""
        result = self._db.pgconn.exec_(self._begin + b"select pg_current_xact_id()")
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            self._xid = ""
            raise psycopg.OperationalError(self._db.pgconn.error_message.decode("utf-8", "replace") or "the server is gone")
        self._xid = (result.get_value(0, 0) or b"").decode()

    def end(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        try:
            self._db.execute("commit")
            pipeline.__exit__(None, None, None)
        except psycopg.Error as fault:
            if not self._is_gone():
                raise self._told(fault) from None
            if not self._was_committed(self._xid):
                raise self._told(fault) from None

    def undo(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        self.marks.forget()
        try:
            if pipeline is not None:
                pipeline.__exit__(None, None, None)
        except psycopg.Error:
            pass  # the fault that led here is the one to tell
        try:
            if self._db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self._db.execute("rollback")
        except psycopg.Error:
            self._db.close()

    def _outside_pipeline(self) -> Outside:
        return Outside(self)

    def _is_gone(self) -> bool:
        return self._db.closed or self._db.broken or self._db.pgconn.status != psycopg.pq.ConnStatus.OK

    def _alive(self) -> None:
        """A connection that stands, a new one if need be. Raises Replaced when another server answers than before."""
        if not self._is_gone():
            return
        if self.impatient == get_ident():
            raise TryAgainLater(f"the store at {self.to.shown} cannot be reached", why="the link to it is gone")
        self._db.close()
        self._db = pg_link.connect(self.to)
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

    def _was_committed(self, xid: str) -> bool:
        """What became of a commit whose answer never came. Raises TryAgainLater when nobody can be asked in time."""
        deadline = monotonic() + self.doubt_s
        while True:
            try:
                self._alive()
                [(status,)] = self._db.execute("select pg_xact_status(%s::xid8)", (xid,)).fetchall()
                if status in ("committed", "aborted"):
                    return bool(status == "committed")
            except Replaced:
                raise
            except (psycopg.Error, TryAgainLater, StorageError):
                pass  # not back yet
            if monotonic() > deadline:
                why = "the server was lost in the moment of the commit"
                raise TryAgainLater("it is not known whether this was stored", why=why, hint="look when the server is back")
            sleep(ASK_AGAIN_S)

    def _told(self, fault: psycopg.Error) -> Exception:
        return translated(fault, self.to.shown)


class Outside:
    """For what a pipeline cannot carry: scripts and copies."""

    def __init__(self, store: PostgresConnection) -> None:
        self._store = store

    def __enter__(self) -> None:
        pipeline, self._store._pipeline = self._store._pipeline, None
        try:
            pipeline.__exit__(None, None, None)
        except psycopg.Error as fault:
            raise self._store._told(fault) from None

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        if kind is None:
            self._store._pipeline = self._store._db.pipeline()
            self._store._pipeline.__enter__()
        if isinstance(fault, psycopg.Error):
            raise self._store._told(fault) from None
