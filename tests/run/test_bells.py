"""Bells of listeners that were killed do not pile up."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from queuectl import bell


def test_the_bell_of_a_killed_listener_is_cleared_away_and_the_others_stay(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        bell.Listener(str(tmp_path), "spools")
        os.write(write, b"!")
        signal.pause()
    os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read), os.close(write)
    (tmp_path / "worker-1.journal").touch()
    (tmp_path / "keeper-1-2.journal").touch()
    with bell.Listener(str(tmp_path), "work") as living:
        assert len(os.listdir(tmp_path)) == 4
        bell.clear_dead(str(tmp_path))
        names = set(os.listdir(tmp_path))
        assert names == {os.path.basename(living.path), "worker-1.journal", "keeper-1-2.journal"}
        assert not living.drain()  # looking at it did not ring it
