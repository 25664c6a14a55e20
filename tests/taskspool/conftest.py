"""A real server in folders of its own, spoken to over its real socket.

Whatever a test has started, servers, workers and jobs, carries the path of its socket in the environment, and is ended
by its pid when the test is over.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from behaviour.harness import ENGINES

import queuectl

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def eventually(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until something is so, and return it; the time is only a bound."""
    end = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.01)
    return found


class Spooler:
    """A place for a server, the server, and ways to speak to it."""

    def __init__(self, folder: Path, engine: str = "sqlite") -> None:
        self.folder = folder
        self.path = folder / "s.sock"
        self.logs = folder / "logs"
        self.temp = folder / "temp"
        self.url = ENGINES[engine](folder)
        self.process: subprocess.Popen[bytes] | None = None
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.env = {
            **kept,
            "LC_ALL": "C.UTF-8",
            "TASKSPOOL_SOCKET": str(self.path),
            "TASKSPOOL_LOG_DIR": str(self.logs),
            "TASKSPOOL_TEMP_DIR": str(self.temp),
            "XDG_STATE_HOME": str(folder / "state"),
            **({"QUEUECTL_URL": self.url} if engine != "sqlite" else {"QUEUECTL_DB_PATH": str(folder / "queuectl.db")}),
        }

    # ------------------------------------------------------------ the server

    def launch(self, **env: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "compat/taskspoold.py")]
        if "NOFILE" in env:
            command = ["sh", "-c", 'ulimit -n $NOFILE; exec "$0" "$@"', *command]
        if "NOHUP" in env:
            command = ["sh", "-c", 'trap "" HUP; exec "$0" "$@"', *command]
        environ = {name: value for name, value in {**self.env, **env}.items() if value}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=environ, **pipes)  # type: ignore[call-overload, no-any-return]

    def start(self, **env: str) -> Spooler:
        self.process = self.launch(**env)
        assert self.process.stderr
        line = self.process.stderr.readline().decode()
        assert "serving" in line, line
        return self

    def refused(self, **env: str) -> tuple[int, str]:
        """Start a server that is expected to end by itself: its exit code and words."""
        process = self.launch(**env)
        _, said = process.communicate(timeout=PATIENCE_S)
        return process.returncode, said.decode()

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """The server alone, without a chance to tidy up."""
        assert self.process
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def processes(self, *words: str) -> list[int]:
        """All processes that the server has started, and it itself; those whose command line has these words."""
        mark = f"TASKSPOOL_SOCKET={self.path}\0".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid, mark, words)]

    def _is_ours(self, pid: int, mark: bytes, words: tuple[str, ...]) -> bool:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
            return mark in Path(f"/proc/{pid}/environ").read_bytes() + b"\0" and all(word in line for word in words)
        except OSError:
            return False

    def end_all(self) -> None:
        """Kill server, keepers, workers and jobs, as if at one instant: first nobody moves any more, so that nobody sees
        another's end or starts anything again."""
        for pid in self.processes() if self.process else ():
            os.kill(pid, signal.SIGSTOP)
        if self.process:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while (left := sorted(self.processes())) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)

    # ------------------------------------------------------------ the wire

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(PATIENCE_S)
        client.connect(str(self.path))
        return client

    def wire(self, request: bytes, half_close: bool = True) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            return received(client)

    def ask(self, request: str) -> Any:
        return json.loads(self.wire(request.encode()))

    def queue(self, command: str) -> str:
        return str(self.ask(f"queue: {command}")["message"])

    def job(self, number: int) -> Any:
        return self.ask(f"status: {number}")

    def all(self) -> Any:
        return self.ask("status: all")

    def ended(self, number: int) -> Any:
        """The job once it has ended."""
        return eventually(lambda: (job := self.job(number))["status"] in ("completed", "failed") and job)

    def ctl(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "compat/taskspoolctl.py"), *arguments]
        return subprocess.run(command, env={**self.env, **env}, capture_output=True, text=True, timeout=PATIENCE_S)

    def store(self) -> queuectl.Queue:
        os.environ["XDG_STATE_HOME"] = self.env["XDG_STATE_HOME"]
        return queuectl.open(self.url)


def received(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _place(engine: str) -> Iterator[Spooler]:
    folder = Path(tempfile.mkdtemp(prefix=f"ts-{os.getpid()}-"))  # the path of a socket must be short
    spooler = Spooler(folder, engine)
    try:
        yield spooler
    finally:
        spooler.end_all()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Spooler]:
    """Folders without a server; with a store of the engine that the test is parametrised with, if it is."""
    yield from _place(getattr(request, "param", "sqlite"))


@pytest.fixture
def server(place: Spooler) -> Spooler:
    return place.start()


@pytest.fixture(scope="session")
def shared() -> Iterator[Spooler]:
    """A server for tests that mind nobody else's jobs."""
    for place in _place("sqlite"):
        yield place.start(TASKSPOOL_MAX_JOBS="50")
