"""Faults at chosen system calls of a worker or a keeper: strace counts the calls of one thread and strikes at the n-th.

Four scripts are enumerated. `live`: a worker that waits is given three jobs; its loop's thread and its committer's are
struck. `takeover`: a worker that has just been started finds three jobs of a dead one, and one more to claim. `keep`: a
keeper whose worker is killed starts another while three jobs end that were left to it. `renew`: a keeper is given new
code while three jobs run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from queuectl import workers

from .harness import Mixed, Trial, Verdict, alive, children, command_line, eventually, job

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: NO system call of the worker was struck"
)
CALL = re.compile(r"^(\w+)\(", re.MULTILINE)
# The first call of a program that is through with starting Python: a worker makes its bell, a keeper is to inherit orphans.
BEGINS = {"takeover": "mknodat", "renew": "prctl"}
KEEPER = """
import sys
sys.executable = sys.argv.pop(1)
from queuectl.run.keeper import Keeper
sys.exit(Keeper(sys.argv[1:]).run())
"""


class Point(NamedTuple):
    script: str  # live | takeover | keep | renew
    thread: str  # loop | committer | keeper
    call: str
    n: int

    def __str__(self) -> str:
        return f"{self.script} {self.thread} {self.call} {self.n}"


def three() -> list[Mixed]:
    return [job(end="exit 3", status=3), job("sleep 0.05; ", "exit 4", 4), job(end="kill -TERM $$; sleep 9", status=-15)]


def threads(pid: int) -> dict[str, int]:
    """The worker's threads: the loop's is the first, the committer's the other."""
    tids = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    return {"loop": tids[0], "committer": tids[-1]} if len(tids) > 1 else {}


class Strace:
    """strace on one thread of a running worker."""

    def __init__(self, tid: int, log: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            ["strace", "-qq", "-o", str(log), *options, "-p", str(tid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(lambda: traced(tid) or self.process.poll() is not None, what="strace")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def traced(tid: int) -> bool:
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{tid}/status").read_text()
    except OSError:
        return True  # gone: struck already


def live(one: Trial, thread: str, log: Path, *options: str) -> Verdict:
    """A waiting worker, struck while it runs three jobs; the next worker finishes."""
    keeper = one.keeper(2)
    worker = one.worker_of(keeper)
    tids = eventually(lambda: threads(worker))
    strace = Strace(tids[thread], log, *options)
    one.add(three())
    one.queue.ring_work()
    try:
        one.drained(60)
    finally:
        strace.end()
    return one.check()


def takeover(one: Trial, thread: str, log: Path, *options: str) -> Verdict:
    """A worker that takes over, struck from its start on."""
    armed, wrapper = one.folder.parent / f"{one.folder.name}.armed", one.folder.parent / f"{one.folder.name}.sh"
    quoted = " ".join(f"'{option}'" for option in options)
    wrapper.write_text(
        f"#!/bin/sh\nif mv {armed} {armed}.used 2>/dev/null\n"
        f'then exec strace -D -qq -o {log} {quoted} {sys.executable} "$@"; fi\nexec {sys.executable} "$@"\n'
    )
    wrapper.chmod(0o700)
    one.add([job("sleep 0.5; ", "exit 3", 3), job("sleep 0.02; ", "exit 4", 4), job("sleep 0.4; ", "kill -TERM $$; sleep 9", -15)])
    keeper = one.started([sys.executable, "-c", KEEPER, str(wrapper), str(one.database), "3", "", "", "1"])
    eventually(lambda: len(one.lines()) >= 3, what="three starts")
    worker = next(pid for pid in children(keeper) if "queuectl.run.process" in command_line(pid))
    time.sleep(0.05)
    armed.touch()
    one.add([job(end="exit 5", status=5)])
    one.kill(worker)
    one.drained(60)
    return one.check()


def keep(one: Trial, thread: str, log: Path, *options: str) -> Verdict:
    """A keeper, struck from the death of its worker on."""
    return of_keeper(one, log, options, lambda keeper: one.kill(one.worker_of(keeper)))


def renew(one: Trial, thread: str, log: Path, *options: str) -> Verdict:
    """A keeper, struck from the end of its worker on, for which both are to begin anew."""
    return of_keeper(one, log, options, lambda keeper: workers.ask(one.queue, workers.living(one.queue.store), "restart"))


def of_keeper(one: Trial, log: Path, options: tuple[str, ...], begin: Callable[[int], object]) -> Verdict:
    """When it dies before there is another worker, whoever comes next starts both. Then a job's exit status may be unknown."""
    one.add([job("sleep 0.7; ", "exit 3", 3), job("sleep 0.1; ", "exit 4", 4), job("sleep 1.2; ", "kill -TERM $$; sleep 9", -15)])
    keeper = one.keeper(3)
    eventually(lambda: len(one.lines()) >= 3, what="three starts")
    strace = Strace(keeper, log, *options)
    try:
        begin(keeper)
        eventually(lambda: one.all_ended() or not (alive(keeper) or workers.living(one.queue.store)), what="the end, or nobody")
        if not one.all_ended():
            one.keeper(3)
        one.drained(60)
    finally:
        strace.end()
    return one.check(interrupted=not alive(keeper))


SCRIPTS: dict[str, Callable[..., Verdict]] = {"live": live, "takeover": takeover, "keep": keep, "renew": renew}
THREADS = (("live", "loop"), ("live", "committer"), ("takeover", "loop"), ("keep", "keeper"), ("renew", "keeper"))


def points(trial: Callable[..., Trial], folder: Path) -> Iterator[Point]:
    """Every (thread, system call, n) that the scripts make, from undisturbed runs."""
    for script, thread in THREADS:
        one, log = trial(), folder / f"{script}.{thread}.log"
        verdict = SCRIPTS[script](one, thread, log)
        assert verdict.holds, f"undisturbed {script}: {verdict}"
        one.end()
        calls = CALL.findall(log.read_text(errors="replace"))
        start = range(calls.index("execve") + 1, calls.index(BEGINS[script])) if script in BEGINS else range(0)
        seen = Counter[str]()
        for at, call in enumerate(calls):
            seen[call] += 1
            if at not in start:
                yield Point(script, thread, call, seen[call])
