"""What all chaos tests share: jobs that keep a ledger outside the queue, processes to kill, and the checker.

Each job appends `start ID RUN` and `end ID RUN` to one file with O_APPEND, one write a line: the file's order is the
order in which things happened, whatever the queue believes. The checker compares the ledger, the store and the ends
that were expected.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import queuectl
from queuectl import bell, workers
from queuectl.errors import TryAgainLater
from queuectl.model import Shell, Spec

LONG = os.environ.get("QUEUECTL_CHAOS") == "long"
PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "build" / "chaos" / ("full.jsonl" if LONG else "short.jsonl")


def size(short: int, long: int) -> int:
    """How much of a test to do: `make chaos` sets QUEUECTL_CHAOS=long."""
    return long if LONG else short


def figure(promise: str, wanted: str, reached: str, holds: bool = True) -> None:
    """Note a figure for the table at the end, and fail when the promise is broken."""
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    row = {"promise": promise, "wanted": wanted, "reached": reached, "holds": holds, "form": "full" if LONG else "short"}
    with FIGURES.open("a") as file:
        file.write(json.dumps(row) + "\n")
    assert holds, f"{promise}: {reached}"


def eventually(true: Callable[[], Any], patience_s: float = PATIENCE_S, what: str = "this") -> Any:
    end = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < end, f"{what} never came true"
        time.sleep(0.01)
    return found


# ---------------------------------------------------------------- jobs

START = 'printf "start %s %s\\n" "$QUEUECTL_JOB_ID" "${QUEUECTL_RUN##*:}" >>"$LEDGER"; '
END = 'printf "end %s %s\\n" "$QUEUECTL_JOB_ID" "${QUEUECTL_RUN##*:}" >>"$LEDGER"; '


@dataclass(frozen=True)
class Mixed:
    """A job and the end it must have: an exit status, or the negative number of a signal; bytes of output."""

    text: str
    status: int
    output: int = 0


def job(body: str = "", end: str = "exit 0", status: int = 0, output: int = 0) -> Mixed:
    return Mixed(START + body + END + end, status, output)


def clean_environment(status: int) -> Mixed:
    """A job without its cookie: it cleans its environment in its first instant."""
    told = '"$QUEUECTL_JOB_ID" "${QUEUECTL_RUN##*:}"'
    inner = (
        f'printf "start %s %s\\n" $1 $2 >>$0; sleep 0.1; printf "end %s %s\\n" $1 $2 >>$0; exit {status}'
    )
    return Mixed(f"exec env -i /bin/sh -c '{inner}' \"$LEDGER\" {told}", status)


def mixed(draw: random.Random) -> Mixed:
    """A job of any kind, drawn."""
    code = draw.randrange(256)
    number = draw.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP, signal.SIGUSR1))
    pause = f"sleep {draw.choice((0.01, 0.03, 0.1, 0.3, 0.5))}; "
    kinds = [
        job(end=f"exit {code}", status=code),
        job(end=f"exit {code}", status=code),
        job(pause, f"exit {code}", code),
        job(pause, f"exit {code}", code),
        job(end=f"ulimit -c 0; kill -{number} $$; sleep 9", status=-number),
        job(pause, f"ulimit -c 0; kill -{number} $$; sleep 9", -number),
        job("head -c 200000 /dev/zero | tr '\\0' x; ", f"exit {code}", code, 200_000),
        job("(sleep 0.05 &) ; ", f"exit {code}", code),  # leaves a child behind
        job("setsid sleep 0.05 & ", f"exit {code}", code),  # and one that has left the session
        job(f"trap '' TERM HUP INT; {pause}", f"exit {code}", code),
        clean_environment(code),
    ]
    return draw.choice(kinds)


# ---------------------------------------------------------------- one trial


@dataclass
class Verdict:
    """What the checker found wrong; empty lists are the promise."""

    lost: list[str] = field(default_factory=list)
    twice_at_once: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.lost or self.twice_at_once or self.again or self.wrong)

    def add(self, other: Verdict) -> None:
        self.lost += other.lost
        self.twice_at_once += other.twice_at_once
        self.again += other.again
        self.wrong += other.wrong

    def __str__(self) -> str:
        counts = f"{len(self.lost)} lost, {len(self.twice_at_once)} twice at once, "
        counts += f"{len(self.again)} run again, {len(self.wrong)} wrong"
        examples = [*self.lost, *self.twice_at_once, *self.again, *self.wrong][:4]
        return counts + (f": {examples}" if examples else "")


class Trial:
    """One queue in a folder of its own, its keeper, its ledger; ends what it has started."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.database = folder / "queuectl.db"
        self.ledger = folder.parent / f"{folder.name}.ledger"
        self.ledger.touch()
        self.errors = folder.parent / f"{folder.name}.stderr"
        self.url = f"sqlite://{self.database}"
        package = str(Path(queuectl.__file__).parents[1])  # the very code that is under test here
        self.environ = {**os.environ, "QUEUECTL_URL": self.url, "LEDGER": str(self.ledger), "PYTHONPATH": package}
        self.environ.pop("QUEUECTL_RUN", None)
        self.queue = queuectl.open(self.url)
        for name, value in {"backoff_base": 0, "kill_grace": 0.3, **settings}.items():
            self.queue.settings.set(name, value)
        self.expected: dict[str, Mixed] = {}
        self.processes: list[subprocess.Popen[Any]] = []
        self.kills = 0
        self.start_s = 0.0  # what the newest keeper's worker took to start
        self.ended = False

    # -------------------------------------------------------- adding, running

    def add(self, jobs: Iterable[Mixed], **more: Any) -> None:
        first = self.queue.store.run("select value from meta where key = 'next_number'")[0][0]
        jobs = list(jobs)
        env = {"PATH": os.environ["PATH"], "LEDGER": str(self.ledger)}
        more = {"max_retries": 0, **more}
        self.queue.add_many([Spec(Shell(j.text), env=env, cwd="/", **more) for j in jobs])
        self.expected.update({str(first + n): j for n, j in enumerate(jobs)})

    def keeper(self, slots: int = 8, *words: str, processes: int = 1) -> int:
        """A keeper and its worker(s); returns the keeper's pid when a worker runs."""
        command = [str(self.database), str(slots), "", ",".join(words), str(processes)]
        program = [sys.executable, "-m", "queuectl.run.keeper", *command]
        return self.started(program)

    def started(self, program: list[str], **more: Any) -> int:
        before, began = {row.id for row in self.queue.store.workers()}, time.monotonic()
        with self.errors.open("ab") as log:
            more = {"env": self.environ, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": "/", **more}
            process = subprocess.Popen(program, **more)
        self.processes.append(process)
        eventually(
            lambda: {row.id for row in self.queue.store.workers()} - before or process.poll() is not None,
            what="a worker's start",
        )
        self.start_s = time.monotonic() - began
        return process.pid

    def command(self, *words: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "queuectl", *words]
        return subprocess.run(program, env=self.environ, capture_output=True, text=True, timeout=timeout_s, check=False)

    def said(self) -> str:
        """What keepers and workers wrote to stderr."""
        return self.errors.read_text(errors="replace")

    # -------------------------------------------------------- killing

    def kill(self, pid: int, number: int = signal.SIGKILL) -> bool:
        if not pid or not alive(pid):
            return False
        os.kill(pid, number)
        self.kills += 1
        return True

    def kill_workers(self, seconds: float, draw: random.Random, keeper: int, kills: int = 1000) -> None:
        """Kill the worker at random instants until the jobs have ended, or enough was killed. Now and then it is asked
        for a restart, which renews the keeper too: that forgets the pauses it makes while its workers keep dying."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.all_ended() and self.kills < kills:
            for _ in range(4):
                worker = self.worker_of(keeper)
                # Half of them before it is through with its start, however busy the machine is.
                time.sleep(draw.uniform(0.02, max(0.3, 2 * self.start_s)))
                if is_worker(worker):
                    self.kill(worker)
            rows = eventually(lambda: workers.living(self.queue.store), what="a living worker")
            workers.ask(self.queue, rows, "restart")
            workers.wait_until_gone(self.queue, rows, 5)

    def kill_keepers(self, seconds: float, draw: random.Random, keeper: int, apart_s: float, slots: int = 8) -> None:
        """Kill the keeper alone, so that the worker has to take its place, until the jobs have ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.all_ended():
            worker = self.worker_of(keeper)
            time.sleep(draw.uniform(0.0, 0.3))
            if worker and self.kill(keeper):
                keeper = self.heir(keeper, worker, slots)
            time.sleep(apart_s)

    def heir(self, keeper: int, worker: int, slots: int) -> int:
        """The worker that has turned into a keeper; a new keeper when that one was not there yet to see it."""
        end = time.monotonic() + 5
        while alive(worker) and time.monotonic() < end:
            if "queuectl.run.keeper" in command_line(worker):
                return worker
            time.sleep(0.005)
        if alive(worker):
            raise AssertionError(f"the worker {worker} did not take the place of its keeper {keeper}")
        return self.keeper(slots)

    def worker_of(self, keeper: int) -> int:
        """The pid of the keeper's worker, waited for a while; 0 when there is none."""
        end = time.monotonic() + 3
        while time.monotonic() < end and alive(keeper):
            for child in children(keeper):
                # A job looks like its worker until its `exec`; it has a session of its own, but not in its first instant.
                if is_worker(child) and session(child) == session(keeper):
                    time.sleep(0.002)
                    if is_worker(child) and session(child) == session(keeper):
                        return child
            time.sleep(0.002)
        return 0

    # -------------------------------------------------------- looking

    def all_ended(self) -> bool:
        try:
            stages = {stage: n for _, _, stage, n in self.queue.store.counts() if n}
        except TryAgainLater:
            return False
        return not set(stages) - {"completed", "dead", "cancelled", "held"}

    def drained(self, patience_s: float = PATIENCE_S) -> None:
        eventually(self.all_ended, patience_s, "the end of all jobs")

    def lines(self) -> list[tuple[str, str, int]]:
        found = []
        for line in self.ledger.read_text().splitlines():
            what, name, run = line.split()
            found.append((what, name, int(run)))
        return found

    def check(self, interrupted: bool = False) -> Verdict:
        """Compare. With `interrupted`, a run that was recorded so may have been followed by another."""
        verdict = Verdict()
        starts: dict[str, list[int]] = {}
        ends: dict[str, list[int]] = {}
        for what, name, run in self.lines():
            if what == "start":
                if len(ends.get(name, ())) < len(starts.get(name, ())):
                    verdict.twice_at_once.append(f"job {name} run {run}")
                starts.setdefault(name, []).append(run)
            else:
                ends.setdefault(name, []).append(run)
        rows = {job.id: job for job in self.queue.stream()}
        for name, wanted in self.expected.items():
            row = rows.get(name)
            if row is None or not row.ended:
                if not (interrupted and row and row.stage == "held"):
                    verdict.lost.append(f"job {name} is {row.stage if row else 'gone'}")
                continue
            allowed = 1 + (row.interruptions if interrupted else 0)
            if len(starts.get(name, ())) > allowed or (len(ends.get(name, ())) > 1 and not interrupted):
                verdict.again.append(f"job {name}: runs {starts[name]}, allowed {allowed}")
            if not starts.get(name):
                verdict.lost.append(f"job {name} is {row.stage} but never ran")
            elif row.exit_code != wanted.status and not (interrupted and row.interruptions):
                verdict.wrong.append(f"job {name}: {row.exit_code} ({row.reason}), should be {wanted.status}")
            elif wanted.output and row.exit_code == wanted.status:
                printed = sum(len(piece) for piece in self.queue.logs(name, row.run))
                if printed != wanted.output:
                    verdict.wrong.append(f"job {name}: {printed} bytes of output, should be {wanted.output}")
        return verdict

    # -------------------------------------------------------- the end

    def end(self) -> None:
        """End by pid whatever carries this trial's mark. May be called again."""
        if self.ended:
            return
        self.ended = True
        kill_marked((f"QUEUECTL_URL={self.url}\0".encode(), f"LEDGER={self.ledger}\0".encode()))
        for process in self.processes:
            process.wait(PATIENCE_S)
        self.queue.close()

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


# ---------------------------------------------------------------- processes


def state(pid: int) -> str:
    """R, S, D, Z …; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return stat[stat.rindex(b")") + 2 :][:1].decode()


def alive(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


def session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def is_worker(pid: int) -> bool:
    return "queuectl.run.process" in command_line(pid) and alive(pid)


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def marked(marks: Iterable[bytes]) -> list[int]:
    """The living processes in whose environment one of these texts stands."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if any(mark in environ for mark in marks) and alive(int(name)):
                found.append(int(name))
    return found


def kill_marked(marks: Iterable[bytes]) -> None:
    """End all that carry one of these texts. A process in the middle of an `exec` shows no environment: looked at twice."""
    quiet = 0
    while quiet < 2:
        found = marked(marks)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        quiet = 0 if found else quiet + 1
        time.sleep(0.03 if quiet else 0.005)


def ring(trial: Trial) -> None:
    bell.ring(trial.queue.place.run, bell.WORK)
