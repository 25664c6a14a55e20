"""Filespooler work: ours against the real `fspl` in one run on one machine, as a table of medians and ratios.

    python bench/fspl.py            all rows, about a minute
    python bench/fspl.py --small    64 MiB and fewer jobs, a few seconds

The floor is the least that such work can cost here: `cat` for payloads, `true` started in a loop for jobs,
`python -c pass` for start-up. Everything happens in a temporary folder that is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SOURCE))

from queuectl.packet import Command, Packet, encode  # noqa: E402

ENTRY = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from queuectl.compat.fspl import entry; entry()"
OURS = [sys.executable, "-c", ENTRY]
PEER = [shutil.which("fspl") or ""]
# Compiled modules are part of an installed program; without them each start compiles the source again.
ENV = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}

Row = tuple[str, list[float], list[float], list[float], str]


def seconds(command: list[str], stdin: str = os.devnull, stdout: str = os.devnull) -> float:
    """How long one command takes, started the cheapest way."""
    with open(stdin, "rb") as source, open(stdout, "wb") as target:
        begun = time.perf_counter()
        subprocess.run(command, stdin=source, stdout=target, env=ENV, check=True)
        return time.perf_counter() - begun


def piped(command: list[str]) -> float:
    """How long until the reader of a pipe has everything."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENV) as writer:
        subprocess.run(["cat"], stdin=writer.stdout, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def peak_mb(command: list[str]) -> float:
    """The most memory the command ever had, read until its last moment: wait4 would count what it was forked from."""
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENV) as process, open(os.devnull, "wb") as null:
        assert process.stdout is not None
        while block := os.read(process.stdout.fileno(), 1 << 20):
            null.write(block)
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    peak = max(peak, int(line.split()[1]) / 1024)
    return peak


def rounds(count: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Each measure `count` times, in turn, so that a noisy minute hits them alike; a first of many only warms up."""
    found: list[list[float]] = [[] for _ in measures]
    warm_up = count > 2
    for turn in range(count + warm_up):
        for values, measure in zip(found, measures, strict=True):
            value = measure()
            if turn or not warm_up:
                values.append(value)
    return found


def fill(queue: Path, jobs: int) -> None:
    (queue / "jobs").mkdir(parents=True)
    (queue / "nextseq").write_text("1\n")
    (queue / "nextseq.lock").touch()
    for number in range(1, jobs + 1):
        header = encode(Packet(number, 1_700_000_000 + number, 123_456_789, Command()))
        (queue / "jobs" / f"fspl-{number:036x}.fspl").write_bytes(header)


def payloads(folder: Path, size: int) -> list[Row]:
    source, packet, target = str(folder / "payload"), str(folder / "q" / "jobs" / "fspl-1.fspl"), str(folder / "out")
    fill(folder / "q", 0)
    with open(source, "wb") as file:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            file.write(block)
    with open(packet, "wb") as file:
        subprocess.run([*OURS, "prepare", "-s", "-", "-i", source], stdout=file, env=ENV, check=True)
    prepare, payload = ["prepare", "-s", "-", "-i", source], ["queue-payload", "-q", str(folder / "q"), "-j", "1"]
    rows: list[Row] = []
    for name, words in (("prepare", prepare), ("queue-payload", payload)):
        ways: list[tuple[str, Callable[[list[str]], float]]] = [
            ("to /dev/null", lambda command: seconds(command)),
            ("to a file", lambda command: seconds(command, stdout=target)),
            ("into a pipe", piped),
        ]
        for way, measure in ways:
            rows.append(compared(f"{name} {way}, {size >> 20} MiB", 2, measure, words, ["cat", source]))
        rows.append((f"{name} peak memory", [peak_mb(OURS + words)], [], peak_of(words), "MB"))
    os.unlink(packet)
    return rows


def peak_of(words: list[str]) -> list[float]:
    return [peak_mb(PEER + words)] if PEER[0] else []


def compared(name: str, count: int, measure: Callable[[list[str]], float], words: list[str], floor: list[str]) -> Row:
    commands = [OURS + words, floor, *([PEER + words] if PEER[0] else [])]
    found = rounds(count, *[lambda command=command: measure(command) for command in commands])
    return name, found[0], found[1], found[2] if PEER[0] else [], "s"


def processing(folder: Path, jobs: int) -> Row:
    def drained(command: list[str]) -> float:
        queue = folder / "drain"
        fill(queue, jobs)
        os.sync()
        took = seconds([*command, "queue-process", "-q", str(queue), "true"])
        assert not os.listdir(queue / "jobs")
        shutil.rmtree(queue)
        return took

    def bare() -> float:
        return seconds(["sh", "-c", f"seq {jobs} | xargs -n1 env true"])

    found = rounds(4, lambda: drained(OURS), bare, *([lambda: drained(PEER)] if PEER[0] else []))
    return f"queue-process, {jobs} empty jobs", found[0], found[1], found[2] if PEER[0] else [], "s"


def listing(folder: Path, jobs: int) -> Row:
    fill(folder / "many", jobs)
    row = compared(f"queue-ls, {jobs} jobs", 5, seconds, ["queue-ls", "-q", str(folder / "many")], [sys.executable, "-c", "pass"])
    shutil.rmtree(folder / "many")
    return row


def starting() -> list[Row]:
    bare = [sys.executable, "-c", "pass"]
    return [
        compared("start of gen-uuid", 21, seconds, ["gen-uuid"], bare),
        compared("start of prepare -s -", 21, seconds, ["prepare", "-s", "-"], bare),
    ]


def shown(row: Row) -> str:
    name, ours, floor, peer, unit = row

    def value(measured: list[float]) -> str:
        if not measured:
            return "-"
        median = statistics.median(measured)
        return f"{median:.1f} MB" if unit == "MB" else f"{median * 1000:.1f} ms"

    def ratio(other: list[float]) -> str:
        return f"{statistics.median(ours) / statistics.median(other):.2f}" if other else "-"

    return f"| {name:<36} | {value(ours):>11} | {value(floor):>11} | {value(peer):>11} | {ratio(floor):>9} | {ratio(peer):>9} |"


def main() -> None:
    small = "--small" in sys.argv[1:]
    if not PEER[0]:
        print("fspl is not installed (Debian: filespooler), so its column stays empty")
    print(f"| {'work':<36} | {'ours':>11} | {'floor':>11} | {'fspl':>11} | {'ours/floor':>9}| {'ours/fspl':>9} |")
    print(f"|{'-' * 38}|{'-' * 13}|{'-' * 13}|{'-' * 13}|{'-' * 11}|{'-' * 11}|")
    with tempfile.TemporaryDirectory(prefix="bench-fspl-") as name:
        folder = Path(name)
        rows = starting()
        rows.append(listing(folder, 1_000 if small else 10_000))
        rows.append(processing(folder, 100 if small else 1_000))
        rows += payloads(folder, (64 if small else 1024) << 20)
    for row in rows:
        print(shown(row))


if __name__ == "__main__":
    main()
