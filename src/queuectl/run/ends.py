"""The keeper's book: how each process ended that was left to it, one line each, written before the process is reaped.

    pid start status time cpu mem mark

Once more with what it used, after it was reaped. A worker that takes over reads the books of all keepers of its store.
The keeper holds a lock on it for as long as it lives: that is seen from other containers too, where its number is not.
Losing a line would lose an exit status, so writing waits for a full disk as long as it takes; room is set aside so that
this hardly ever happens. The ended process stays a zombie meanwhile, and the kernel keeps its status.
"""

from __future__ import annotations

import errno
import fcntl
import os
from time import monotonic, sleep

from .. import files
from ..record import Record
from ..saying import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ROTATE_BYTES = 2_000_000
RESERVE_BYTES = 128_000
TRY_AGAIN_S, SAY_AGAIN_S = 0.2, 30.0
IN_VAIN = (errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOTDIR)


class End(Record):
    """How a process ended that was left to a keeper."""

    status: int
    ended_us: int
    cpu_us: int
    memory_max: int
    mark: int  # of its run, see `mark`


class EndsBook:
    """The writing side."""

    def __init__(self, path: str, rest: Callable[[float], None] = sleep) -> None:
        """`rest`: wait so many seconds for a better moment."""
        self.path = path
        self._rest = rest
        self.size = 0
        self._fd = -1
        self._said = -SAY_AGAIN_S
        self._in_vain = False  # nothing can ever be written there; nor could a worker, so that no job was started
        try:
            self._open()
        except OSError as fault:
            self._in_vain = fault.errno in IN_VAIN  # else said when there is something to write

    def _open(self) -> None:
        from .room import reserve

        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size = os.fstat(self._fd).st_size
        reserve(self._fd, self.size + RESERVE_BYTES)

    def note(self, pid: int, start: int, end: End) -> None:
        """Returns when it is written."""
        line = f"{pid} {start} {' '.join([str(value) for value in end.values()])}\n".encode()
        while not self._in_vain and not self._written(line):
            self._rest(TRY_AGAIN_S)
        if self.size > ROTATE_BYTES:
            self._rotate()

    def _written(self, line: bytes) -> bool:
        why = "no space is left on its disk"
        try:
            if self._fd < 0:
                self._open()
            if os.write(self._fd, line) == len(line):
                self.size += len(line)
                return True
            os.ftruncate(self._fd, self.size)
        except OSError as fault:
            why = fault.strerror or str(fault)
        if monotonic() - self._said >= SAY_AGAIN_S:
            self._said = monotonic()
            say(f"the end of a job cannot be written to {self.path}: {why}; trying again")
        return False

    def _rotate(self) -> None:
        """Keep the newer half: far more ends than any worker has running at once."""
        new = self.path + ".new"
        try:
            with open(self.path, "rb") as file:
                file.seek(-ROTATE_BYTES // 2, os.SEEK_END)
                recent = file.read().partition(b"\n")[2]
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return  # no room for two: the old one goes on
        old = fd
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(fd, recent) == len(recent):
                os.rename(new, self.path)
                old, self._fd, self.size = self._fd, fd, len(recent)
        except OSError:
            pass  # as above
        os.close(old)

    def outlives_exec(self, yes: bool) -> None:
        """Whether its lock stays until the next program closes what it was given: a keeper is none for no moment then."""
        if self._fd >= 0:
            os.set_inheritable(self._fd, yes)

    def remove(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass  # there was no room to make it


def path_of(folder: str, keeper: tuple[int, int]) -> str:
    """The book of the keeper with this pid and start time."""
    return os.path.join(folder, f"keeper-{keeper[0]}-{keeper[1]}.journal")


def is_held(path: str) -> bool:
    """Whether somebody holds the lock of this file, in whatever container: a book's keeper, a journal's worker."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class EndsRead:
    """The reading side of one book, from where it was read to last."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0

    def news(self, wanted: Callable[[tuple[int, int]], bool] = lambda process: True) -> dict[tuple[int, int], End]:
        """What was written since the last look, of the processes that are wanted: (pid, start) → its end. From the
        beginning when the book was rotated."""
        found: dict[tuple[int, int], End] = {}
        try:
            file = open(self._path, "rb")  # noqa: SIM115 - closed below; another keeper may remove it any time
        except FileNotFoundError:
            return found
        with file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                self._inode, self._offset = inode, 0
            at = self._offset
            file.seek(at)
            for line in files.whole_lines(file):
                at += len(line)
                found.update(_parsed(line, wanted))
        self._offset = at  # not before: what was read of a disk that then failed is read again
        return found


def _parsed(line: bytes, wanted: Callable[[tuple[int, int]], bool]) -> dict[tuple[int, int], End]:
    """
    >>> _parsed(b"42 99 256 5 0 0 0", bool)[42, 99].status, _parsed(b"42 9", bool), _parsed(b"42 99 256 5 0 0 0", lambda _: False)
    (256, {}, {})
    """
    try:
        pid, start, *rest = line.split()
        process = (int(pid), int(start))
        if len(rest) < len(End.fields) or not wanted(process):
            return {}
        # A keeper of an earlier version wrote other numbers behind the fourth: no marks.
        return {process: End(*[int(word) for word in rest[: len(End.fields)]])}
    except ValueError:
        return {}  # not a line of ours: a damaged disk
