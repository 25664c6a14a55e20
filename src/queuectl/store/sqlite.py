"""The embedded engine: SQLite through apsw, whose own SQLite is free of the WAL-reset fault of older ones.

WAL with `synchronous=FULL`: a commit that returned survives a power cut. Transactions begin `immediate`, because a
deferred one that turns writer is refused at once instead of waiting its turn. Never open the database file by other
means in a process that has it open here: closing it would drop SQLite's locks.
"""

from __future__ import annotations

import os

from ..errors import NotFound, QueueError, StorageError, TryAgainLater
from . import sql
from .base import Store
from .engine import fenced
from .light import apsw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..locate import Place
    from ..model import Job

APPLICATION_ID = 0x51C71
SCHEMA_VERSION = 5  # the number of the newest file in schema/
SCHEMA_FILES = os.path.join(os.path.dirname(__file__), "schema")
BUSY_MS = 10_000
CHANGES = ("insert", "update", "delete")
FENCED = "fenced: "  # how a trigger's refusal begins
SHRINK_ABOVE_PAGES, SHRINK_PAGES = 1000, 500
# A short-lived process that closes last checkpoints only when the log has grown to this; see `close`.
CHECKPOINT_BYTES = 1_000_000


class SqliteStore(Store):
    """A store in one file. One connection, guarded by the lock of `Store` so that threads may share it."""

    def __init__(self, place: Place, create: bool = True, upgrade: bool = True) -> None:
        super().__init__(place)
        self.path = place.database
        if not os.path.exists(self.path):
            if not create:
                raise NotFound(f"there is no queue at {self.path}", hint="'queuectl init' makes one")
            _create(place)
        else:
            _refuse_squatted(self.path)
        with self._guarded():
            self._db = _connect(self.path)
            self._check(upgrade)

    def _check(self, upgrade: bool) -> None:
        """Refuse what is not a store of this version; bring an older one up to date, unless told to take it as it is."""
        application, version = (self._db.pragma(name) for name in ("application_id", "user_version"))
        if application != APPLICATION_ID:
            hint = "restore a backup, or move the file away to begin anew"
            raise StorageError(f"{self.path} is not a queuectl database", hint=hint)
        if version != SCHEMA_VERSION:
            from . import migrate

            migrate.refuse_newer(self, self.path, version, SCHEMA_VERSION)
            if version < SCHEMA_VERSION and upgrade:
                migrate.bring_up_to_date(self, SCHEMA_FILES)

    def schema_version(self) -> int:
        [(version,)] = self.run("pragma user_version")
        return int(version)

    def apply_schema(self, script: str, version: int) -> None:
        """Inside a transaction; the version is part of it."""
        with self._guarded():
            self._db.execute(script)
            self._db.execute(f"pragma user_version = {version}")

    def some_worker_lives(self) -> bool:
        """Asked of a store of any version, so that only columns of the first are looked at."""
        from .. import clock

        boot, namespace = clock.boot_id(), clock.pid_namespace()
        rows = self.run("select pid, pid_start from workers where boot_id = ? and pid_ns = ?", (boot, namespace))
        elsewhere = self.run("select 1 from workers where boot_id = ? and pid_ns <> ?", (boot, namespace))
        return bool(elsewhere) or any(clock.is_alive(pid, start) for pid, start in rows)

    def run(self, statement: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self.lock, self._guarded():
            return self._db.execute(statement, bindings).fetchall()

    def run_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        with self.lock, self._guarded():
            self._db.executemany(statement, rows)

    def stream(self, statement: str, bindings: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows one by one, from a connection of its own so that a long read disturbs no write."""
        with self._guarded():
            reader = _connect(self.path)
            try:
                yield from reader.execute(statement, bindings)
            finally:
                reader.close()

    def begin(self) -> None:
        with self._guarded():
            self._db.execute("begin immediate")

    def end(self) -> None:
        with self._guarded():
            self._db.execute("commit")

    def undo(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("rollback")
        except apsw.Error:
            pass  # the fault that led here is the one to tell; SQLite has given the transaction up by itself

    def checkpoint(self) -> None:
        """Move the log into the database; the worker's task, between other work."""
        with self.lock, self._guarded():
            try:
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.BusyError:
                pass  # somebody else is at it

    def shrink(self) -> None:
        """Give some of the room of removed rows back to the file system, a little at a time."""
        [(free,)] = self.run("pragma freelist_count")
        if free > SHRINK_ABOVE_PAGES:
            self.run(f"pragma incremental_vacuum({SHRINK_PAGES})")

    def columns(self, table: str) -> list[str]:
        return sorted(row[1] for row in self.run(f"pragma table_xinfo({table})") if row[6] == 0)

    def fetch_log(self, job: Job, stream: str, path: str) -> str:
        """The path, with what of this log is in the database."""
        if pieces := self.run(sql.OUTPUT, (job.number, stream)):
            from .. import output

            try:
                output.fill(path, pieces)
            except OSError as fault:
                raise StorageError(f"cannot write {path}", why=fault.strerror or str(fault)) from None
        return path

    def delete(self, jobs: list[Job]) -> None:
        super().delete(jobs)
        self.run_many(sql.FORGET_OUTPUT, [(job.number,) for job in jobs])

    def close_tables(self, tables: Iterable[str], why: str) -> None:
        text = (FENCED + why).replace("'", "''")
        for table in tables:
            for what in CHANGES:
                name = f"fence_{table}_{what}"
                self.run(f"create trigger if not exists {name} before {what} on {table} begin select raise(abort, '{text}'); end")

    def open_tables(self, tables: Iterable[str]) -> None:
        for table in tables:
            for what in CHANGES:
                self.run(f"drop trigger if exists fence_{table}_{what}")

    def renumber(self) -> None:
        with self.transaction():
            self.run("update meta set value = 1 + (select coalesce(max(number), 0) from jobs) where key = 'next_number'")

    def wal_bytes(self) -> int:
        return _size(self.path + "-wal")

    def close(self) -> None:
        """Close; the last to leave checkpoints, but a small log is left for the next: that is two flushes less
        for every `enqueue` while no worker runs."""
        with self.lock:
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(self.wal_bytes() < CHECKPOINT_BYTES))
            self._db.close()

    def _guarded(self) -> _Guard:
        return _Guard(self.path)


def _refuse_squatted(path: str) -> None:
    folder = os.stat(os.path.dirname(path))
    if folder.st_mode & 0o002:  # looked at here, so that everyday commands need not import the module
        from .. import files

        files.refuse_squatted(path)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _connect(path: str) -> apsw.Connection:
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    db.set_busy_timeout(BUSY_MS)
    # Plans do not depend on bound values: without this each claim would be planned anew, at ten times its cost.
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    db.execute("pragma synchronous = full; pragma wal_autocheckpoint = 0")
    return db


def _create(place: Place) -> None:
    """Make the database under another name and link it into place whole: an empty or half-made one never stands there,
    so one that is found empty is damage and refused as such."""
    from .. import files

    files.private_folders(place.folder) if place.personal else _check_folder(place)
    new = f"{place.database}.{os.getpid()}.new"
    try:
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, files.FILE_MODE))
        with _Guard(new):
            _make_schema(new)
        try:
            os.link(new, place.database)
        except FileExistsError:
            pass  # another process made it in the same moment
    except OSError as fault:
        raise StorageError(f"cannot make {place.database}", why=fault.strerror or "", hint=_hint(fault)) from None
    finally:
        for leftover in (new, new + "-wal", new + "-shm"):
            if os.path.lexists(leftover):
                os.unlink(leftover)
    files.private_folder(place.run)


