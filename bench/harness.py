"""What all rows of the bench share: a clean environment, timing, stores to measure on, and the table.

Everything is measured as seen from outside: the real program, started the cheapest way, in a folder of its own on a
real disk. Works that are compared take turns, so that a noisy moment of the machine meets them alike.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

BENCH = Path(__file__).resolve().parent
PYTHON = sys.executable
PROGRAM = str(Path(sys.executable).parent / "queuectl")


class Skipped(Exception):
    """A work that cannot be measured here; its text says why."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `ratio` and `target` are compared; `at_least` says which side is good."""

    work: str
    ours: str
    floor: str = ""
    peers: dict[str, str] = field(default_factory=dict)
    ratio: float
    target: float
    at_least: bool = False
    unit: str = "×"

    @property
    def holds(self) -> bool:
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    def cells(self) -> tuple[str, ...]:
        sign = "≥" if self.at_least else "≤"
        peers = ", ".join(f"{name} {value}" for name, value in self.peers.items())
        ratio, target = (f"{number(value)} {self.unit}" for value in (self.ratio, self.target))
        return self.work, self.ours, self.floor, peers, ratio, f"{sign} {target}", "holds" if self.holds else "MISSED"


def number(value: float) -> str:
    """Three digits that matter.

    >>> number(0.01234), number(1234.5), number(12.34)
    ('0.0123', '1,234', '12.3')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ms(seconds: float) -> str:
    return f"{number(seconds * 1e3)} ms"


def per_second(rate: float) -> str:
    return f"{number(rate)}/s"


@dataclass
class Bench:
    """One run of the bench: how thorough, where, with which environment."""

    folder: Path
    quick: bool
    began: float = field(default_factory=time.perf_counter)
    stores: int = 0

    def __post_init__(self) -> None:
        home = self.folder / "home"
        home.mkdir()
        self.env = clean_env(home) | {"TMPDIR": str(home)}

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def say(self, line: str) -> None:
        print(f"[{time.perf_counter() - self.began:4.0f} s] {line}", file=sys.stderr, flush=True)

    def seconds(
        self, argv: list[str], env: dict[str, str] | None = None, stdin: str = os.devnull, stdout: str = os.devnull
    ) -> float:
        """How long a program takes from its spawn to its end. Raises when it fails."""
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        begun = time.perf_counter()
        pid = os.posix_spawnp(argv[0], argv, env or self.env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - begun
        if status:
            raise RuntimeError(f"{' '.join(argv)[:200]} ended with {os.waitstatus_to_exitcode(status)}")
        return took

    def store(self, name: str, like: Store | None = None) -> Store:
        self.stores += 1
        return Store(self, self.folder / f"{name}-{self.stores}", like)


class Store:
    """A queue in a folder of its own; with `like` a copy of another one, jobs and all."""

    def __init__(self, bench: Bench, folder: Path, like: Store | None = None) -> None:
        self.bench = bench
        self.folder = folder
        self.database = folder / "queuectl.db"
        self.env = bench.env | {"QUEUECTL_DB_PATH": str(self.database)}
        folder.mkdir(mode=0o700)
        if like is None:
            self.run("init")
        else:
            like.settle()
            shutil.copy(like.database, self.database)
            self.settle()

    def command(self, *words: str) -> list[str]:
        return [PROGRAM, *words]

    def seconds(self, *words: str, stdin: str = os.devnull) -> float:
        return self.bench.seconds(self.command(*words), self.env, stdin)

    def run(self, *words: str, text: str | None = None) -> str:
        done = subprocess.run(
            self.command(*words), env=self.env, input=text, capture_output=True, text=True, cwd=self.folder, check=False
        )
        if done.returncode:
            raise RuntimeError(f"queuectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def add_lines(self, command: str, n: int, *options: str) -> None:
        self.run("enqueue", "--from", "-", *options, text=f"{command}\n" * n)

    def worker(self, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A worker in the foreground of nobody; end it with `stop`."""
        with open(self.folder / "worker.log", "ab") as log:
            argv = self.command("worker", "start", *options)
            return subprocess.Popen(
                argv, env=self.env | (env or {}), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def settle(self) -> None:
        """Move the write-ahead log into the database and flush both, so that what follows starts from rest."""
        db = self.open()
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        db.close()
        with open(self.database, "rb") as file:
            os.fsync(file.fileno())

    def open(self) -> apsw.Connection:
        db = apsw.Connection(str(self.database))
        db.set_busy_timeout(10_000)
        return db

    def query(self, statement: str) -> list[tuple[object, ...]]:
        db = self.open()
        try:
            return db.execute(statement).fetchall()
        finally:
            db.close()

    def remove(self) -> None:
        """Give the database's room back. The logs stay until the bench ends: for a minute after thousands of files were
        deleted ext4 looks through them whenever it makes a new one, and the next round would pay for this one."""
        for end in ("", "-wal", "-shm"):
            Path(f"{self.database}{end}").unlink(missing_ok=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def medians(rounds: int, works: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each work over some rounds in which they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    return {name: statistics.median(values) for name, values in taken.items()}


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process, in seconds, exact."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def percentile(values: list[float], p: int) -> float:
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def compiled(bench: Bench, source: str, *options: str) -> Path:
    """A small C program or library of this folder, compiled into the bench's own. Raises Skipped without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Skipped("there is no C compiler (cc)")
    target = bench.folder / Path(source).stem
    subprocess.run([compiler, "-O2", *options, "-o", str(target), str(BENCH / source), "-ldl"], check=True)
    return target


HEADINGS = ("work", "ours", "floor", "peers", "ratio", "target", "verdict")


def markdown(rows: list[Row]) -> str:
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *[row.cells() for row in rows]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plain(rows: list[Row]) -> str:
    lines = [HEADINGS, *[row.cells() for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines)


def clean_env(home: Path) -> dict[str, str]:
    """What a program needs and nothing of what the caller has set."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "USER": "bench"}
