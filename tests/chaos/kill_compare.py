"""The same kill, three queues: `python -m tests.chaos.kill_compare [--write PAGE]`.

Five jobs that take a second, two at once, each with an exit status of its own; in their middle the process that starts
them is killed by -9: the server of task-spooler, the daemon of pueue, the worker of queuectl. The two others are then
started again by hand, as their users would do. Printed: which jobs each queue knows afterwards, what became of them by a
ledger that the jobs write themselves, and how many exit statuses it tells truly.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

JOBS = 5
JOB = "echo start {n} >> {ledger}; sleep 1; echo end {n} >> {ledger}; exit {n}"
PEERS = Path(__file__).resolve().parents[2] / "bench" / "peers" / "pueue" / "bin"
BEGIN, END = "<!-- the same kill -->\n", "<!-- end of the same kill -->"


class Fate(NamedTuple):
    known: int  # jobs that the queue still knows
    started: int
    twice: int
    ended: int
    true: int  # exit statuses that it tells as they were
    says: str = ""  # what it says of the rest

    def __str__(self) -> str:
        told = f"{self.known} of {JOBS} jobs are known; {self.started} started, {self.twice} twice, {self.ended} ended; "
        return told + f"exit statuses known and true: {self.true} of {JOBS}" + (f" ({self.says})" if self.says else "")


def of_ledger(path: Path) -> tuple[int, int, int]:
    lines = [line.split() for line in path.read_text().splitlines()]
    starts, ends = (Counter(name for what, name in lines if what == wanted) for wanted in ("start", "end"))
    return len(starts), sum(n > 1 for n in starts.values()), len(ends)


def processes(name: str, mark: str) -> list[int]:
    """Those of this program that carry the mark in their environment, the oldest first."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if any(name.encode() in word for word in words[:3]) and mark.encode() in environ:
            found.append(int(pid))
    return sorted(found)


def runner(environ: dict[str, str], *program: str) -> Callable[..., str]:
    def run(*words: str) -> str:
        done = subprocess.run([*program, *words], env=environ, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    return run


def found_program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(PEERS))


def task_spooler(folder: Path) -> Fate | None:
    tsp = found_program("tsp")
    if tsp is None:
        return None
    run = runner({**os.environ, "TS_SOCKET": str(folder / "socket"), "TMPDIR": str(folder)}, tsp)
    ledger = folder / "ledger"
    ledger.touch()
    run("-S", "2")
    for n in range(1, JOBS + 1):
        run("sh", "-c", JOB.format(n=n, ledger=ledger))
    time.sleep(0.5)
    programs = processes("tsp", str(folder / "socket"))  # the server was the first, and is nobody's child
    os.kill(min([pid for pid in programs if parent(pid) == 1] or programs), signal.SIGKILL)
    time.sleep(5)
    rows = [line.split() for line in run().splitlines()[1:] if line.strip()]
    true = sum(row[1] == "finished" and row[3] == row[0] for row in rows)
    run("-K")
    return Fate(len(rows), *of_ledger(ledger), true)


def parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def pueue(folder: Path) -> Fate | None:
    client, daemon = found_program("pueue"), found_program("pueued")
    if client is None or daemon is None:
        return None
    config = folder / "pueue.yml"
    config.write_text(f"shared:\n  pueue_directory: {folder}\n  runtime_directory: {folder}\n  use_unix_socket: true\n")
    environ = {**os.environ, "PUEUE_CONFIG_PATH": str(config), "MARK": str(folder)}
    ledger = folder / "ledger"
    ledger.touch()

    def serve() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([daemon], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        return process

    server, run = serve(), runner(environ, client)
    run("parallel", "2")
    for n in range(1, JOBS + 1):
        run("add", "--", JOB.format(n=n, ledger=ledger))
    time.sleep(0.7)
    server.kill()
    server.wait()
    time.sleep(1)
    server = serve()
    time.sleep(2)
    run("start")  # it has paused itself, and says so
    time.sleep(4)
    tasks = json.loads(run("status", "--json") or "{}").get("tasks", {})
    results = {int(n) + 1: result_of(task) for n, task in tasks.items()}
    server.kill()
    server.wait()
    wrong = Counter(result for n, result in results.items() if result != n)
    says = ", ".join(f"{n} called {result}" for result, n in wrong.items())
    return Fate(len(tasks), *of_ledger(ledger), sum(result == n for n, result in results.items()), says)


def result_of(task: dict[str, object]) -> object:
    """The exit status, or the word for what it calls the task."""
    status = task["status"]
    if not isinstance(status, dict):
        return status
    (word, more), *_ = status.items()
    result = more.get("result", word) if isinstance(more, dict) else word
    if isinstance(result, dict):
        return next(iter(result.values()))
    return 0 if result == "Success" else result


def queuectl(folder: Path) -> Fate | None:
    environ = {**os.environ, "QUEUECTL_URL": f"sqlite://{folder}/queuectl.db"}
    run = runner(environ, sys.executable, "-m", "queuectl")
    ledger = folder / "ledger"
    ledger.touch()
    run("init")
    for n in range(1, JOBS + 1):
        run("enqueue", "--max-retries", "0", "--command", JOB.format(n=n, ledger=ledger))
    run("worker", "start", "--background", "--count", "2")
    time.sleep(0.5)
    os.kill(processes("queuectl.run.process", str(folder / "queuectl.db"))[0], signal.SIGKILL)
    ids = [str(n) for n in range(1, JOBS + 1)]
    run("wait", *ids, "--timeout", "30")
    rows = {row["id"]: row["exit_code"] for row in json.loads(run("list", "--json"))}
    run("worker", "stop")
    return Fate(len(rows), *of_ledger(ledger), sum(rows.get(n) == int(n) for n in ids))


QUEUES: dict[str, Callable[[Path], Fate | None]] = {
    "task-spooler, its server killed": task_spooler,
    "pueue, its daemon killed": pueue,
    "queuectl, its worker killed": queuectl,
}


def told(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        fate = QUEUES[name](Path(folder))
    return "is not installed: NOT compared" if fate is None else str(fate)


def main(words: list[str]) -> None:
    rows = {name: told(name) for name in QUEUES}
    for name, fate in rows.items():
        print(f"{name}: {fate}")
    if words[:1] == ["--write"] and len(words) == 2:
        page = Path(words[1])
        before, _, rest = page.read_text().partition(BEGIN)
        table = "| kill -9 in the middle of five jobs | afterwards |\n| --- | --- |\n"
        table += "".join(f"| {name} | {fate} |\n" for name, fate in rows.items())
        page.write_text(before + BEGIN + table + END + rest.partition(END)[2])


if __name__ == "__main__":
    main(sys.argv[1:])
