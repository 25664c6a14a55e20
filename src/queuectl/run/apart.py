"""The committer as a process of its own: for a loop that computes all the time, and would share one interpreter with it.

    loop → child    each turn, in a frame: what became of which jobs (by number: it was the child that claimed them)
    child → loop    its report, or in words what has ended the child

It knows nothing that a thread would not: when it dies the loop ends too, as if killed, and whoever takes over reads the
journal. But nobody takes over before the child of a killed loop has ended, for its last turn may still be on its way: it
holds a lock beside the journal's.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import subprocess
import sys
from struct import Struct

from .. import files
from ..errors import QueueError
from ..lifecycle import Started
from ..locate import from_argument
from ..model import Serving
from ..queue import Queue
from . import journal, start
from .tied import hear_of_death
from .turn import Report, Turn, TurnWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from ..model import Job

LENGTH = Struct("=Q")
READ_BYTES = 1 << 20


class Apart:
    """What a loop knows as its committer. `path`: of the loop's journal."""

    def __init__(self, queue: Queue, worker: int, serving: Serving, path: str) -> None:
        self._serving = serving
        self._lock = journal.commits_path(path)
        self._child = self._started(queue.place.database, worker)
        assert self._child.stdin and self._child.stdout
        self._to_child = self._child.stdin
        self._turn: Turn | None = None  # the one that is under way
        self._came = bytearray()
        self._over = False
        self.fd = self._child.stdout.fileno()
        os.set_blocking(self.fd, False)

    def _started(self, database: str, worker: int) -> subprocess.Popen[bytes]:
        fd = os.open(self._lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, files.FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # soon the child's alone, for as long as it lives
            command = [sys.executable, "-m", "queuectl.run.apart", database, str(worker), str(os.getpid())]
            piped = subprocess.PIPE
            # It ends by the end of what it reads, or when we die; a signal to all is for those who have work under way.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
            try:
                return subprocess.Popen(command, stdin=piped, stdout=piped, pass_fds=(fd,), process_group=0, env=start.environ())
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        finally:
            os.close(fd)

    def put(self, turn: Turn) -> None:
        """The child does nothing but wait for it: what does not fit into the pipe is read while it is written."""
        self._turn = turn
        events = [(job.number, event) for job, event in turn.events]
        try:
            _write(self._to_child, (events, turn.but(events=[]), self._serving))
        except BrokenPipeError:
            self._over = True

    def drain(self) -> None:
        try:
            while piece := os.read(self.fd, READ_BYTES):
                self._came += piece
            self._over = True
        except BlockingIOError:
            pass

    def news(self) -> list[Report]:
        """The report that has come, if one has. Raises what has ended the child."""
        if len(self._came) < LENGTH.size or len(self._came) < LENGTH.size + LENGTH.unpack_from(self._came)[0]:
            if self._over:
                raise ChildProcessError("the process that commits for it has died")
            return []
        told = pickle.loads(memoryview(self._came)[LENGTH.size :])
        self._came.clear()  # there is never more than one
        if not isinstance(told, Report):
            raise ChildProcessError(told)
        assert self._turn is not None
        return [told.but(turn=self._turn)]

    def abandon(self) -> None:
        """As if killed: whoever takes over need not wait."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        self._child.communicate()
        os.unlink(self._lock)


def _write(to: Any, what: object) -> None:
    frame = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    to.write(LENGTH.pack(len(frame)) + frame)
    to.flush()


def _frames(source: BinaryIO) -> Any:
    """Until the other side has gone."""
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        (size,) = LENGTH.unpack(head)
        frame = source.read(size)
        if len(frame) < size:
            return
        yield pickle.loads(frame)


class Child:
    def __init__(self, queue: Queue, worker: int) -> None:
        self._queue = queue
        self._worker = worker
        self._claimed: dict[int, Job] = {}  # as they were claimed

    def serve(self) -> None:
        """Commit what comes, until there is nobody to commit for."""
        writer = TurnWriter(self._queue, self._worker, Serving())
        for events, rest, serving in _frames(sys.stdin.buffer):
            writer.serving = serving
            report = writer.persist(rest.but(events=[(self._claimed[number], event) for number, event in events]))
            for number, event in events:
                if not isinstance(event, Started):
                    del self._claimed[number]
            self._claimed.update({job.number: job for job in report.claimed})
            _write(sys.stdout.buffer, report.but(turn=None))
            writer.ring(report)


def main(arguments: list[str]) -> int:
    database, worker, parent = arguments
    if not hear_of_death(int(parent), signal.SIGKILL):  # what it would write is of no use then
        return 0
    try:
        with Queue(from_argument(database, os.environ)) as queue:
            Child(queue, int(worker)).serve()
    except BrokenPipeError:
        pass  # nobody is there
    except QueueError as fault:
        _write(sys.stdout.buffer, str(fault))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
