"""Real programs in real processes: ours, and the original where it is installed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENTRY = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from queuectl.compat.fspl import entry; entry()"
OURS = [sys.executable, "-c", ENTRY]
PATIENCE_S = 60.0


class Result(NamedTuple):
    rc: int
    out: bytes
    err: bytes


class Program:
    """One of the two programs, called in `folder`."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C", "SHELL": "/bin/sh"}

    def __call__(self, *args: str | bytes | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, **more: Any) -> Result:
        done = subprocess.run(
            [*self.command, *args],
            input=None if "stdin_from" in more else stdin,
            stdin=more.pop("stdin_from", None),
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**self.env, **(env or {})},
            timeout=PATIENCE_S,
            **more,
        )
        return Result(done.returncode, done.stdout or b"", done.stderr)

    def start(self, *args: str | bytes | Path, **more: Any) -> subprocess.Popen[bytes]:
        env = {**self.env, **more.pop("env", {})}
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([*self.command, *args], cwd=self.folder, env=env, **more)

    def add(self, queue: str, *params: str, payload: bytes = b"", seqfile: str = "seq") -> bytes:
        """Prepare a packet and put it into a queue."""
        made = self("prepare", "-s", seqfile, "-i", "-", "--", *params, stdin=payload)
        assert made.rc == 0, made
        assert self("queue-write", "-q", queue, stdin=made.out).rc == 0
        return made.out


@pytest.fixture
def ours(tmp_path: Path) -> Program:
    return Program(OURS, tmp_path)


@pytest.fixture
def real(tmp_path: Path) -> Program:
    found = shutil.which("fspl")
    if found is None:
        pytest.skip("the real fspl is not installed (Debian: apt-get install filespooler)")
    return Program([found], tmp_path)


@pytest.fixture
def queue(ours: Program) -> Path:
    """A queue called Q in the programs' folder."""
    assert ours("queue-init", "-q", "Q").rc == 0
    return ours.folder / "Q"


def jobs(queue: Path) -> list[str]:
    return sorted(name for name in os.listdir(queue / "jobs") if name.startswith("fspl-") and name.endswith(".fspl"))


def next_number(queue: Path) -> int:
    return int((queue / "nextseq").read_text())


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def eventually(true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so; the time is only a bound."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.005)


def enveloped(metadata: bytes, payload: bytes = b"", length: int | None = None) -> bytes:
    """Metadata of any kind in a prefix whose checksums fit."""
    prefix = b"*FILESPOOLER" + struct.pack(">HQI", 1, len(metadata) if length is None else length, zlib.crc32(metadata))
    return prefix + struct.pack(">I", zlib.crc32(prefix)) + metadata + payload
