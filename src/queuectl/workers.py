"""Which workers live, and asking things of them through the store: no pid of a file is ever trusted with a signal."""

from __future__ import annotations

import fcntl
import os
from time import monotonic, sleep

from . import bell, clock
from .model import Serving, WorkerRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .queue import Queue
    from .store.base import Store

WAIT_POLL_S = 0.5
WATCH_LOCK = "spools.lock"  # who watches the folders of spools has it, beside the bells


def living(store: Store) -> list[WorkerRow]:
    """The workers whose very process exists. Those of other containers cannot be looked at from here: they count."""
    boot, namespace = clock.boot_id(), clock.pid_namespace()
    if store.shared:  # those of other machines count while they hold a lease
        return [row for row in store.leased_workers() if row.boot_id != boot or _lives(row, boot, namespace)]
    return [row for row in store.workers() if _lives(row, boot, namespace)]


def _lives(row: WorkerRow, boot: str, namespace: int) -> bool:
    if row.boot_id != boot:
        return False
    return row.pid_ns != namespace or clock.is_alive(row.pid, row.pid_start)


def own_row(slots: int, serving: Serving) -> WorkerRow:
    """This process as a worker, still without its number."""
    pid = os.getpid()
    return WorkerRow(
        id=0,
        host=clock.host(),
        pid=pid,
        pid_start=clock.process_start(pid),
        boot_id=clock.boot_id(),
        pid_ns=clock.pid_namespace(),
        slots=slots,
        queues=",".join(serving.queues) or None,
        started_us=clock.now_us(),
        stopping=None,
        offers=" ".join(sorted(serving.offers)),
    )


def ask(queue: Queue, workers: list[WorkerRow], what: str) -> None:
    """Ask workers to `finish`, end `now`, `leave` their jobs running, or `restart`."""
    with queue.store.transaction():
        for row in workers:
            queue.store.ask_worker(row.id, what)
    queue.ring(bell.WORK)


def ask_all(queue: Queue, what: str) -> list[WorkerRow]:
    """Ask every worker; returns those that live. One of this machine that was killed is asked too: its keeper has started the
    next one, which has no row yet and does what was asked of the dead."""
    here = (clock.boot_id(), clock.pid_namespace())
    with queue.store.transaction():
        running = living(queue.store)
        killed = [row for row in queue.store.workers() if (row.boot_id, row.pid_ns) == here and row not in running]
        for row in running + killed:
            queue.store.ask_worker(row.id, what)
    queue.ring(bell.WORK)
    return running


def wait_until_gone(queue: Queue, workers: list[WorkerRow], timeout_s: float | None = None) -> list[WorkerRow]:
    """Wait until these workers have ended; returns those that have not in time."""
    ids = {row.id for row in workers}
    deadline = None if timeout_s is None else monotonic() + timeout_s
    with queue.listener(bell.DONE) as ears:
        while True:
            left = [row for row in living(queue.store) if row.id in ids]
            if not left or (deadline is not None and monotonic() > deadline):
                return left
            ears.wait(0.05 if deadline is not None else WAIT_POLL_S)


def wait_for_heirs(queue: Queue, gone: list[WorkerRow], timeout_s: float) -> int:
    """Wait until as many workers of commands have begun after these, each on the machine of one of them; returns how many
    have."""
    newest, hosts = max([row.id for row in gone], default=0), {row.host for row in gone}
    deadline = monotonic() + timeout_s
    with queue.listener(bell.DONE) as ears:
        while True:
            began = [row for row in living(queue.store) if row.id > newest and row.runs_commands]
            found = sum(row.host in hosts for row in began)
            if found >= len(gone) or monotonic() > deadline:
                return found
            ears.wait(0.02)


def wait_until_unwatched(run_folder: str, timeout_s: float) -> None:
    """Until the folders of spools are free for other programs: a moment after the last worker, whose keeper ends the watch."""
    try:
        lock = os.open(os.path.join(run_folder, WATCH_LOCK), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            sleep(0.01)
    os.close(lock)
