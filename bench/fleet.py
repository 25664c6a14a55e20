"""Queues on one PostgreSQL server: one table of ours and of others, from one run, with the same durability.

    python bench/fleet.py            100,000 jobs waiting, about twenty minutes
    python bench/fleet.py --quick    60,000 waiting, about thirteen minutes
    python bench/fleet.py --full     1,000,000 waiting
    options: --only ours,river,hosts,held   --folder FOLDER (the server's disk)   --markdown

The server is the bench's own, with fsync and synchronous_commit on, reached over 127.0.0.1. `make bench-setup` installs the
others; what is not there is skipped, loudly. A worker is one process that may have 100 jobs at a time. Each figure is the median
of five rounds, in each of which the queues take turns, another one first each time: what else goes on (autovacuum comes to
each database in its turn) would befall the same one again and again.

What a no-op is: for procrastinate, pgqueuer, chancy and oban a coroutine, for River a Go function, both inside the worker. Our
jobs are processes, so ours stands twice: the queue's own work (claim, end, history, lease, by the committer of a worker, and
nothing started), which is what compares; and real workers that start `true` for each job.
"""

from __future__ import annotations

import argparse
import atexit
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from fleet_held import held
from fleet_hosts import hosts
from harness import BENCH, PYTHON, clean_env, number
from processor import tree_cpu_s

SLOTS = 100
WORKERS = (2, 8)
READY_S = 60.0
WARM_S = 1.0
PEERS = BENCH / "peers" / "fleet"
PEER_PYTHON = str(PEERS / "python" / "bin" / "python")
PROGRAMS = {name: [PEER_PYTHON, str(BENCH / "fleet_python.py"), name] for name in ("procrastinate", "pgqueuer", "chancy")}
# Oban's Python may be one in a Debian of its own, which does not see our files.
PROGRAMS["oban"] = [str(PEERS / "oban-python"), "-c", (BENCH / "fleet_python.py").read_text(), "oban"]
PROGRAMS = {"ours": [PYTHON, str(BENCH / "fleet_ours.py")], **PROGRAMS, "river": [str(PEERS / "river")]}
DONE = {
    "ours": "select count(*) from queuectl.jobs where state = 'completed'",
    "procrastinate": "select count(*) from procrastinate_jobs where status = 'succeeded'",
    "pgqueuer": "select count(*) from pgqueuer_log where status = 'successful'",
    "chancy": "select count(*) from chancy_jobs where state = 'succeeded'",
    "oban": "select count(*) from oban_jobs where state = 'completed'",
    "river": "select count(*) from river_job where state = 'completed'",
}
MUCH = {"ours": 8, "pgqueuer": 8, "river": 8}  # the fast ones have so much more to do, so that it lasts
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "'256MB'",
    "max_wal_size": "'4GB'",
    "autovacuum_naptime": "'1min'",  # PostgreSQL's own; tests have it sooner
}
Cells = dict[str, str]
BEGAN = time.perf_counter()


