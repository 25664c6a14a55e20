"""Sequence files: one number, read and changed under a lock that the original program honours as well.

The lock is `flock` on an empty file beside it that is never deleted; the number is replaced by rename, never edited:

1. lock FILE.lock (at once or not at all, unless asked to wait)
2. read FILE; a missing one is created with 1
3. write FILE.temp, fsync it, rename it to FILE
4. unlock
"""

from __future__ import annotations

import fcntl
import os

from queuectl.packet import NUMBER_MAX
from queuectl.packets.descriptors import sync_directory, write_all
from queuectl.packets.faults import FsplError, quoted, system_words
from queuectl.packets.numerals import number

_LINE_BYTES_MAX = 1 << 16
# What the original trims; str.strip() would also take the control characters 1c to 1f.
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class Sequence:
    """A sequence file whose lock is held from `__enter__` to `__exit__`."""

    __slots__ = ("_ready", "_ready_fd", "lock", "path")

    def __init__(self, path: bytes, *, create_lock: bool, wait: bool = False) -> None:
        self.path = path
        self._ready = -1
        self._ready_fd = -1
        self.lock = os.open(path + b".lock", os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create_lock else 0), 0o666)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            os.close(self.lock)
            raise

    def __enter__(self) -> Sequence:
        return self

    def __exit__(self, *_: object) -> None:
        # Closed, not unlocked: where a keeper holds the lock too, it must outlast us.
        os.close(self.lock)

    def read(self) -> int:
        """The next number; a missing file is created and says 1."""
        found = peek(self.path)
        if found is None:
            self.write(1)
            return 1
        return found

    def write(self, following: int, *, sync_rename: bool = False) -> None:
        if self._ready != following or not self._place_ready():
            _write_beside(self.path, following)
        _put_in_place(self.path, sync_rename)

    def make_ready(self, following: int) -> None:
        """Do the slow part of a `write` that is likely to come, in a file without a name: killed now, nothing was done."""
        folder = os.path.dirname(self.path) or b"."
        try:
            fd = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
        except OSError:
            return  # not on this file system
        try:
            _write_synced(fd, following)
        except OSError:
            os.close(fd)  # said by `write`, if it is still so
        else:
            self._ready, self._ready_fd = following, fd

    def _place_ready(self) -> bool:
        """Whether what was made ready has become FILE.temp."""
        fd, self._ready, self._ready_fd = self._ready_fd, -1, -1
        try:
            # Only with a folder given is the link in /proc followed.
            os.link(f"/proc/self/fd/{fd}", self.path + b".temp", src_dir_fd=fd)
            return True
        except OSError:
            return False
        finally:
            os.close(fd)


def peek(path: bytes) -> int | None:
    """The number in a sequence file, whoever holds its lock; None where there is no file. Raises FsplError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return parse_number(_first_line(fd))
    finally:
        os.close(fd)


def replace(path: bytes, following: int, *, sync_rename: bool = False) -> None:
    """Replace the number, with the lock held: on disk before the rename, and with `sync_rename` the rename as well."""
    _write_beside(path, following)
    _put_in_place(path, sync_rename)


def _write_beside(path: bytes, following: int) -> None:
    fd = os.open(path + b".temp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        _write_synced(fd, following)
    finally:
        os.close(fd)


def _write_synced(fd: int, following: int) -> None:
    write_all(fd, b"%d\n" % following)
    os.fsync(fd)


def _put_in_place(path: bytes, sync_rename: bool) -> None:
    os.rename(path + b".temp", path)
    if sync_rename:
        sync_directory(os.path.dirname(path))


def after(current: int) -> int:
    """The number after `current`; after the last one comes 0."""
    return 0 if current == NUMBER_MAX else current + 1


def parse_number(line: bytes) -> int:
    """The number on the first line of a sequence file.

    >>> parse_number(b" +5\\r")
    5
    """
    try:
        return number(line.decode().strip(_BLANKS).encode())
    except UnicodeDecodeError:
        raise FsplError("stream did not contain valid UTF-8") from None
    except ValueError as reason:
        raise FsplError(str(reason)) from None


def of_queue(queuedir: bytes) -> Sequence:
    """The locked sequence of a queue; its lock file is never created here, because append-only queues have none."""
    path = queuedir + b"/nextseq"
    try:
        return Sequence(path, create_lock=False)
    except BlockingIOError:
        raise
    except OSError as error:
        message = f"Opening lock file at {quoted(path + b'.lock')}; if missing, this may be an append-only queue"
        raise FsplError(message, system_words(error)) from None


def _first_line(fd: int) -> bytes:
    line = b""
    while b"\n" not in line and len(line) < _LINE_BYTES_MAX:
        block = os.read(fd, 4096)
        if not block:
            break
        line += block
    return line.partition(b"\n")[0]
