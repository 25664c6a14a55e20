"""Numbered files that bring a store's schema from one version to the next; the same for every engine.

Each file is applied whole, in a transaction of its own under the engine's write lock, together with the new version:
killed at any instant, the store is of the one version or of the other. Files only add (tables, columns with defaults,
indexes), so that what was written before keeps its meaning.

A file that begins with `-- works beside: N` leaves programs of version N and later able to use the store, so that the
machines of a fleet can be upgraded one after the other. Without that line, a store whose workers live is left alone: they
run the older program, and `queuectl worker restart` gives them the newer one.
"""

from __future__ import annotations

import os

from ..errors import StorageError
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .transaction import Transaction

    class Engine(Protocol):
        """What a store must offer to be brought up to date."""

        def transaction(self) -> Transaction: ...
        def schema_version(self) -> int: ...
        def apply_schema(self, script: str, version: int) -> None: ...
        def some_worker_lives(self) -> bool: ...
        def run(self, statement: str, bindings: tuple[object, ...] = ()) -> list[tuple[object, ...]]: ...

BESIDE = "-- works beside: "
OLDEST = "oldest"  # in table `meta`: the oldest version of a program that may use the store


def scripts(folder: str, above: int = 0) -> list[tuple[int, str]]:
    """The versions above this one with the text that leads to each, in order."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))
    found = [(int(name[:4]), name) for name in names if int(name[:4]) > above]
    return [(version, _text(os.path.join(folder, name))) for version, name in found]


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def bring_up_to_date(store: Engine, folder: str) -> None:
    """Apply what is missing. Raises StorageError, and changes nothing, while workers of the older version live."""
    for version, script in scripts(folder, store.schema_version()):
        with store.transaction():
            found = store.schema_version()  # again, now that nobody else can change it
            if found >= version:
                continue
            beside = works_beside(script, version)
            if found < beside and store.some_worker_lives():
                why = f"its workers still run the older version (schema {found}; this program knows {version})"
                hint = "'queuectl worker restart' gives them this one; nothing was changed"
                raise StorageError("the store is of an older queuectl", why=why, hint=hint)
            store.apply_schema(script, version)
            if beside < version or oldest(store):
                store.run(sql.PUT_META, (OLDEST, str(max(beside, oldest(store)))))


def works_beside(script: str, version: int) -> int:
    """The oldest version of a program that can use a store of this version.

    >>> works_beside("-- works beside: 5\\ncreate table t (a)", 6), works_beside("create table t (a)", 6)
    (5, 6)
    """
    first = script.partition("\n")[0]
    return int(first.removeprefix(BESIDE)) if first.startswith(BESIDE) else version


def oldest(store: Engine) -> int:
    """As far as migrations have told: 0 when none has."""
    found = store.run(sql.META, (OLDEST,))
    return int(str(found[0][0])) if found else 0


def refuse_newer(store: Engine, place: str, found: int, known: int) -> None:
    """Raises StorageError when a store was made by a newer program, which has not said that this one may use it."""
    if found > known and not 0 < oldest(store) <= known:
        why = f"its schema is version {found}, this program knows {known}"
        raise StorageError(f"{place} was made by a newer queuectl", why=why, hint="upgrade queuectl")
