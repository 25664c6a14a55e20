"""Rows of attached spools: where a folder is, what is done with its packets, which of them is on its way.

A folder is one machine's. In a store that machines share its row names it as `host:/folder`; that machine alone watches
it and runs its packets, whose jobs need what only its workers offer.
"""

from __future__ import annotations

import os

from . import clock, jsontext
from .errors import NotFound
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .store.base import Store


class Terms(Record):
    """What is done with the packets of a spool."""

    command: tuple[str, ...]
    queue: str = "default"
    decoder: str | None = None  # shell command: stored file in, packet out
    verify: str | None = None  # shell command: ends with 0 for a stored file that may be trusted
    allow_job_params: bool = False
    on_error: str = "stop"
    max_retries: int | None = None
    timeout_s: float | None = None
    priority: int = 0
    cwd: str = "/"
    umask: int = 0o077


class Spool(Record):
    """A row of table `spools`."""

    name: str
    folder: str
    host: str  # whose folder it is; empty in a store that is no other machine's either
    terms: Terms
    env: int
    number: int | None
    file: bytes
    job: int | None
    detaching: bool
    note: str | None

    @property
    def path(self) -> bytes:
        return os.fsencode(self.folder)


COLUMNS = "name, folder, terms, env, number, file, job, detaching, note"
LOCKED = f"update spools set name = name where name = ? returning {COLUMNS}"  # what is decided on it holds until the commit
ADD = "insert into spools (name, folder, terms, env) values (?, ?, ?, ?)"
TAKE = "update spools set number = ?, file = ?, job = ?, note = null where name = ?"
NOTE = "update spools set note = ? where name = ?"
SETTLE = "update spools set number = null, file = null, job = null where name = ?"


def all_of(store: Store) -> list[Spool]:
    return [spool_of(row) for row in store.run(f"select {COLUMNS} from spools order by name")]


def of_this_machine(store: Store) -> list[Spool]:
    return [spool for spool in all_of(store) if is_here(store, spool)]


def is_here(store: Store, spool: Spool) -> bool:
    return spool.host == this_machine(store)


def this_machine(store: Store) -> str:
    """How spools name it; a store that is not shared has no other."""
    return clock.host() if store.shared else ""


def named(store: Store, name: str, *, locked: bool = False) -> Spool:
    """The spool of this name; `locked`, inside a transaction: nobody else changes it before that ends. Raises NotFound."""
    found = store.run(LOCKED if locked else f"select {COLUMNS} from spools where name = ?", (name,))
    if not found:
        raise NotFound(f"there is no spool {name!r}", hint="'queuectl spool list' shows what there is")
    return spool_of(found[0])


def spool_of(row: tuple[Any, ...]) -> Spool:
    name, place, terms, env, number, file, job, detaching, note = row
    host, _, folder = place.partition(":/") if not place.startswith("/") else ("", "", place[1:])
    given: dict[str, Any] = jsontext.loads(terms)
    taken = os.fsencode(jsontext.loads(file)) if file is not None else b""
    known = Terms(**given | {"command": tuple(given["command"])})
    number = None if number is None else int(number)
    return Spool(name, "/" + folder, host, known, env, number, taken, job, bool(detaching), note)


def placed(host: str | None, folder: str) -> str:
    """How the row says where a folder is."""
    return f"{host}:{folder}" if host else folder


def moved(source: Store, target: Store) -> None:
    """In the transaction that opens a copied store: of this machine's folders its rows say what such a store says; others'
    stay others'."""
    ours, there = this_machine(source), this_machine(target)
    for spool in all_of(target):
        if spool.host == ours:
            target.run("update spools set folder = ? where name = ?", (placed(there, spool.folder), spool.name))
