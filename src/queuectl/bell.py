"""The bell: after its commit a writer wakes whoever listens, so that nobody polls.

Each listener owns a FIFO in a folder beside the store; ringing writes one byte to each. A FIFO needs no socket module
on the path of `enqueue` and has no limit of 107 bytes on its path. The bell never blocks (a full pipe means it has
rung) and may be lost when a machine is strained: a slow poll stands behind every listener.

Two bells: `work` wakes workers (something may be claimed, somebody asks them to stop), `done` wakes who waits for ends.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

WORK, DONE = "work", "done"
NO_WORKER = "no worker is running; start one with 'queuectl worker start'"  # what it means that nobody heard


def ring(folder: str, bell: str) -> int:
    """Wake every listener of this bell; returns how many there were. A listener that has died is cleared away.

    Never raises: what it tells of has been committed, and a caller that failed now would report it as not done.
    """
    return ring_all(listeners(folder, bell))


def listeners(folder: str, bell: str) -> list[str]:
    """Who is to be rung, for `ring_all`."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    # Not `worker-1.journal`: a bell that writes there makes a job run twice.
    return [os.path.join(folder, name) for name in names if name.startswith(bell + "-")]


def ring_all(listening: list[str]) -> int:
    """As `ring`, for those that were found before."""
    return sum([_ring_one(path) for path in listening])


def clear_dead(folder: str) -> None:
    """Remove the bells of listeners that were killed: those that are rung rarely would stay for long."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.count("-") == 2 and not name.startswith(".") and _is_fifo(path):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as fault:
                if fault.errno == 6:  # as in `_ring_one`
                    _forget(path)


def _is_fifo(path: str) -> bool:
    try:
        return os.stat(path).st_mode & 0o170000 == 0o010000
    except OSError:
        return False


def _ring_one(path: str) -> int:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as fault:
        if fault.errno == 6:  # ENXIO: nobody reads; it was renamed into place after its reader had opened it
            _forget(path)
        return 0
    try:
        os.write(fd, b"!")
    except OSError:
        pass  # full: it has rung already; broken: the listener just left
    finally:
        os.close(fd)
    return 1


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # another ringer was quicker


class Listener:
    """One listener's end: a descriptor to wait on."""

    def __init__(self, folder: str, bell: str) -> None:
        name = f"{bell}-{os.getpid()}-{os.urandom(4).hex()}"
        self.path = os.path.join(folder, name)
        hidden = os.path.join(folder, "." + name)
        os.mkfifo(hidden, 0o600)
        # Read and write, so that the descriptor never reports the end of file when the last ringer closes.
        self.fd = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
        os.rename(hidden, self.path)

    def drain(self) -> bool:
        """Forget the rings so far; True when there were any."""
        try:
            return bool(os.read(self.fd, 65536))
        except BlockingIOError:
            return False

    def wait(self, timeout_s: float) -> bool:
        """Wait for a ring; True when it came."""
        from select import select

        ready, _, _ = select([self.fd], [], [], timeout_s)
        return bool(ready) and self.drain()

    def close(self) -> None:
        if self.fd >= 0:
            _forget(self.path)
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
