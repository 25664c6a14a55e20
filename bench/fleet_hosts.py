"""Two hosts of two slots on the server beside two workers of two slots on SQLite, all of which run `true`; for `fleet.py`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness import PROGRAM, clean_env, number
from processor import tree_cpu_s

if TYPE_CHECKING:
    from fleet import Server


def hosts(server: Server, jobs: int, folder: Path, say: Callable[[str], None]) -> list[str]:
    """A line for the report: jobs a second and processor time."""
    if os.geteuid() or not shutil.which("unshare"):
        say("SKIPPED: two hosts: only root with unshare can make machines of names")
        return []
    found = {}
    for name, url in (("SQLite", f"sqlite:///{folder}/queue.db"), ("PostgreSQL", server.fresh("hosts"))):
        found[name] = drain(server, url, name == "PostgreSQL", jobs, folder)
        rate, client, served = found[name]
        say(f"  {name}: {number(rate)} × true/s, CPU ms per job {number(client)} + {number(served)}")
    ratio = found["PostgreSQL"][0] / found["SQLite"][0]
    (rate, client, served), (alone, its_client, _) = found["PostgreSQL"], found["SQLite"]
    return [
        f"{jobs:,} × `true`, 2 workers × 2 slots, CPU with their start: on PostgreSQL as two hosts {number(rate)}/s "
        f"(CPU ms per job {number(client)} workers and jobs + {number(served)} server), on SQLite {number(alone)}/s "
        f"({number(its_client)}); ratio {number(ratio)}, target ≥ 0.5: {'holds' if ratio >= 0.5 else 'MISSED'}"
    ]


ENDS = "select min(started_us), max(finished_us), count(*) from jobs where state = 'completed'"


def drain(server: Server, url: str, apart: bool, n: int, folder: Path) -> tuple[float, float, float]:
    import queuectl

    with queuectl.open(url) as queue:
        queue.add_many(["true"] * n)
        names = [f"host{i}" if apart else "" for i in range(2)]
        cpu = server.cpu_s()
        made = [worker_of(name, url, folder) for name in names]
        try:
            deadline = time.monotonic() + 300
            while queue.store.counts() and not all(state == "completed" for _, state, _, _ in queue.store.counts()):
                if time.monotonic() > deadline:
                    raise RuntimeError("the drain takes too long")
                time.sleep(0.1)
            client, served = tree_cpu_s([worker.pid for worker in made]), server.cpu_s() - cpu
        finally:
            for worker in made:
                worker.send_signal(signal.SIGTERM)
                worker.wait(30)
        [(first, last, done)] = queue.store.run(ENDS)
    assert done == n, f"{done} of {n} completed"
    return n / ((last - first) / 1e6), client / n * 1e3, served / n * 1e3


def worker_of(name: str, url: str, folder: Path) -> subprocess.Popen[bytes]:
    """A worker, on a host of that name when there is one: machines are told apart by their names."""
    home = folder / (name or "home")
    home.mkdir(exist_ok=True)
    env = clean_env(home) | {"QUEUECTL_URL": url}
    inside = ["unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"] if name else []
    null = subprocess.DEVNULL
    argv = [*inside, PROGRAM, "worker", "start", "--count", "2"]
    return subprocess.Popen(argv, env=env, cwd=home, stdin=null, stdout=null, stderr=null)
