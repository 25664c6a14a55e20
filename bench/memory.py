"""Row 5: memory of worker and keeper, and their processor time at rest, with a million jobs waiting and two running."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from harness import PYTHON, Bench, Row, Store, cpu_s, number, stop


def rows(bench: Bench, waiting: Store, n: int) -> Iterator[Row]:
    store = bench.store("memory", waiting)
    store.add_lines("sleep 300", 2)
    worker = store.worker("--count", "2")
    try:
        pid = _running(store)
        keeper = _parent(pid)
        time.sleep(1)
        before, begun = cpu_s(pid) + cpu_s(keeper), time.perf_counter()
        time.sleep(bench.pick(30, 6))
        idle = (cpu_s(pid) + cpu_s(keeper) - before) / (time.perf_counter() - begun)
        sizes = {"worker": _memory(pid), "keeper": _memory(keeper)}
        with_bare = _bare(bench)
    finally:
        store.run("worker", "stop", "--now")
        stop(worker)
    for name, target in (("worker", 30.0), ("keeper", 12.0)):
        rss, pss = sizes[name]
        ours = f"{number(rss)} MB ({number(pss)} MB its own share)"
        work = f"memory of the {name}, {n:,} queued"
        yield Row(work=work, ours=ours, floor=f"python {number(with_bare)} MB", ratio=rss, target=target, unit="MB")
    work = f"processor at rest, {n:,} queued, 2 running"
    yield Row(work=work, ours=f"{idle:.3%}", ratio=idle * 100, target=0.1, unit="%")
    store.remove()


def _running(store: Store) -> int:
    """The worker's process, once two jobs run."""
    for _ in range(200):
        if json.loads(store.run("status", "--json"))["processing"] == 2:
            return int(json.loads(store.run("worker", "list", "--json"))[0]["pid"])
        time.sleep(0.1)
    raise RuntimeError("the two jobs did not start")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _memory(pid: int) -> tuple[float, float]:
    """Resident size and proportional share, in MB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    rss, pss = (int(lines[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "Pss"))
    return rss, pss


def _bare(bench: Bench) -> float:
    pid = os.posix_spawn(PYTHON, [PYTHON, "-c", "import time; time.sleep(60)"], bench.env)
    time.sleep(0.3)
    rss, _ = _memory(pid)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return rss
