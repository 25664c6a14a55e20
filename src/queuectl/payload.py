"""What is given to a job's standard input: streamed to a file of its own, on stable storage before the job exists."""

from __future__ import annotations

import os

from . import files
from .errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place

CHUNK = 1 << 20


def folder(place: Place) -> str:
    return os.path.join(place.run, "stdin")


def store(place: Place, source: int) -> str:
    """Copy a descriptor to its end into a new payload file; returns its name. Constant memory at any size."""
    files.private_folder(place.run)
    name = os.urandom(12).hex()
    path = os.path.join(files.private_folder(folder(place)), name)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.FILE_MODE)
    try:
        while piece := os.read(source, CHUNK):
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
        os.fsync(target)
    except BaseException as fault:
        os.unlink(path)
        if isinstance(fault, OSError):
            raise StorageError("cannot store the input", why=fault.strerror or "", hint="nothing was added") from None
        raise
    finally:
        os.close(target)
    return name


def store_bytes(place: Place, content: bytes) -> str:
    """The same for what is in memory already."""
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return store(place, file.fileno())


def path_of(place: Place, name: str) -> str:
    return os.path.join(folder(place), os.path.basename(name))


def remove(place: Place, name: str) -> None:
    try:
        os.unlink(path_of(place, name))
    except FileNotFoundError:
        pass  # an earlier clean was cut between store and file
