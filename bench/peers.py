"""The other queues of the comparison: each is started in a folder of its own, and skipped loudly when it is missing.

A peer answers three questions in its own way: how long does adding one job take, how many jobs a second are added in
a loop, how many short jobs a second does it run two at a time. What it cannot do it leaves out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import BENCH, Bench, Skipped, stop

PEERS = ("tsp", "nq", "parallel", "at", "pueue", "hs")


def program(name: str) -> str:
    """Where a peer's program is: made by `make bench-setup`, or on the path. Raises Skipped."""
    for folder in (BENCH / "peers" / "hypershell" / "bin", BENCH / "peers" / "pueue" / "bin"):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if not found:
        raise Skipped(f"{name} is not installed; 'make bench-setup' does it")
    return found


def missing() -> list[str]:
    """What the table will lack, a sentence each."""
    lines = []
    for name in PEERS:
        try:
            program(name)
        except Skipped as why:
            lines.append(str(why))
    if shutil.which("at") and not Path("/run/atd.pid").exists():
        lines.append("at is installed, but no atd runs")
    return lines


def each(bench: Bench, measures: dict[str, Callable[[Bench], float]], show: Callable[[float], str]) -> dict[str, str]:
    """What the peers reach, as text for the table; a peer that is missing or fails is told and left out."""
    found = {}
    for name, measure in measures.items():
        try:
            found[name] = show(measure(bench))
        except Skipped:
            continue  # told once, at the beginning
        except (RuntimeError, OSError, subprocess.SubprocessError) as fault:
            bench.say(f"{name} failed and is left out: {fault}")
    return found


# ---------------------------------------------------------------- task-spooler


@contextmanager
def tsp(bench: Bench, slots: int = 2) -> Iterator[tuple[str, dict[str, str]]]:
    path = program("tsp")
    env = bench.env | {"TS_SOCKET": str(bench.folder / "tsp.socket"), "TS_SLOTS": str(slots), "TS_MAXFINISHED": "2000"}
    subprocess.run([path, "-S", str(slots)], env=env, check=True, capture_output=True)
    try:
        yield path, env
    finally:
        subprocess.run([path, "-K"], env=env, check=False, capture_output=True)


def tsp_drain(bench: Bench) -> float:
    """It refuses more than about a thousand, and starts at once: a first job holds both slots while the rest is added."""
    n = bench.pick(900, 400)
    with tsp(bench) as (path, env):
        gate = bench.folder / "tsp.gate"
        os.mkfifo(gate)
        subprocess.run([path, "-N", "2", "sh", "-c", f"cat {gate}"], env=env, check=True, capture_output=True)
        for _ in range(n):
            bench.seconds([path, "true"], env)  # its output is kept, as ours is
        begun = time.perf_counter()
        gate.write_text("")
        bench.seconds([path, "-w"], env)
        gate.unlink()
        return n / (time.perf_counter() - begun)


# ---------------------------------------------------------------- nq


def nq_env(bench: Bench) -> dict[str, str]:
    folder = bench.folder / "nq"
    folder.mkdir(exist_ok=True)
    return bench.env | {"NQDIR": str(folder)}


# ---------------------------------------------------------------- GNU parallel


def parallel_drain(bench: Bench) -> float:
    n = bench.pick(1000, 300)
    lines = bench.folder / "parallel.lines"
    lines.write_text("\n" * n)
    return n / bench.seconds([program("parallel"), "-j2", "-N0", "true"], stdin=str(lines))


# ---------------------------------------------------------------- pueue


@contextmanager
def pueue(bench: Bench, slots: int = 2) -> Iterator[tuple[str, dict[str, str]]]:
    path, daemon = program("pueue"), program("pueued")
    folder = bench.folder / "pueue"
    folder.mkdir(exist_ok=True)
    env = bench.env | {"XDG_RUNTIME_DIR": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    server = subprocess.Popen([daemon], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if subprocess.run([path, "parallel", str(slots)], env=env, check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.05)
        yield path, env
    finally:
        stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def pueue_drain(bench: Bench) -> float:
    n = bench.pick(60, 20)
    with pueue(bench) as (path, env):
        bench.seconds([path, "pause"], env)
        for _ in range(n):
            bench.seconds([path, "add", "--", "true"], env)
        begun = time.perf_counter()
        bench.seconds([path, "start"], env)
        bench.seconds([path, "wait", "--quiet"], env)
        return n / (time.perf_counter() - begun)


# ---------------------------------------------------------------- HyperShell


def hypershell_env(bench: Bench) -> dict[str, str]:
    return bench.env | {"HYPERSHELL_DATABASE_FILE": str(bench.folder / "hypershell.db"), "HYPERSHELL_LOGGING_LEVEL": "error"}


def hypershell_drain(bench: Bench) -> float:
    n = bench.pick(200, 40)
    lines = bench.folder / "hypershell.lines"
    lines.write_text("true\n" * n)
    return n / bench.seconds([program("hs"), "cluster", str(lines), "-N", "2", "--initdb"], hypershell_env(bench))


DRAINS = {"tsp": tsp_drain, "parallel": parallel_drain, "pueue": pueue_drain, "hypershell": hypershell_drain}


# ---------------------------------------------------------------- adding one job


def _loop(bench: Bench, argv: list[str], env: dict[str, str], n: int) -> float:
    """Median seconds of one add."""
    return sorted(bench.seconds(argv, env) for _ in range(n))[n // 2]


def tsp_add(bench: Bench) -> float:
    with tsp(bench) as (path, env):
        return _loop(bench, [path, "-n", "true"], env, bench.pick(50, 20))


def nq_add(bench: Bench) -> float:
    return _loop(bench, [program("nq"), "-q", "true"], nq_env(bench), bench.pick(50, 20))


def pueue_add(bench: Bench) -> float:
    with pueue(bench) as (path, env):
        return _loop(bench, [path, "add", "--", "true"], env, bench.pick(30, 10))


def hypershell_add(bench: Bench) -> float:
    env = hypershell_env(bench)
    bench.seconds([program("hs"), "initdb", "--yes"], env)
    return _loop(bench, [program("hs"), "submit", "true"], env, 3)


def at_add(bench: Bench) -> float:
    if not Path("/run/atd.pid").exists():
        raise Skipped("no atd runs")
    lines = bench.folder / "at.lines"
    lines.write_text("true\n")
    return sorted(bench.seconds([program("at"), "now", "+", "1", "minute"], stdin=str(lines)) for _ in range(20))[10]


ADDS = {"tsp": tsp_add, "nq": nq_add, "at": at_add, "pueue": pueue_add, "hypershell": hypershell_add}
