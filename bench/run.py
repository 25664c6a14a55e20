"""How fast it is: one table of ours, the floor, other queues, ratio, target, verdict, from one run on one machine.

    python bench/run.py            everything, less than ten minutes
    python bench/run.py --quick    smaller numbers, less than two minutes
    python bench/run.py drain      only some rows: enqueue bulk drain latency memory output status http calls
    options: --folder FOLDER       measure on another disk than that of /var/tmp
             --markdown            the table as Markdown; --readme puts it into README.md

Ratios are what counts; the figures beside them say little about other machines. A floor is the least that such work
can cost on this machine at this moment: a bare start of Python, SQLite alone, `xargs`. It installs nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bulk
import calls
import drain
import enqueue
import latency
import memory
import output
import peers
import pushing
import status
from harness import BENCH, PROGRAM, Bench, Row, Store, markdown, ms, plain

README = BENCH.parent / "README.md"
BUSY = 0.5  # a load average above this is told
MARKED = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)


def main() -> int:
    asked = arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not Path(PROGRAM).exists():
        sys.exit(
            f"bench: there is no {PROGRAM}; run it with the Python of a virtual environment that has queuectl, see 'make bench'"
        )
    folder = Path(tempfile.mkdtemp(prefix="queuectl-bench-", dir=asked.folder))
    try:
        bench = Bench(folder, asked.quick)
        title = machine(bench)
        print(title, file=sys.stderr)
        if os.getloadavg()[0] > BUSY:
            bench.say(f"NOTE: something else keeps this machine busy (load {os.getloadavg()[0]:.1f}); the ratios will be off")
        for line in peers.missing():
            bench.say(f"SKIPPED: {line}")
        rows = list(measured(bench, asked.rows))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{title}\n\n{markdown(rows)}" if asked.markdown else plain(rows), end="")
    if asked.readme:
        text = README.read_text(encoding="utf-8")
        README.write_text(MARKED.sub(lambda _: f"\n{title}\n\n{markdown(rows)}\n", text), encoding="utf-8")
    return 0 if all(row.holds for row in rows) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", default="/var/tmp")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--readme", action="store_true")
    return parser.parse_args()


def measured(bench: Bench, wanted: list[str]) -> Iterator[Row]:
    n = bench.pick(1_000_000, 100_000)
    waiting: Store | None = None
    for name, (needs_waiting, rows) in ROWS.items():
        if wanted and name not in wanted:
            continue
        if needs_waiting and waiting is None:
            bench.say(f"adding {n:,} jobs that will wait")
            waiting = bench.store("waiting")
            waiting.add_lines("true", n, "--priority", "-5")
        bench.say(name)
        for row in rows(bench, waiting, n):
            bench.say("  " + "  ".join(cell for cell in row.cells() if cell))
            yield row


Rows = Callable[[Bench, Store, int], Iterator[Row]]
ROWS: dict[str, tuple[bool, Rows]] = {
    "enqueue": (True, enqueue.rows),
    "bulk": (False, lambda bench, *_: bulk.rows(bench)),
    "drain": (True, drain.rows),
    "latency": (False, lambda bench, *_: latency.rows(bench)),
    "memory": (True, memory.rows),
    "output": (False, lambda bench, *_: output.rows(bench)),
    "status": (True, status.rows),
    "http": (True, pushing.rows),
    "calls": (False, lambda bench, *_: calls.rows(bench)),
}


def machine(bench: Bench) -> str:
    """One line on where this was measured."""
    path = bench.folder / "flush"
    with open(path, "wb", buffering=0) as file:
        taken = []
        for _ in range(50):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    flush = ms(sorted(taken)[25])
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, {flush} per flush of the disk"


if __name__ == "__main__":
    sys.exit(main())
