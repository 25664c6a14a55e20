"""One attached spool: takes the packet whose turn it is, waits for its job, goes on to the next.

    nextseq says n → packet n is there, whole → the queue's lock → a job, noted in the spool's row → its end → row cleared

Killed at any instant, the row tells the next one where things are: while it names a packet, that packet is its job's and
nobody's else. `nextseq` is moved by the packet's own process (`delivery`) when it has succeeded, and here only when a
packet that has failed is to be passed over.
"""

from __future__ import annotations

import os
from time import monotonic

from .. import spool_rows, spools
from ..errors import Conflict, StorageError
from ..model import ENDED
from ..packets import sequence, sharing
from ..packets.faults import FsplError, system_words
from ..packets.names import done_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job
    from ..queue import Queue
    from ..spool_rows import Spool
    from .spool_index import Index

NOTE_S = 0.5  # a note is written no more often
LOCKED_S = 2.0  # a lock that somebody else has is asked for again, should its end not be heard of
SHOWN_MAX = 5


class Attached:
    def __init__(self, queue: Queue, store_id: str, spool: Spool, index: Index) -> None:
        self.spool = spool
        self.index = index
        self.gone = False
        self.next_moment: float | None = None
        self._queue = queue
        self._store_id = store_id
        self._lock = -1
        self._note_at = 0.0

    def tend(self) -> None:
        """Do what can be done now. Trouble with the folder is noted and passes, or does not; nobody else suffers."""
        self.next_moment = None
        try:
            note = self._tended()
        except (FsplError, StorageError) as fault:
            note = str(fault)
        except OSError as fault:
            note = f"{os.fsdecode(fault.filename or self.spool.path)}: {system_words(fault)}"
            self._again(LOCKED_S)
        if not self.gone:
            self._tell(note)

    def _tended(self) -> str | None:
        """What is worth telling of it."""
        while self.spool.job is not None:
            if not self._settled():
                return None
        if self.spool.detaching:
            self._let_go()
            return None
        number = spools.next_number(self.spool.path)
        names = self.index.numbers.get(number, [])
        if len(names) != 1:
            self.release()
            return self._why_none(number, names)
        return self._take(number, names[0])

    # ------------------------------------------------------------ the packet that is on its way

    def _settled(self) -> bool:
        """Whether the packet that was taken is over with, and the next one may come."""
        job = self._queue.store.job(self.spool.job or 0)
        number = spools.next_number(self.spool.path)
        passed = number != self.spool.number
        if job is not None and job.stage not in ENDED:
            self._keep_lock()
            if passed and not job.run:
                self._cancel(job)
            return False
        if job is not None and job.stage == "completed":
            self._remove_done(job)
        elif not passed and not self._passed_over(job):
            self.release()
            return False
        self._clear()
        return True

    def _keep_lock(self) -> None:
        """A share of it, beside that of the packet's process. Where another program has the lock, that process waits."""
        if self._lock < 0:
            found = sharing.share(self.spool.path)
            if found is None:
                self._again(LOCKED_S)
            else:
                self._lock = found

    def _cancel(self, job: Job) -> None:
        try:
            self._queue.cancel(job.id)
        except Conflict:
            pass  # it has just been started, and finds out by itself
        self._again(LOCKED_S)

    def _passed_over(self, job: Job | None) -> bool:
        """Whether a failed packet is passed over, as `--on-error` says. One that was cancelled stops the spool."""
        how = self.spool.terms.on_error
        if job is None or job.stage != "dead" or how == "stop":
            return False
        self._keep_lock()
        if self._lock < 0:
            return False
        assert self.spool.number is not None
        sequence.replace(self.spool.path + b"/nextseq", sequence.after(self.spool.number), sync_rename=True)
        if how == "delete":
            _remove(self.index.jobs + b"/" + self.spool.file)
        return True

    def _remove_done(self, job: Job) -> None:
        _remove(self.index.jobs + b"/" + done_name(self._store_id, job.number))

    def _clear(self) -> None:
        """The row names no packet any more; the next `take` would write the same, but there may be none for long."""
        self.index.look(self.spool.file)
        self._queue.store.run(spool_rows.SETTLE, (self.spool.name,))
        self._reload()

    def _let_go(self) -> None:
        with self._queue.store.transaction():
            spools.let_go(self._queue.store, self.spool)
        self.gone = True
        self.release()

    # ------------------------------------------------------------ the packet that comes next

    def _take(self, number: int, name: bytes) -> str | None:
        if self._lock < 0:
            found = sharing.claim(self.spool.path)
            if found is None:
                self._again(LOCKED_S)
                return "another program has locked the queue"
            self._lock = found
        if spools.next_number(self.spool.path) != number:
            self._again(0)
            return None
        self.index.look(name)  # once more: it may have been changed since
        if self.index.numbers.get(number) == [name]:
            spools.take(self._queue, self.spool, number, name)
            self._reload()
        else:
            self._again(0)
        return None

    def _why_none(self, number: int, names: list[bytes]) -> str | None:
        if len(names) > 1:
            several = " and ".join(sorted(os.fsdecode(name) for name in names))
            return f"{several} both say that they are packet {number}; remove the wrong one"
        said = []
        ahead = self.index.ahead_of(number)
        if ahead:
            more = f" and {len(ahead) - SHOWN_MAX} more" if len(ahead) > SHOWN_MAX else ""
            listed = ", ".join(map(str, ahead[:SHOWN_MAX]))
            said.append(f"it is not there, but {listed}{more} {'is' if len(ahead) == 1 else 'are'}")
        for name in self.index.troubled()[:SHOWN_MAX]:
            said.append(f"{os.fsdecode(name)}: {self.index.files[name].why}")
        return "; ".join(said) or None

    # ------------------------------------------------------------ small things

    def refresh(self, spool: Spool) -> None:
        self.spool = spool

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _reload(self) -> None:
        self.spool = spool_rows.named(self._queue.store, self.spool.name)

    def _again(self, after_s: float) -> None:
        moment = monotonic() + after_s
        self.next_moment = moment if self.next_moment is None else min(self.next_moment, moment)

    def _tell(self, note: str | None) -> None:
        note = note and note.encode("utf-8", "backslashreplace").decode()  # it may name files
        if note == self.spool.note:
            return
        left = self._note_at + NOTE_S - monotonic()
        if left > 0:
            self._again(left)
            return
        self._note_at = monotonic()
        self._queue.store.run(spool_rows.NOTE, (note, self.spool.name))
        self.spool = self.spool.but(note=note)


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # an earlier one of us was cut after it
