"""A TaskSpooler server, put together: its place, its lock on the store, its worker, its door. `taskspoold` is this and
its signals; another server may run it beside its own doors, in a thread.
"""

from __future__ import annotations

import fcntl
import os
import resource
from contextlib import ExitStack
from time import monotonic, sleep

from .. import clock, workers
from ..errors import Conflict, QueueError
from ..files import FILE_MODE, private_folder
from ..run.own import OwnWorker
from .taskspool import Door
from .taskspool_files import Outputs
from .taskspool_jobs import TaskSpool
from .taskspool_place import Listener, Settings, make_folders, somebody_listens
from .taskspool_words import QUEUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ..queue import Queue

LOCK_S = 6.0  # longer than a server needs that has lost its socket
LOG = "taskspoold.log"  # what its worker has to say


class Server:
    """`with Server(queue, settings) as server: server.run()`. Enter it in a thread that lives as long as the server:
    with that thread the worker is told to finish."""

    def __init__(self, queue: Queue, settings: Settings, say: Callable[[str], None] = lambda line: None) -> None:
        self._queue = queue
        self._settings = settings
        self._say = say
        self._door: Door | None = None
        self._stopping = False

    def __enter__(self) -> Self:
        settings, queue = self._settings, self._queue
        make_folders(settings)
        with ExitStack() as opened:
            self._listener = Listener(settings.socket)
            opened.callback(self._listener.close)
            opened.enter_context(OneServer(private_folder(queue.place.run), settings.socket))
            _refuse_elsewhere(queue)
            spool = TaskSpool(queue, settings.limit, Outputs(settings.temp_folder, queue.place.logs), settings.zone)
            spool.open()
            self._worker = OwnWorker(queue, QUEUE, settings.limit, os.path.join(settings.log_folder, LOG))
            self._worker.start()
            opened.callback(self._worker.finish)
            _make_room_for_clients()
            self._door = Door(self._listener, spool, self._tick)
            opened.callback(self._door.close)
            self._say(f"serving {settings.socket}, {settings.limit} jobs at once, kept in {queue.place.name}")
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """No more jobs, no more clients; what runs runs on."""
        self._opened.close()

    def run(self) -> bool:
        """Serve until `stop`, or until the socket is gone. Returns whether it was a fault of ours that ended it."""
        assert self._door
        return False if self._stopping else self._door.run()

    def stop(self) -> None:
        """End `run`, or keep it from beginning; for signal handlers and other threads, at any time."""
        self._stopping = True
        if self._door:
            self._door.stop()

    def _tick(self) -> bool:
        if not self._listener.is_in_place():
            self._say(f"the socket {self._settings.socket} is gone; ending")
            return False
        try:
            self._worker.tend()
        except (QueueError, OSError) as fault:
            self._say(f"cannot look after the worker: {fault}")  # the next tick may
        return True


def _refuse_elsewhere(queue: Queue) -> None:
    """On a store that machines share: the limit is one, and so are the numbers. Raises Conflict."""
    if queue.store.shared:
        for row in workers.living(queue.store):
            if row.queues == QUEUE and row.host != clock.host():
                hint = "stop it first, or use another store"
                raise Conflict(f"a taskspoold on {row.host} keeps its jobs in this store", hint=hint)


def _make_room_for_clients() -> None:
    """As many open files as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class OneServer:
    """Held while a server runs: two on one store would each start as many jobs as it may.

    A server that has lost its socket is waited for: it is ending.
    """

    def __init__(self, folder: str, address: str) -> None:
        self._path = os.path.join(folder, "taskspoold.lock")
        self._address = address

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        deadline = monotonic() + LOCK_S
        while not self._locked():
            holder = os.fsdecode(os.pread(self._fd, 4096, 0))
            if monotonic() > deadline or (holder and somebody_listens(holder)):
                os.close(self._fd)
                hint = "stop it first, or use another store"
                raise Conflict(f"another taskspoold keeps its jobs in this store, at {holder}", hint=hint)
            sleep(0.05)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, os.fsencode(self._address), 0)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
