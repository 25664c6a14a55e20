"""Row 4: from the return of `Queue.add` (the job is committed) to the job's first instruction, with an idle worker.

The job is a small C program that reads the clock first of all and writes it into a FIFO; without a C compiler `date`
does, which is slower to start. The floor starts the same program directly. As colour, and for the peers: from the
start of the adding command.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator

import peers
from harness import Bench, Row, Skipped, compiled, ms, percentile, stop

import queuectl

PAUSE_S = 0.02  # the worker is idle again


class Stamps:
    """A FIFO that the measured program writes the time of its first instruction into."""

    def __init__(self, bench: Bench) -> None:
        path = bench.folder / "stamps"
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR)
        try:
            self.argv = [str(compiled(bench, "stamp.c", "-static")), str(path)]
        except Skipped as why:
            bench.say(f"{why}: the latency is measured with date, which starts slower")
            self.argv = ["sh", "-c", f"date +%s%N > {shlex.quote(str(path))}"]

    def read(self) -> float:
        return int(os.read(self.fd, 64)) / 1e9

    def after(self, begin: Callable[[], float], n: int) -> list[float]:
        """Seconds from the moments that `begin` returns to the first instruction, n times."""
        found = []
        for _ in range(n):
            time.sleep(PAUSE_S)
            moment = begin()
            found.append(self.read() - moment)
        return found


def rows(bench: Bench) -> Iterator[Row]:
    stamps = Stamps(bench)
    n = bench.pick(500, 100)
    store = bench.store("latency")
    worker = store.worker("--count", "2")
    try:
        with queuectl.open(str(store.database)) as queue:
            stamps.after(lambda: _added(queue, stamps.argv), 10)
            ours = stamps.after(lambda: _added(queue, stamps.argv), n)
        command = stamps.after(lambda: _commanded(bench, store.command("enqueue", "--", *stamps.argv), store.env), n // 5)
    finally:
        stop(worker)
    floor = stamps.after(lambda: _commanded(bench, stamps.argv, bench.env, wait=False), n)
    found = {p: percentile(ours, p) for p in (50, 99)}
    others = peers.each(bench, _peers(stamps), ms)
    for p, target in ((50, 3.0), (99, 10.0)):
        yield Row(
            work=f"commit to first instruction, p{p}",
            ours=ms(found[p]) + (f" ({ms(percentile(command, 50))} from the start of enqueue)" if p == 50 else ""),
            floor=f"fork+exec {ms(percentile(floor, p))}",
            peers=others if p == 50 else {},
            ratio=found[p] * 1e3,
            target=target,
            unit="ms",
        )


def _added(queue: queuectl.Queue, argv: list[str]) -> float:
    queue.add(argv)
    return time.time()


def _commanded(bench: Bench, argv: list[str], env: dict[str, str], wait: bool = True) -> float:
    begun = time.time()
    if wait:
        bench.seconds(argv, env)
    else:
        os.waitpid(os.posix_spawnp(argv[0], argv, env), 0)
    return begun


def _peers(stamps: Stamps) -> dict[str, Callable[[Bench], float]]:
    """From the start of the adding command to the job's first instruction, p50."""

    def tsp(bench: Bench) -> float:
        with peers.tsp(bench) as (path, env):
            return percentile(stamps.after(lambda: _commanded(bench, [path, "-n", *stamps.argv], env), bench.pick(50, 20)), 50)

    def nq(bench: Bench) -> float:
        argv, env = [peers.program("nq"), "-q", *stamps.argv], peers.nq_env(bench)
        return percentile(stamps.after(lambda: _commanded(bench, argv, env), bench.pick(50, 20)), 50)

    def pueue(bench: Bench) -> float:
        with peers.pueue(bench) as (path, env):
            return percentile(
                stamps.after(lambda: _commanded(bench, [path, "add", "--", *stamps.argv], env), bench.pick(20, 8)), 50
            )

    return {"tsp": tsp, "nq": nq, "pueue": pueue}
