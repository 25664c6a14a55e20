"""Bytes between descriptors: written whole or not without an error, copied inside the kernel where it can."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE = 1 << 30
_BUFFER_BYTES = 1 << 18
_NOT_THIS_WAY = (errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.EXDEV, errno.EOPNOTSUPP, errno.EPERM, errno.ESPIPE)


def write_all(fd: int, text: bytes) -> None:
    """Write all of `text`, however many turns it takes."""
    written = os.write(fd, text)
    while written < len(text):
        written += os.write(fd, memoryview(text)[written:])


def pour(source: int, target: int) -> None:
    """Copy what is left of `source` to `target` in constant memory."""
    for step in (_send, _splice):
        try:
            while step(source, target):
                pass
            break
        except OSError as error:
            if error.errno not in _NOT_THIS_WAY:
                raise
    # The plain way copies what the kernel would not, and confirms an end that it has seen.
    _copy(source, target)


def _send(source: int, target: int) -> int:
    return os.sendfile(target, source, None, _AT_ONCE)


def _splice(source: int, target: int) -> int:
    return os.splice(source, target, _BUFFER_BYTES * 4)


def _copy(source: int, target: int) -> None:
    while block := os.read(source, _BUFFER_BYTES):
        write_all(target, block)


def reader(fd: int) -> Callable[[int], bytes]:
    """`read(at_most)` of a descriptor."""
    return lambda at_most: os.read(fd, at_most)


def open_regular(path: bytes) -> tuple[int, os.stat_result]:
    """Open a regular file to read, and say what it is; anything else is refused, and a FIFO without a writer does not block."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(fd)
    mode = found.st_mode & 0o170000
    if mode == 0o100000:
        os.set_blocking(fd, True)  # the command gets this very descriptor
        return fd, found
    os.close(fd)
    if mode == 0o040000:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "Not a regular file")


def sync_directory(path: bytes) -> None:
    """Make a rename in `path` outlast a power cut, on file systems where that can be asked for."""
    try:
        fd = os.open(path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # a folder one may write to but not read
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EROFS):
            raise
    finally:
        os.close(fd)


def open_standard() -> tuple[bool, ...]:
    """Open /dev/null on those of stdin, stdout and stderr that are closed, and say which were open."""
    were_open = []
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
            were_open.append(True)
        except OSError:
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
            were_open.append(False)
    return tuple(were_open)