def say(line: str) -> None:
    print(f"[{time.perf_counter() - BEGAN:4.0f} s] {line}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- one server, one tool


@dataclass
class Scale:
    one: int
    bulk: int
    window_s: float
    stamps: int
    waiting: int
    drain: int
    held_s: float
    held: int
    rounds: int = 5


SCALES = {
    "quick": Scale(one=300, bulk=12_000, window_s=2.5, stamps=30, waiting=60_000, drain=400, held_s=12.0, held=300_000),
    "usual": Scale(one=1000, bulk=20_000, window_s=5.0, stamps=50, waiting=100_000, drain=2000, held_s=60.0, held=1_200_000),
    "full": Scale(one=1000, bulk=20_000, window_s=5.0, stamps=50, waiting=1_000_000, drain=2000, held_s=60.0, held=1_200_000),
}


class Server:
    """The server of this run."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(BENCH.parent / "tests"))
        from behaviour.postgres import Server as Made  # type: ignore[import-not-found]

        tempfile.tempdir = str(folder)
        folder.chmod(0o755)  # as root the server runs as another user
        self._made = Made(**SETTINGS)
        self.pid = int(Path(self._made.data, "postmaster.pid").read_text().split()[0])

    def cpu_s(self) -> float:
        return tree_cpu_s([self.pid])

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._made.port}/{database}"

    def fresh(self, database: str) -> str:
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f'create database "{database}"')
        return self.url(database)

    def stop(self) -> None:
        self._made.stop("immediate")


@dataclass
class Tool:
    """One queue in a database of its own."""

    name: str
    url: str
    server: Server
    env: dict[str, str]
    total: int = 0

    def call(self, verb: str, n: int) -> list[float]:
        done = subprocess.run(
            [*PROGRAMS[self.name], verb, self.url, str(n)], env=self.env, capture_output=True, text=True, check=False, timeout=900
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} {verb}: {done.stderr.strip()[-500:]}")
        self.total += n + 1 if verb in ("one", "bulk") else 0
        return [float(word) for word in done.stdout.split()]

    def added(self, verb: str, n: int) -> tuple[float, float, float]:
        """Jobs a second, and processor milliseconds for each of client and server."""
        before = self.server.cpu_s()
        seconds, cpu = self.call(verb, n)
        return n / seconds, cpu / n * 1e3, (self.server.cpu_s() - before) / n * 1e3

    @contextmanager
    def workers(self, n: int, verb: str = "work") -> Iterator[list[subprocess.Popen[str]]]:
        argv = [*PROGRAMS[self.name], verb, self.url, str(SLOTS)]
        # All in groups of their own: killed with whatever they have started.
        made = [
            subprocess.Popen(
                argv, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
            )
            for _ in range(n)
        ]
        try:
            for worker in made:
                assert worker.stdout is not None
                if worker.stdout.readline().strip() != "ready":
                    raise RuntimeError(f"a worker of {self.name} did not start")
            yield made
        finally:
            for worker in made:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    def query(self, statement: str) -> int:
        with psycopg.connect(self.url, autocommit=True) as db:
            return int(db.execute(statement).fetchall()[0][0])  # type: ignore[arg-type]

    def worked(self, n: int, window_s: float) -> tuple[float, float, float]:
        """The same for jobs that are durably done within a window, all workers running before and after it."""
        with self.workers(n) as made:
            pids = [worker.pid for worker in made]
            self._until_done(1)
            time.sleep(WARM_S)
            done, begun = self.query(DONE[self.name]), time.perf_counter()
            cpu, server = tree_cpu_s(pids), self.server.cpu_s()
            time.sleep(window_s)
            client_s, server_s = tree_cpu_s(pids) - cpu, self.server.cpu_s() - server
            took = time.perf_counter() - begun
            after = self.query(DONE[self.name])
        if after + n * SLOTS >= self.total:
            say(f"  NOTE: {self.name} had done all before the window ended: its rate is at least what is told")
        done = after - done
        return done / took, client_s / max(done, 1) * 1e3, server_s / max(done, 1) * 1e3

    def _until_done(self, more: int) -> None:
        before, deadline = self.query(DONE[self.name]), time.monotonic() + READY_S
        while self.query(DONE[self.name]) < before + more:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the workers of {self.name} do nothing")
            time.sleep(0.1)

    def latency_ms(self, n: int) -> float:
        with self.workers(1) as [worker]:
            time.sleep(WARM_S)
            self.call("stamped", n)
            assert worker.stdout is not None
            return statistics.median(float(worker.stdout.readline()) for _ in range(n)) * 1e3


# ---------------------------------------------------------------- the rows

NOOPS = "no-op jobs/s, {} workers"
BULK = "added in bulk, jobs/s"
CPU = "CPU ms per job: client + server"


def ready(server: Server, name: str, database: str, env: dict[str, str]) -> Tool:
    tool = Tool(name, server.fresh(database), server, env)
    tool.call("setup", SLOTS)
    return tool


Row = tuple[str, str, Callable[[Tool], tuple[float, ...]]]  # what is measured, its line of processor time, and how


def rows(scale: Scale) -> list[Row]:
    def refilled(tool: Tool, n: int) -> tuple[float, ...]:
        added = tool.added("bulk", scale.bulk * MUCH.get(tool.name, 1))
        return (*tool.worked(n, scale.window_s), *added)

    behind = f"the same, 2 workers, {scale.waiting:,} more waiting"
    return [
        ("added one by one, jobs/s", CPU, lambda tool: tool.added("one", scale.one)),
        (BULK, CPU + " ", lambda tool: tool.added("bulk", scale.bulk)),
        *[(NOOPS.format(n), CPU + " " * n, lambda tool, n=n: refilled(tool, n)) for n in WORKERS],
        (behind, CPU + " " * 3, lambda tool: refilled(tool, 2)),
    ]


def measured(tools: dict[str, Tool], scale: Scale) -> dict[str, Cells]:
    """Row by row, the tools in turn, several rounds: whatever else the machine has to do befalls all of them."""
    cells: dict[str, Cells] = {name: {} for name in tools}
    for work, cpu, measure in rows(scale):
        if work.startswith("the same"):
            for tool in tools.values():
                tool.call("bulk", scale.waiting)
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in tools}
        for at in range(scale.rounds):
            for name in rotated(list(tools), at):
                found[name].append(measure(tools[name]))
        for name, values in found.items():
            rate, client, server = [statistics.median(value[at] for value in values) for at in range(3)]
            cells[name] |= {work: number(rate), cpu: f"{number(client)} + {number(server)}"}
            say(f"  {name}: {work} {number(rate)} ({', '.join(number(value[0]) for value in values)}), CPU {cells[name][cpu]}")
    return cells


def rotated(names: list[str], by: int) -> list[str]:
    """
    >>> rotated(["a", "b", "c"], 4)
    ['b', 'c', 'a']
    """
    return names[by % len(names) :] + names[: by % len(names)]


def latencies(server: Server, tools: dict[str, Tool], scale: Scale) -> dict[str, Cells]:
    idle = {name: ready(server, name, f"{name}_idle", tool.env) for name, tool in tools.items()}
    found: dict[str, list[float]] = {name: [] for name in idle}
    for at in range(scale.rounds):
        for name in rotated(list(idle), at):
            found[name].append(idle[name].latency_ms(scale.stamps))
    work = "add to start of the no-op, idle worker, p50"
    for name, values in found.items():
        say(f"  {name}: {work} {', '.join(number(value) for value in values)} ms")
    return {name: {work: f"{number(statistics.median(values))} ms"} for name, values in found.items()}


# ---------------------------------------------------------------- all of it


def missing() -> dict[str, str]:
    found = {}
    for name, [program, *_] in PROGRAMS.items():
        if not Path(program).exists():
            found[name] = "make bench-setup installs it"
        elif program == PEER_PYTHON and subprocess.run([program, "-c", f"import {name}"], capture_output=True).returncode:
            found[name] = "pip could not install it"
    return found


def each_tool(server: Server, names: list[str], scale: Scale, home: Path) -> dict[str, Cells]:
    tools: dict[str, Tool] = {}
    for name in names:
        try:
            tools[name] = ready(server, name, name, clean_env(home))
            with tools[name].workers(1):
                pass  # what the first start of one makes
        except (RuntimeError, ValueError, AssertionError, subprocess.TimeoutExpired) as fault:
            tools.pop(name, None)
            say(f"SKIPPED: {name}: {fault}")
    columns, started = measured(tools, scale), latencies(server, tools, scale)
    return {name: columns[name] | started[name] for name in tools}


def table(columns: dict[str, Cells]) -> list[tuple[str, ...]]:
    works = list(next(iter(columns.values()), {}))
    return [("", *columns), *[(work.rstrip(), *[cells.get(work, "") for cells in columns.values()]) for work in works]]


def shown(lines: list[tuple[str, ...]], markdown: bool) -> str:
    if markdown:
        lines = [lines[0], tuple("---" for _ in lines[0]), *lines[1:]]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", dest="scale", action="store_const", const="quick", default="usual")
    scale.add_argument("--full", dest="scale", action="store_const", const="full")
    parser.add_argument("--only", default=",".join((*PROGRAMS, "hosts", "held")))
    parser.add_argument("--folder", default="/var/tmp")
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    scale, wanted = SCALES[asked.scale], asked.only.split(",")
    without = missing()
    for name, why in without.items():
        say(f"SKIPPED: {name}: {why}")
    load = os.getloadavg()[0]
    where = f"{os.cpu_count()} cores for server and workers, Python {platform.python_version()}"
    title = f"{time.strftime('%Y-%m-%d')}, {where}, load {load:.1f} before"
    if load > 0.5:
        say(f"NOTE: something else keeps this machine busy (load {load:.1f})")
    folder = Path(tempfile.mkdtemp(prefix="queuectl-fleet-", dir=asked.folder))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # before the server's own, so that it comes after it
    server = Server(folder)
    try:
        columns = each_tool(server, [name for name in PROGRAMS if name in wanted and name not in without], scale, folder)
        last = hosts(server, scale.drain, folder, say) if "hosts" in wanted else []
        if "held" in wanted:
            last.append(held(lambda verb: ready(server, "ours", f"held_{verb}", clean_env(folder)), scale.held, scale.held_s, say))
    finally:
        server.stop()
    print("\n".join([title, "", shown(table(columns), asked.markdown) if columns else "", *last]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
