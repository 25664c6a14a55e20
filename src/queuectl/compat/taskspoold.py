"""TaskSpooler's server, `taskspoold`: its socket in front of queue `taskspool`, and the worker that runs that queue."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
from time import monotonic, sleep

from ..doors.taskspool import Door
from ..doors.taskspool_files import Outputs
from ..doors.taskspool_jobs import TaskSpool
from ..doors.taskspool_place import Listener, Settings, make_folders, place_of, settings_from, somebody_listens
from ..doors.taskspool_words import QUEUE
from ..errors import Conflict, QueueError
from ..files import FILE_MODE, private_folder
from ..queue import Queue
from ..run.own import OwnWorker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = """usage: taskspoold

Serves a Unix socket for taskspoolctl and runs what it is sent. Takes no arguments; the environment says where:
  TASKSPOOL_SOCKET    the socket, /tmp/taskspool.sock
  TASKSPOOL_LOG_DIR   its own folder, /tmp/taskspool_logs
  TASKSPOOL_TEMP_DIR  job-<n>.out and job-<n>.err of each job, /tmp/taskspool_temp
  TASKSPOOL_MAX_JOBS  how many jobs run at once, 3
  TASKSPOOL_TZ        a time zone: jobs are shown with their times
  QUEUECTL_DB_PATH    the queue to keep the jobs in; else queuectl.db here or above, else one in TASKSPOOL_LOG_DIR
SIGTERM and SIGINT end it; jobs that run run on and are recorded, those that wait are run by the next taskspoold.
"""
LOCK_S = 6.0  # longer than a server needs that has lost its socket


def main(argv: list[str]) -> int:
    """Serve until a signal. Returns the exit code."""
    if argv:
        asked = argv in (["-h"], ["--help"])
        print(USAGE, end="", file=sys.stdout if asked else sys.stderr, flush=True)
        return 0 if asked else 2
    try:
        return _serve(settings_from(os.environ))
    except QueueError as fault:
        say(str(fault))
        return fault.exit_code


def _serve(settings: Settings) -> int:
    make_folders(settings)
    place = place_of(settings, os.environ)
    with Queue(place, create=True) as queue:
        listener = Listener(settings.socket)
        try:
            with OneServer(private_folder(place.run), settings.socket):
                return _run(queue, settings, listener)
        finally:
            listener.close()


def _run(queue: Queue, settings: Settings, listener: Listener) -> int:
    spool = TaskSpool(queue, settings.limit, Outputs(settings.temp_folder, queue.place.logs), settings.zone)
    spool.open()
    worker = OwnWorker(queue, QUEUE, settings.limit, os.path.join(settings.log_folder, "taskspoold.log"))
    worker.start()
    _make_room_for_clients()

    def tick() -> bool:
        if not listener.is_in_place():
            say(f"the socket {settings.socket} is gone; ending")
            return False
        worker.tend()
        return True

    door = Door(listener, spool, tick)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: door.stop())
    say(f"serving {settings.socket}, {settings.limit} jobs at once, kept in {queue.place.database}")
    died = True
    try:
        died = door.run()
    finally:
        door.close()
        worker.finish()
    return 1 if died else 0


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
            if monotonic() > deadline or somebody_listens(holder):
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


def say(line: str) -> None:
    try:
        print(f"taskspoold: {line}", file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody reads it


def entry() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
