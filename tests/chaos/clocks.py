"""A clock that can be set without touching the machine's: for a program started with `environ`, and for what it starts."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

needs_clock = pytest.mark.skipif(
    shutil.which("cc") is None or not os.path.isdir("/proc/self"),
    reason="no C compiler, or not Linux: NO clock was set",
)


def library(folder: Path) -> Path:
    made = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
    return made


class Clock:
    """The file that the clock is read from; whoever maps it sees each change at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def environ(self, library: Path) -> dict[str, str]:
        return {"LD_PRELOAD": str(library), "TEST_CLOCK": str(self.path)}

    def set_by(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self._move(0, seconds)

    def pass_by(self, seconds: float) -> None:
        """Time goes by, as in a machine that sleeps: timers that count only waking time stand still."""
        self._move(8, seconds)

    def _move(self, at: int, seconds: float) -> None:
        (now,) = struct.unpack_from("q", self._map, at)
        struct.pack_into("q", self._map, at, now + round(seconds * 1e9))
