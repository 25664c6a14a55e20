"""Our side of `fleet.py` with no process started: the queue's own work, by the code that a worker runs for it.

    python fleet_ours.py setup|one|bulk|stamped|work|plainly URL N

`work` hands turns to a worker's committer: up to N claimed jobs are reported as ended at once, in the transaction that claims
the next. They are claimed as a worker claims jobs so short: to run when it is idle, else ahead, and told of by their ends.
Leases, history, attempts, sums are written as ever. The verbs are those of `fleet_python.py`; `plainly` is `work` that claims by
the textbook query.
"""

from __future__ import annotations

import sys
import time
from select import select

import queuectl
from queuectl import bell, clock, lifecycle
from queuectl.codec import PLAIN
from queuectl.model import Job, Outcome, Serving
from queuectl.run.committer import Committer
from queuectl.run.turn import Turn
from queuectl.schedule import Backoff
from queuectl.workers import own_row

PAUSE_S = 0.06
IDLE_S = 1.0
BACKOFF = Backoff()  # a worker has one too


def ended(job: Job) -> tuple[Job, lifecycle.Finished]:
    """A run that did nothing, and told so if its label is the moment when it was added."""
    now = clock.now_us()
    if job.label:
        print(time.time() - float(job.label), flush=True)
    return job, lifecycle.Finished(Outcome(exit_code=0, started_us=now, ended_us=now), PLAIN, BACKOFF)


def work(queue: queuectl.Queue, n: int, plainly: bool = False) -> None:
    if plainly:
        marks = queue.store.marks  # type: ignore[attr-defined]
        marks.decide = lambda: setattr(marks, "full", True)
    ears = queue.listener(bell.WORK)
    with queue.store.transaction():
        worker = queue.store.add_worker(own_row(n, Serving()))
    committer = Committer(queue, worker, Serving())
    print("ready", flush=True)
    claimed: list[Job] = []
    while True:
        free, ahead = (0, n) if claimed else (n, 0)
        committer.put(Turn([ended(job) for job in claimed], [], free, ahead))
        select([committer.fd], [], [])
        committer.drain()
        [report] = committer.news()
        had, claimed = claimed, report.claimed
        if not claimed and not had:
            ears.wait(IDLE_S)


def add(queue: queuectl.Queue, verb: str, n: int) -> None:
    queue.add("true")  # the connection, its statements
    if verb == "stamped":
        for _ in range(n):
            queue.add("true", label=str(time.time()))
            time.sleep(PAUSE_S)
        return
    begun, cpu = time.perf_counter(), time.process_time()
    if verb == "bulk":
        queue.add_many(["true"] * n)
    else:
        for _ in range(n):
            queue.add("true")
    print(time.perf_counter() - begun, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    verb, url, n = sys.argv[1:]
    with queuectl.open(url) as opened:
        if verb in ("work", "plainly"):
            work(opened, int(n), verb == "plainly")
        elif verb != "setup":
            add(opened, verb, int(n))