def _hint(fault: OSError) -> str:
    return "free some space" if fault.errno == 28 else "choose another place with QUEUECTL_DB_PATH"


def _check_folder(place: Place) -> None:
    if not os.path.isdir(place.folder):
        raise StorageError(f"cannot make {place.database}", why=f"folder {place.folder} does not exist", hint="make it first")


def _make_schema(path: str) -> None:
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    db.execute("pragma auto_vacuum = incremental; pragma journal_mode = wal; pragma synchronous = full")
    from .migrate import scripts

    db.execute("begin immediate")
    for _, script in scripts(SCHEMA_FILES):
        db.execute(script)
    db.execute("insert into meta (key, value) values ('store_id', ?)", (os.urandom(8).hex(),))
    db.execute(f"pragma application_id = {APPLICATION_ID}; pragma user_version = {SCHEMA_VERSION}")
    db.execute("commit")
    db.close()


class _Guard:
    """Turns apsw's errors into ours, each with what the user can do."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, apsw.Error):
            raise translated(error, self._path) from None


def translated(error: apsw.Error, path: str) -> QueueError:
    text = str(error)
    match error:
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return TryAgainLater("the store is busy", why="another process holds it", hint="try again")
        case apsw.ConstraintError() if text.startswith(FENCED):
            return fenced(path, text.removeprefix(FENCED))
        case apsw.FullError():
            return StorageError("the disk is full", why=path, hint="nothing was stored; free some space and try again")
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return StorageError(f"cannot write {path}", why="it is read-only for you", hint="check its owner and mode")
        case apsw.NotADBError() | apsw.CorruptError():
            hint = "keep the file, restore a backup, or recover it with 'sqlite3 FILE .recover'"
            return StorageError(f"{path} is damaged", why=text, hint=hint)
        case apsw.CantOpenError():
            return StorageError(f"cannot open {path}", why=text, hint="check that it is yours and its folder is writable")
        case _:
            return StorageError(f"the store at {path} failed", why=text, hint="check the disk")
