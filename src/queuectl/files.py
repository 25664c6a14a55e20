"""Files that only their owner can read, from the first instant: folders, atomic replacement, locks between processes."""

from __future__ import annotations

import os

from .errors import NotAllowed, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def private_folder(path: str) -> str:
    """Make the folder (0700, never through the umask alone) unless it is there; refuse one that is not ours."""
    try:
        os.mkdir(path, FOLDER_MODE)
    except FileExistsError:
        facts = os.lstat(path)
        if facts.st_mode & 0o170000 != 0o040000:
            raise NotAllowed(f"{path} is in the way", why="it is not a folder", hint="move it away") from None
        if facts.st_uid != os.geteuid():
            why = f"it belongs to user {facts.st_uid}"
            raise NotAllowed(f"folder {path} is not trusted", why=why, hint="remove it or use another place") from None
        if facts.st_mode & 0o077:
            os.chmod(path, FOLDER_MODE)
    return path


def own_folder(path: str) -> str:
    """The same, but a link that we have made ourselves may stand there, to a folder of ours on another disk."""
    if os.path.islink(path) and os.lstat(path).st_uid == os.geteuid() == os.stat(path).st_uid and os.path.isdir(path):
        return path
    return private_folder(path)


def refuse_squatted(path: str) -> None:
    """Refuse a file of another user in a folder where everybody may make files: it was laid there for us to find."""
    facts, folder = os.lstat(path), os.stat(os.path.dirname(path))
    if facts.st_uid != os.geteuid() and folder.st_mode & 0o002:
        why = f"it belongs to user {facts.st_uid}, and anybody can write to its folder"
        raise NotAllowed(f"{path} is not trusted", why=why, hint="use another place")


def private_folders(path: str) -> str:
    """The same with its missing parents."""
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        private_folders(parent)
    return private_folder(path)


def replace_file(path: str, content: bytes) -> None:
    """Write a file whole: whoever reads it sees the old or the new content, also after a power cut."""
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError as fault:
        os.unlink(temporary)
        raise StorageError(f"cannot write {path}", why=fault.strerror or str(fault)) from None
    finally:
        os.close(fd)
    os.rename(temporary, path)


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that are left of an open file, one at a time, with their ends, up to one that is torn: it may be whole a moment
    later, and then it is read from its beginning."""
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield line


def forget(path: str) -> None:
    """Remove a file that somebody else may have removed meanwhile."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # gone is gone


class exclusive:
    """A lock between processes for a `with` block, on a file of its own that is never removed."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> int:
        import fcntl

        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self._fd

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._fd)
