"""A queue with a worker, a folder of packets beside it, and what Filespooler itself makes of that folder."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from behaviour.harness import EACH_ENGINE, ENGINES, FAST, PATIENCE_S, Place, eventually

import queuectl
from queuectl.packet import Command, Nop, Packet, encode
from queuectl.packets import queuedir

FSPL = [sys.executable, "-m", "queuectl.compat.fspl"]
COUNT = itertools.count()
WIDE = {"postgres": (pytest.mark.wide,)}  # every day on one engine


class Folder:
    """A queue of packets, and the files that come into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.jobs = path / "jobs"
        queuedir.create(queuedir.Queue(os.fsencode(path)))

    def put(self, number: int, payload: bytes = b"", *, params: tuple[str, ...] = (), **more: object) -> Path:
        """A packet that is renamed into place."""
        work = more.get("work") or Command(tuple(map(os.fsencode, params)), ((b"COLOUR", b"red"),))
        assert isinstance(work, (Command, Nop))
        content = encode(Packet(number, 1700000000, number % 10**9, work)) + payload
        if more.get("packed"):
            content = gzip.compress(content)
        name = str(more.get("name") or f"fspl-{number}-{next(COUNT)}.fspl")
        (self.path / "coming").write_bytes(content)
        return (self.path / "coming").rename(self.jobs / name)

    @property
    def next(self) -> int:
        return int((self.path / "nextseq").read_text())

    @next.setter
    def next(self, number: int) -> None:
        (self.path / "nextseq").write_text(f"{number}\n")

    def left(self) -> list[str]:
        return sorted(os.listdir(self.jobs))

    def rejected(self) -> dict[str, str]:
        folder = self.path / "rejected"
        if not folder.is_dir():
            return {}
        return {p.name.removesuffix(".reason"): p.read_text() for p in folder.iterdir() if p.suffix == ".reason"}

    def fspl(self, *words: str, program: list[str] | None = None) -> subprocess.CompletedProcess[bytes]:
        verb, *rest = words
        command = [*(program or FSPL), verb, "-q", str(self.path), *rest]
        return subprocess.run(command, capture_output=True, timeout=30)


class Spooled(Place):
    """The queue's own folder, with a spool named `s` and what its packets have written."""

    queue: queuectl.Queue
    spool: Folder

    def attach(self, *words: str, folder: Folder | None = None, name: str = "s") -> None:
        done = self.command("spool", "attach", str((folder or self.spool).path), "--name", name, *words)
        assert done.returncode == 0, done

    @property
    def trace(self) -> list[str]:
        """A line for each packet that was run."""
        path = self.folder / "trace"
        return path.read_text().splitlines() if path.exists() else []

    def tracing(self, more: str = "") -> tuple[str, ...]:
        return ("--", "sh", "-c", f"echo $FSPL_SEQ >> {self.folder}/trace; {more}")

    def done(self, number: int, patience_s: float = PATIENCE_S) -> None:
        """Wait until this packet is over with and the next is waited for."""
        eventually(lambda: self.spool.next > number and not self.taken(), patience_s)

    def taken(self) -> bool:
        return bool(self.queue.store.run("select 1 from spools where job is not null"))

    def said(self, word: str = "s") -> str:
        done = self.command("explain", word)
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture(params=[pytest.param(*row.values, marks=(*row.marks, *WIDE.get(str(row.values[0]), ()))) for row in EACH_ENGINE])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spooled]:
    place = Spooled(ENGINES[request.param](tmp_path), tmp_path)
    place.spool = Folder(tmp_path / "Q")
    place.queue = place.open(**FAST)
    yield place
    place.end()


@pytest.fixture
def real() -> list[str]:
    found = shutil.which("fspl")
    if found is None:
        pytest.skip("the real fspl is not installed (Debian: apt-get install filespooler)")
    return [found]


def settle(seconds: float = 0.4) -> None:
    """Give something that must not happen the time to happen."""
    time.sleep(seconds)
