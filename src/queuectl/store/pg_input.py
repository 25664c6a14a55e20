"""What jobs get on their standard input, where any machine may run them: in pieces, stored with the job."""

from __future__ import annotations

import os

from .. import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .pg_connection import PostgresConnection

PIECE = 262_144
ADD = "insert into inputs (name, start, body) values (?, ?, ?) on conflict (name, start) do nothing"
AT_ONCE = 16  # pieces, which bounds the memory that a large input takes


class Inputs:
    def __init__(self, store: PostgresConnection) -> None:
        self._store = store

    def keep(self, names: list[str]) -> None:
        """Copy these files of the payload folder into the store; in the transaction that adds their jobs."""
        for name in names:
            waiting: list[tuple[Any, ...]] = []
            for at, piece in _pieces(self._path(name)):
                waiting.append((name, at, piece))
                if len(waiting) == AT_ONCE:
                    self._put(waiting)
                    waiting = []
            self._put(waiting)

    def _put(self, rows: list[tuple[Any, ...]]) -> None:
        for row in rows:
            self._store.run(ADD, row)

    def claimed(self, names: list[str]) -> None:
        """Have here what jobs that this machine has taken will read."""
        for name in names:
            self.fetch(name, self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self._store.place.run, "stdin", os.path.basename(name))

    def fetch(self, name: str, path: str) -> None:
        if os.path.exists(path):
            return
        files.private_folder(os.path.dirname(path))
        new = f"{path}.{os.getpid()}.new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
        try:
            at = 0
            while found := self._store.run("select body from inputs where name = ? and start = ?", (name, at)):
                at += os.write(fd, bytes(found[0][0]))
                if len(found[0][0]) < PIECE:
                    break
        finally:
            os.close(fd)
        os.rename(new, path)

    def forget(self, names: list[str]) -> None:
        if names:
            self._store.run("delete from inputs where name = any(?)", (names,))


def _pieces(path: str) -> Iterator[tuple[int, bytes]]:
    """Those of the file, an empty one at least; none when it is not here."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return
    with file:
        at = 0
        while piece := file.read(PIECE):
            yield at, piece
            at += len(piece)
        if not at:
            yield 0, b""
