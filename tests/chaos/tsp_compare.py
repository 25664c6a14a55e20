"""The same kill, two queues: `python -m tests.chaos.tsp_compare`.

Five jobs, two at once; in their middle the server of task-spooler and the worker of queuectl are killed by -9. Printed:
what each queue knows afterwards, and what became of the jobs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

JOBS = 5
JOB = "echo start {n} >> {ledger}; sleep 1; echo end {n} >> {ledger}; exit {n}"


def ledger_of(path: Path) -> str:
    lines = [line.split() for line in path.read_text().splitlines()]
    starts, ends = (Counter(name for what, name in lines if what == wanted) for wanted in ("start", "end"))
    return f"{len(starts)} of {JOBS} started, {sum(n > 1 for n in starts.values())} twice, {len(ends)} ended"


def children(name: str, mark: str) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if any(name.encode() in word for word in words[:3]) and mark.encode() in environ:
            found.append(int(pid))
    return found


def task_spooler(folder: Path) -> list[str]:
    tsp = shutil.which("tsp")
    if tsp is None:
        return ["task-spooler is not installed (Debian: task-spooler): NOT compared"]
    environ = {**os.environ, "TS_SOCKET": str(folder / "socket"), "TMPDIR": str(folder)}
    ledger = folder / "tsp.ledger"
    ledger.touch()

    def run(*words: str) -> str:
        return subprocess.run([tsp, *words], env=environ, capture_output=True, text=True, timeout=10, check=False).stdout

    run("-S", "2")
    for n in range(1, JOBS + 1):
        run("sh", "-c", JOB.format(n=n, ledger=ledger))
    time.sleep(0.5)
    programs = children("tsp", str(folder / "socket"))  # the server was the first, and is nobody's child
    os.kill(min([pid for pid in programs if parent(pid) == 1] or programs), signal.SIGKILL)
    time.sleep(5)
    known = [line for line in run().splitlines()[1:] if line.strip()]
    run("-K")
    return [f"{len(known)} of {JOBS} jobs are known", ledger_of(ledger), "exit statuses known: none"]


def parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def queuectl(folder: Path) -> list[str]:
    environ = {**os.environ, "QUEUECTL_DB_PATH": str(folder / "queuectl.db")}
    ledger = folder / "queuectl.ledger"
    ledger.touch()

    def run(*words: str) -> str:
        program = [sys.executable, "-m", "queuectl", *words]
        return subprocess.run(program, env=environ, capture_output=True, text=True, timeout=60, check=False).stdout

    run("init")
    for n in range(1, JOBS + 1):
        run("enqueue", "--max-retries", "0", "--command", JOB.format(n=n, ledger=ledger))
    run("worker", "start", "--background", "--count", "2")
    time.sleep(0.5)
    os.kill(children("queuectl.run.process", str(folder / "queuectl.db"))[0], signal.SIGKILL)
    ids = [str(n) for n in range(1, JOBS + 1)]
    run("wait", *ids, "--timeout", "30")
    import apsw

    db = apsw.Connection(str(folder / "queuectl.db"))
    rows = dict(db.execute("select number, exit_code from jobs"))
    db.close()
    run("worker", "stop")
    right = sum(rows.get(n) == n for n in range(1, JOBS + 1))
    return [f"{len(rows)} of {JOBS} jobs are known", ledger_of(ledger), f"exit statuses known and true: {right} of {JOBS}"]


def main() -> None:
    for name, fate in (("task-spooler, its server killed by -9", task_spooler), ("queuectl, its worker killed by -9", queuectl)):
        with tempfile.TemporaryDirectory() as folder:
            print(name)
            for line in fate(Path(folder)):
                print(f"    {line}")


if __name__ == "__main__":
    main()
