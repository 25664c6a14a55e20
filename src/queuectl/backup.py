"""Copies of a store that are whole at any moment: made while everything runs, checked before they are trusted."""

from __future__ import annotations

import os

from . import files, workers
from .errors import Conflict, InvalidInput, NotFound, StorageError
from .queue import Queue
from .store.light import apsw
from .store.sqlite import APPLICATION_ID, BUSY_MS, SCHEMA_VERSION, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place


def back_up(queue: Queue, target: str) -> int:
    """Write the store as it is at this moment into a new file (0600), on stable storage; returns its size in bytes."""
    if queue.store.shared:
        raise InvalidInput("a queue on PostgreSQL is backed up by its server", hint="pg_dump --schema=queuectl, or its own backups")
    target = os.path.abspath(target)
    if os.path.lexists(target):
        raise Conflict(f"{target} exists already", hint="choose another name; a backup overwrites nothing")
    new = f"{target}.{os.getpid()}.new"
    try:
        _copy(queue.place.database, new)
        damage = check(new)
        if damage:
            raise StorageError(f"the backup of {queue.place.database} is damaged", why=damage, hint="run 'queuectl doctor'")
        os.rename(new, target)
        _sync(os.path.dirname(target))
    except OSError as fault:
        raise StorageError(f"cannot write {target}", why=fault.strerror or "", hint="nothing was kept of it") from None
    finally:
        if os.path.lexists(new):
            os.unlink(new)
    return os.stat(target).st_size


def _copy(source: str, new: str) -> None:
    """A database with what is still in its log, into a new file on stable storage."""
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.FILE_MODE))
    try:
        db = apsw.Connection(source, flags=apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(BUSY_MS)
        try:
            db.execute("vacuum into ?", (new,))
        finally:
            db.close()
    except apsw.Error as fault:
        raise translated(fault, source) from None
    _sync(new)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def check(path: str) -> str:
    """What is wrong with a database file, in words; empty when it is a whole store of a version that we know."""
    try:
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            application, version = (_number(db, name) for name in ("application_id", "user_version"))
            found = [str(text) for (text,) in db.execute("pragma integrity_check(5)").fetchall() if text != "ok"]
        finally:
            db.close()
    except apsw.Error as fault:
        known = translated(fault, path)
        return known.why or known.what
    if application != APPLICATION_ID:
        return "it is not a queuectl database"
    if version > SCHEMA_VERSION:
        return f"it was made by a newer queuectl (schema {version}, this program knows {SCHEMA_VERSION})"
    return "; ".join(found)


def _number(db: apsw.Connection, pragma: str) -> int:
    [(value,)] = db.execute(f"pragma {pragma}").fetchall()
    return int(str(value))


def restore(place: Place, source: str) -> str | None:
    """Put a backup in the store's place. What was there is kept beside it; returns under which name.

    Raises Conflict while workers live, StorageError when the backup is not whole.
    """
    if place.url:
        raise InvalidInput("a queue on PostgreSQL is restored by its server", hint="pg_restore")
    if not os.path.isfile(source):
        raise NotFound(f"there is no backup {source}")
    damage = check(source)
    if damage:
        raise StorageError(f"{source} cannot be restored", why=damage, hint="take another backup")
    if os.path.exists(place.database) and os.path.samefile(source, place.database):
        raise InvalidInput("that is the store itself", hint="name a backup")
    _refuse_living(place)
    if place.personal:
        files.private_folders(place.folder)
    new = f"{place.database}.{os.getpid()}.restored"
    try:
        _copy(source, new)
        _refuse_living(place)  # copying takes its time
        kept = _set_aside(place.database)
        os.rename(new, place.database)
        _sync(place.folder)
    finally:
        if os.path.lexists(new):
            os.unlink(new)
    with Queue(place) as queue:
        # What was running then is not running now: those rows belong to workers that are gone.
        queue.store.run("update workers set boot_id = 'restored'")
    return kept


def _refuse_living(place: Place) -> None:
    try:
        with Queue(place, create=False) as queue:
            living = workers.living(queue.store)
    except (NotFound, StorageError):
        return  # what cannot be opened has no workers either: that is why it is being restored
    if living:
        n = len(living)
        raise Conflict(f"{n} worker{' is' if n == 1 else 's are'} running", hint="'queuectl worker stop' first")


def _set_aside(database: str) -> str | None:
    """Move the database with its log away; nothing is deleted."""
    if not os.path.lexists(database):
        return None
    n = 1
    while os.path.lexists(f"{database}.before-{n}"):
        n += 1
    for suffix in ("", "-wal", "-shm"):
        if os.path.lexists(database + suffix):
            os.rename(database + suffix, f"{database}.before-{n}{suffix}")
    return f"{database}.before-{n}"
