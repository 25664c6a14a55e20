"""Row 3: 2,000 × `true` through two slots against `xargs -P2 -n1 true`; behind a million others; on a slow disk.

From the start of the first job to the moment the last one runs, read from the clock by a job that comes after all of
them (its priority is lower) and writes into a FIFO. All must be stored as completed, or the row fails. Beside it,
as colour, the same with the worker's own start.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import peers
from harness import Bench, Row, Skipped, Store, compiled, medians, per_second, stop

SLOW_US = "3000"


def rows(bench: Bench, waiting: Store, n_waiting: int) -> Iterator[Row]:
    n = bench.pick(2000, 1000)
    lines = bench.folder / "xargs.lines"
    lines.write_text("x\n" * n)
    whole: list[float] = []

    def ours(like: Store | None = None, env: dict[str, str] | None = None) -> float:
        drained, with_start = drain(bench, n, like, env)
        whole.append(with_start)
        return n / drained

    def xargs() -> float:
        return n / bench.seconds(["xargs", "-P2", "-n1", "true"], stdin=str(lines))

    here = medians(bench.pick(5, 3), {"xargs": xargs, "ours": ours})
    started = n / sorted(whole)[len(whole) // 2]
    behind = medians(bench.pick(5, 1), {"xargs": xargs, "ours": lambda: ours(waiting)})
    slow: dict[str, float] = {}
    try:
        shim = {"LD_PRELOAD": str(compiled(bench, "slow_fsync.c", "-shared", "-fPIC")), "SLOW_FSYNC_US": SLOW_US}
        slow = medians(bench.pick(3, 2), {"xargs": xargs, "ours": lambda: ours(env=shim)})
    except Skipped as why:
        bench.say(f"no row for a slow disk: {why}")
    others = peers.each(bench, peers.DRAINS, per_second)  # last: some delete thousands of files (see Store.remove)

    mine = f"{per_second(here['ours'])} ({per_second(started)} with the worker's start)"
    yield _row(f"drain {n:,} × true, 2 slots", here, 0.8, mine, others)
    yield _row(f"the same before {n_waiting:,} waiting", behind, 0.8)
    if slow:
        yield _row("the same, 3 ms per fsync", slow, 0.6)


def _row(work: str, found: dict[str, float], target: float, ours: str = "", others: dict[str, str] | None = None) -> Row:
    return Row(
        work=work,
        ours=ours or per_second(found["ours"]),
        floor=f"xargs {per_second(found['xargs'])}",
        peers=others or {},
        ratio=found["ours"] / found["xargs"],
        target=target,
        at_least=True,
    )


def drain(bench: Bench, n: int, like: Store | None, env: dict[str, str] | None) -> tuple[float, float]:
    """Seconds for the jobs alone, and from the worker's start."""
    store = bench.store("drain", like)
    gate = store.folder / "gate"
    os.mkfifo(gate)
    lines = store.folder / "lines"
    lines.write_text("true\n" * n)
    # The commands carry a label, so that the others in the queue are not counted.
    store.run("enqueue", "--from", str(lines), "--label", "drain")
    store.run("enqueue", "--priority", "-1", "--command", f"echo > {gate}")
    store.settle()
    begun = time.time()
    worker = store.worker("--count", "2", env=env)
    gate.read_bytes()  # the last job opens it
    ended = time.time()
    stop(worker)
    [(first, done)] = store.query("select min(started_us), sum(state = 'completed') from jobs where label = 'drain'")
    assert done == n, f"{done} of {n} completed"
    assert isinstance(first, int)
    store.remove()
    return ended - first / 1e6, ended - begun
