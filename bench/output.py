"""Row 6: a job that writes 100 MB to its stdout, against the same program writing to a file of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import peers
from harness import Bench, Row, Store, cpu_s, medians, number, stop

BYTES = 100_000_000
SETTLE_S = 0.4
ARGV = ["head", "-c", str(BYTES), "/dev/zero"]


def rows(bench: Bench) -> Iterator[Row]:
    store = bench.store("output")
    worker = store.worker("--count", "1")
    target = str(bench.folder / "output.file")
    used: list[float] = []

    def floor() -> float:
        took = bench.seconds(["sh", "-c", f"exec {' '.join(ARGV)} > {target}"])
        Path(target).unlink()
        return took

    try:
        found = medians(bench.pick(9, 5), {"floor": floor, "ours": lambda: _ours(store, used)})
        others = peers.each(bench, {"tsp": _tsp}, _rate)
    finally:
        stop(worker)
    work = f"{BYTES // 10**6} MB of stdout into the log"
    ours = f"{_rate(found['ours'])}, worker's processor {number(max(used) * 1e3)} ms"
    yield Row(
        work=work,
        ours=ours,
        floor=f"sh > file {_rate(found['floor'])}",
        peers=others,
        ratio=found["floor"] / found["ours"],
        target=0.9,
        at_least=True,
    )
    store.remove()


def _rate(seconds: float) -> str:
    return f"{number(BYTES / seconds / 1e6)} MB/s"


def _ours(store: Store, used: list[float]) -> float:
    """Seconds the run took, as the queue recorded it; and the processor time of its worker meanwhile."""
    pid = _worker_pid(store)
    before = cpu_s(pid)
    job = store.run("enqueue", "--", *ARGV).strip()
    time.sleep(SETTLE_S)  # nothing else runs beside it: a `wait` would start up meanwhile
    store.run("wait", job)
    used.append(cpu_s(pid) - before)
    [(took,)] = store.query(f"select finished_us - started_us from jobs where id = '{job}'")
    log = store.folder / "job_logs" / f"{job}.log"
    assert log.stat().st_size >= BYTES
    store.run("clean", job)
    assert isinstance(took, int)
    return took / 1e6


def _worker_pid(store: Store) -> int:
    for _ in range(100):
        rows = store.query("select pid from workers")
        if rows:
            assert isinstance(rows[0][0], int)
            return rows[0][0]
        time.sleep(0.05)
    raise RuntimeError("the worker did not start")


def _tsp(bench: Bench) -> float:
    with peers.tsp(bench, 1) as (path, env):
        begun = time.perf_counter()
        bench.seconds([path, *ARGV], env)
        bench.seconds([path, "-w"], env)
        return time.perf_counter() - begun
