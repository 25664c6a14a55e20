"""A fleet in trouble: machines made of namespaces whose links are cut, which freeze and die, and the ledger that their jobs
keep outside the queue.

What happens to the machines is written into the same ledger, so that its order tells which jobs were running when.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from fleet.hosts import Host

import queuectl
from queuectl import Queue, limits
from queuectl.errors import TryAgainLater

from .harness import command_line

# A job says when it begins, when it has ended and when it was ended, each in one write.
WORK = """read h </proc/sys/kernel/hostname; i="$QUEUECTL_JOB_ID ${QUEUECTL_RUN##*:} $h $QUEUECTL_QUEUE"
trap 'echo "cut $i" >>"$LEDGER"; exit 99' TERM
echo "start $i" >>"$LEDGER"; sleep SECONDS; echo "end $i" >>"$LEDGER\""""
LEASE_S = 4.0


class Trouble:
    """What befalls one machine again and again, one thing at a time."""

    def __init__(self, host: Host, ledger: Path, draw: random.Random) -> None:
        self.host = host
        self.counts: Counter[str] = Counter()
        self._ledger = ledger
        self._draw = draw
        self._what = ""
        self._stopped: int = 0  # a worker that was frozen alone
        self._until = time.monotonic() + draw.uniform(0, 2)
        self._started = self._workers_said()

    def tend(self) -> None:
        if time.monotonic() < self._until:
            return
        if self._what:
            self.over()
            self._until = time.monotonic() + self._draw.uniform(1.5, 8.0)
        elif self._workers_said() >= self._started:  # a worker that was killed has an heir by now
            self._begin()

    def _begin(self) -> None:
        kinds = ("cut", "deaf", "freeze", "freeze a worker", "kill a worker", "power")
        self._what = self._draw.choices(kinds, (6, 4, 5, 3, 1, 0.3))[0]
        long = self._draw.random() < 0.25
        self._until = time.monotonic() + (self._draw.uniform(1.2, 2.2) * LEASE_S if long else self._draw.uniform(0.2, 1.5))
        self.counts[self._what] += 1
        assert self.host.net
        match self._what:
            case "cut":
                self.host.net.cut()
            case "deaf":
                self.host.net.deafen()
            case "freeze":
                self.note("freeze")
                for _ in range(2):  # what began between a look and its signal
                    self.host.signal_all(signal.SIGSTOP)
            case "freeze a worker":
                self._stopped = self._a_worker()
                self.note("freeze")
                self._signal(self._stopped, signal.SIGSTOP)
            case "kill a worker":
                self._started = self._workers_said() + 1
                self._signal(self._a_worker(), signal.SIGKILL)
            case "power":
                # All stand still first: else a worker may still see its job die of the signal that it dies of itself.
                for _ in range(2):
                    self.host.signal_all(signal.SIGSTOP)
                while self.host.processes():
                    self.host.signal_all(signal.SIGKILL)
                self.note("dead")

    def over(self) -> None:
        assert self.host.net
        match self._what:
            case "cut" | "deaf":
                self.host.net.mend()
            case "freeze":
                self.host.signal_all(signal.SIGCONT)
                self.note("thaw")
            case "freeze a worker":
                self._signal(self._stopped, signal.SIGCONT)
                self.note("thaw")
            case "power":
                self.host.begin_again()
        self._what = ""

    def note(self, what: str) -> None:
        with self._ledger.open("a") as file:
            file.write(f"{what} {self.host.name}\n")

    def _workers_said(self) -> int:
        return self.host.said().count(" runs, ")

    def _a_worker(self) -> int:
        found = [pid for pid in self.host.processes() if "queuectl.run.process" in command_line(pid)]
        return self._draw.choice(found) if found else 0

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        try:
            if pid:
                os.kill(pid, number)
        except ProcessLookupError:
            pass


