"""The keeper's part that watches attached spools: one process for all of them, asleep until something happens.

News comes from inotify (files and `nextseq`), from the bells (a job has ended, a spool was attached) and from decoders
that have read a header. Folders that give no news, on a network, are looked at every RESCAN_S. Of several such processes
on one store all but one wait for its lock. It may be killed at any instant: rows and folders hold everything.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from _queue import SimpleQueue
from threading import Thread
from time import monotonic

from .. import bell, errors, files, spool_rows, spools, workers
from ..locate import from_argument
from ..packets.faults import FsplError
from ..packets.stored import Stored
from ..queue import Queue
from ..saying import say
from . import system
from .inotify import CLOSE_WRITE, CREATE, DELETE, DELETE_SELF, IGNORED, MOVE_SELF, MOVED_FROM, MOVED_TO, OVERFLOW, Inotify, libc
from .spool import Attached
from .spool_index import CLOSED, RENAMED, Index, header_of
from .tied import PR_SET_PDEATHSIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..packet import Packet
    from ..packets.arrival import Facts
    from ..spool_rows import Spool

RESCAN_S = 30.0
READERS = 4  # decoders and verifiers at once
JOBS_NEWS = CLOSE_WRITE | MOVED_TO | MOVED_FROM | CREATE | DELETE | DELETE_SELF | MOVE_SELF
FOLDER_NEWS = CLOSE_WRITE | MOVED_TO | CREATE | DELETE_SELF
TROUBLE = 71


class Readers:
    """Reads headers by decoders and verifiers, beside the loop: one that hangs holds no other spool up."""

    def __init__(self) -> None:
        self.fd, self._wake = system.pipe()
        self._wanted: SimpleQueue[tuple[Index, bytes, Facts, Stored, int]] = SimpleQueue()
        self._found: SimpleQueue[tuple[Index, bytes, Facts, Packet | str]] = SimpleQueue()
        self._threads = 0

    def want(self, index: Index, name: bytes, stored: Stored, fd: int) -> None:
        if self._threads < READERS:
            self._threads += 1
            Thread(target=self._serve, daemon=True).start()
        self._wanted.put((index, name, index.files[name].facts, stored, fd))

    def _serve(self) -> None:
        while True:
            index, name, facts, stored, fd = self._wanted.get()
            try:
                found = header_of(stored, fd)
            finally:
                os.close(fd)
            self._found.put((index, name, facts, found))
            os.write(self._wake, b"!")

    def news(self) -> set[Index]:
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass
        heard = set()
        while not self._found.empty():
            index, name, facts, found = self._found.get()
            index.learnt(name, facts, found)
            heard.add(index)
        return heard


class Watch:
    """All spools of a store."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._store_id = str(queue.store.run("select value from meta where key = 'store_id'")[0][0])
        self._attached: dict[str, Attached] = {}
        self._by_watch: dict[int, tuple[Attached, bool]] = {}
        self._watches: dict[str, tuple[int, int, int]] = {}  # name → two watches, inode of `jobs`
        self._looked: dict[str, int] = {}  # name → when `jobs` was last changed, as of the last scan
        self._seen: dict[str, tuple[int, int]] = {}  # name → its job and the version of that
        self._next_rescan = 0.0
        self._jobs_at: float | None = None  # when to ask for the jobs again; None: nothing was heard of them
        self._readers = Readers()
        self._inotify = Inotify()
        self._ears = queue.listener(spools.BELL)
        self._ends = queue.listener(bell.DONE)
        self._poll = system.Poll()
        for fd in (self._inotify.fd, self._ears.fd, self._ends.fd, self._readers.fd):
            self._poll.register(fd)

    def run(self) -> None:
        """Until no spool is left."""
        self._load()
        while self._attached:
            for fd in self._poll.wait(self._sleep_s()):
                self._hear(fd)
            self._look_at_moments()

    def _sleep_s(self) -> float:
        moments = [self._next_rescan, self._jobs_at]
        for attached in self._attached.values():
            moments += [attached.next_moment, attached.index.next_moment]
        return max(0.0, min([moment for moment in moments if moment is not None]) - monotonic())

    def _hear(self, fd: int) -> None:
        if fd == self._inotify.fd:
            self._folders_have_news()
        elif fd == self._ears.fd:
            self._ears.drain()
            self._load()
        elif fd == self._ends.fd:
            self._ends.drain()
            self._jobs_at = self._jobs_at or monotonic()
        else:
            heard = self._readers.news()
            self._tend([attached for attached in self._attached.values() if attached.index in heard])

    def _look_at_moments(self) -> None:
        now = monotonic()
        due = []
        for attached in self._attached.values():
            moment = attached.index.next_moment
            if moment is not None and moment <= now:
                attached.index.tick(now)
                due.append(attached)
            elif attached.next_moment is not None and attached.next_moment <= now:
                due.append(attached)
        self._tend(due)
        if self._jobs_at is not None and self._jobs_at <= now:
            self._jobs_have_news(now)
        if now >= self._next_rescan:
            self._next_rescan = now + RESCAN_S
            self._load()
            for attached in list(self._attached.values()):
                self._look_around(attached)

    # ------------------------------------------------------------ what is attached

    def _load(self) -> None:
        """Take in what was attached and detached; what is still there may have been retried or skipped."""
        rows = {spool.name: spool for spool in spool_rows.of_this_machine(self.queue.store)}
        for name, attached in list(self._attached.items()):
            if name not in rows or rows[name].folder != attached.spool.folder or rows[name].terms != attached.spool.terms:
                self._drop(attached)
        for name, spool in rows.items():
            if name in self._attached:
                self._attached[name].refresh(spool)
            else:
                self._attach(spool)
        self._tend(list(self._attached.values()))

    def _attach(self, spool: Spool) -> None:
        terms = spool.terms
        variables = self.queue.environment_of(spool.env)
        stored = Stored(terms.decoder, terms.verify, variables.items(), terms.cwd)

        def later(name: bytes, fd: int) -> None:
            self._readers.want(index, name, stored, fd)

        index = Index(spool.path, stored, later, lambda line: say(f"spool {spool.name}: {line}"))
        attached = self._attached[spool.name] = Attached(self.queue, self._store_id, spool, index)
        self._look_around(attached, first=True)

    def _drop(self, attached: Attached) -> None:
        attached.release()
        name = attached.spool.name
        del self._attached[name]
        self._looked.pop(name, None)
        self._seen.pop(name, None)
        self._unwatch(name)

    def _tend(self, those: list[Attached]) -> None:
        for attached in those:
            attached.tend()
            if attached.gone:
                self._drop(attached)

    # ------------------------------------------------------------ news

    def _folders_have_news(self) -> None:
        heard: dict[str, Attached] = {}
        while news := self._inotify.news():
            for watch, mask, name in news:
                if mask & OVERFLOW:
                    self._looked.clear()
                    self._next_rescan = 0.0
                if watch not in self._by_watch:
                    continue
                attached, in_jobs = self._by_watch[watch]
                if mask & (DELETE_SELF | MOVE_SELF | IGNORED) or (not in_jobs and name == b"jobs"):
                    self._looked.pop(attached.spool.name, None)
                    self._next_rescan = min(self._next_rescan, monotonic() + 1.0)
                elif in_jobs:
                    attached.index.heard(name, RENAMED if mask & MOVED_TO else CLOSED if mask & CLOSE_WRITE else 0)
                heard[attached.spool.name] = attached
        self._tend(list(heard.values()))

    def _jobs_have_news(self, now: float) -> None:
        """Of all jobs that spools wait for at once, and not sooner again than makes this dear."""
        found = self.queue.store.run(
            "select spools.name, spools.job, jobs.version from spools left join jobs on jobs.number = spools.job"
            " where spools.job is not null"
        )
        moved = [(name, (job, version)) for name, job, version in found if self._seen.get(name) != (job, version)]
        self._seen.update(moved)
        self._tend([self._attached[name] for name, _ in moved if name in self._attached])
        took = monotonic() - now
        self._jobs_at = None if not self._ends.drain() else monotonic() + 4 * took

    def _look_around(self, attached: Attached, first: bool = False) -> None:
        """Watch the folder, if it can be, and look through it if anything in it has changed since the last time."""
        name = attached.spool.name
        try:
            found = os.stat(attached.index.jobs)
            if name in self._watches and self._watches[name][2] != found.st_ino:
                self._unwatch(name)
            watched = name in self._watches or self._watch(attached, found.st_ino)
            if first or not watched or self._looked.get(name) != found.st_mtime_ns:
                attached.index.rescan()
                self._looked[name] = found.st_mtime_ns
        except (OSError, FsplError) as fault:
            if first:
                say(f"spool {name}: {fault}; trying again")
            self._looked.pop(name, None)
        if not first:
            attached.tend()

    def _watch(self, attached: Attached, inode: int) -> bool:
        name = attached.spool.name
        try:
            jobs = self._inotify.watch(attached.index.jobs, JOBS_NEWS)
            folder = self._inotify.watch(attached.spool.path, FOLDER_NEWS)
        except OSError as fault:
            say(f"spool {name} cannot be watched ({fault.strerror}) and is looked at every {RESCAN_S:g} s")
            return False
        self._by_watch[jobs], self._by_watch[folder] = (attached, True), (attached, False)
        self._watches[name] = (jobs, folder, inode)
        return True

    def _unwatch(self, name: str) -> None:
        for watch in self._watches.pop(name, (0, 0, 0))[:2]:
            if self._by_watch.pop(watch, None):
                self._inotify.forget(watch)


def main(arguments: list[str]) -> int:
    """`database text keeper-pid keeper-start`, as parts are started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # see `packets.arrival`
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; whoever keeps us says when
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _end_with(int(arguments[2]))
    os.environ.pop("QUEUECTL_RUN", None)  # started from inside a job, we are no part of its run
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a lock for each spool with a packet on its way
    try:
        queue = Queue(from_argument(arguments[0], os.environ), create=False, actor="spools")
        with queue, files.exclusive(os.path.join(queue.place.run, workers.WATCH_LOCK)):
            Watch(queue).run()
    except errors.QueueError as fault:
        say(f"spools: {fault}")
        return fault.exit_code
    except OSError as fault:
        say(f"spools: {fault}")
        return TROUBLE
    return 0


def _end_with(keeper: int) -> None:
    """The worker that takes a dead keeper's place starts another watch."""
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except AttributeError:
        pass  # not Linux, where nothing here would run
    if os.getppid() != keeper:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