class Pauses(Thread):
    """A queue that is paused and served again now and then, from beside: a pause waits for the claims that are under way, of
    a machine that froze in one too."""

    def __init__(self, url: str, name: str, ledger: Path, draw: random.Random) -> None:
        super().__init__(name="pauses", daemon=True)
        self.queue_name = name
        self.claimed: list[dict[str, int]] = []  # at each pause: the run that each job of the queue had come to
        self.waited = 0  # pauses in which something had to wait
        self._url, self._ledger, self._draw = url, ledger, draw
        self._over = Event()

    def run(self) -> None:
        with queuectl.open(self._url) as queue:
            while not self._over.wait(self._draw.uniform(0.2, 1.0)):
                if self._set(queue, 1):
                    self._look(queue)
                    self._over.wait(self._draw.uniform(0.2, 0.8))
                    self._note("resume")
                while not self._set(queue, 0):
                    pass

    def _set(self, queue: Queue, paused: int) -> bool:
        try:
            limits.set_queue(queue, self.queue_name, paused=paused)
        except TryAgainLater:  # a claim that froze has kept it waiting for too long
            return False
        return True

    def _look(self, queue: Queue) -> None:
        rows = queue.store.run("select number, run, stage from jobs where queue = ?", (self.queue_name,))
        self.claimed.append({str(number): int(run) for number, run, _ in rows})
        self.waited += any(stage == "ready" for _, _, stage in rows)
        self._note("pause")

    def _note(self, what: str) -> None:
        with self._ledger.open("a") as file:
            file.write(f"{what} {self.queue_name}\n")

    def __enter__(self) -> Pauses:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(60)

    def broken(self) -> list[str]:
        """What started in a pause and was not claimed before it."""
        found, pauses, claimed = [], iter(self.claimed), None
        for what, words in _lines(self._ledger):
            if what in ("pause", "resume"):
                claimed = next(pauses) if what == "pause" else None
            elif what == "start" and claimed is not None and words[3] == self.queue_name:
                job, run = words[0], int(words[1])
                found += [f"run {run} of job {job} began in a pause"] * (run > claimed[job])
        return found


# ---------------------------------------------------------------- what the ledger tells


@dataclass
class Span:
    """A run that goes on: where, of which queue, and whether its machine froze meanwhile."""

    run: int
    host: str
    queue: str
    frozen: bool = False


@dataclass
class Reading:
    begun: Counter[tuple[str, int]] = field(default_factory=Counter)  # (job, run): how often it was started
    ended: Counter[str] = field(default_factory=Counter)
    hosts: dict[str, set[str]] = field(default_factory=dict)  # queue: machines on which its jobs ran
    most: Counter[str] = field(default_factory=Counter)  # queue: how many at the same time
    overlaps: list[str] = field(default_factory=list)


def read(ledger: Path, counted: Callable[[str, int], bool]) -> Reading:
    """Walk the ledger. `counted`: whether the end of that run counted in the end. A run that did not, on a machine that
    froze, is over from the freeze on as far as the queue is concerned."""
    reading = Reading()
    running: dict[str, Span] = {}
    frozen: set[str] = set()
    for what, words in _lines(ledger):
        if what in ("pause", "resume"):
            continue
        if what == "thaw":
            frozen.discard(words[0])
        elif what in ("freeze", "dead"):
            frozen |= {words[0]} if what == "freeze" else set()
            for job, span in list(running.items()):
                if span.host == words[0]:
                    span.frozen = True
                    if what == "dead" or not counted(job, span.run):
                        del running[job]
        elif what == "start":
            job, run, host, queue = words[0], int(words[1]), words[2], words[3]
            reading.begun[job, run] += 1
            reading.hosts.setdefault(queue, set()).add(host)
            before = running.get(job)
            if before and not before.frozen:
                reading.overlaps.append(f"job {job}: run {before.run} on {before.host}, run {run} on {host}")
            if host in frozen and not counted(job, run):
                continue  # it began in the instant before
            running[job] = Span(run, host, queue, host in frozen)
            reading.most[queue] = max(reading.most[queue], sum(span.queue == queue for span in running.values()))
        else:
            job, run = words[0], int(words[1])
            reading.ended[job] += what == "end"
            if job in running and running[job].run == run:
                del running[job]
    return reading


def _lines(ledger: Path) -> Iterator[tuple[str, list[str]]]:
    for line in ledger.read_text().splitlines():
        what, *words = line.split()
        yield what, words
