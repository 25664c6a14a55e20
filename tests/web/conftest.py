"""Real servers on real sockets: a keeper with a web process and workers, asked as any program would ask."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from behaviour.harness import alive, eventually, marked

PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float = PATIENCE_S) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Server:
    """`queuectl serve` in a folder of its own."""

    def __init__(self, folder: Path, *options: str, command: str = "serve", user: list[str] | None = None) -> None:
        self.folder = folder
        self.database = folder / "queuectl.db"
        self.socket = str(folder / "queuectl.db.run" / "http.sock")
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "QUEUECTL_DB_PATH": str(self.database),
            "QUEUECTL_DEBUG": "1",
            "PYTHONPATH": str(ROOT / "src"),
            "QUEUECTL_TEST": str(folder),
        }
        self.user = user or []
        self.log = folder / "server.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.command = command
        if not self.database.exists():
            self.queuectl("init")
        if options or command:
            self.start(*options)

    # ------------------------------------------------------------ life

    def start(self, *options: str, wait: bool = True) -> None:
        port = [] if any(option.startswith("--port") for option in options) else ["--port", "0"]
        argv = [*self.user, sys.executable, "-m", "queuectl", self.command, *port, *options]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                argv, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            eventually(self._found, PATIENCE_S)

    def _found(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(self.words())
        lines = [line for line in self.words().splitlines() if "listening at http://" in line]
        if not lines:
            return False
        self.port = int(lines[-1].rpartition(":")[2])
        try:
            return self.get("/readyz", tcp=True).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def words(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def pids(self, module: str) -> list[int]:
        """The processes of this server that run a module; not what one of them has just forked, to become a job."""
        parents = {}
        for pid in marked(f"QUEUECTL_TEST={self.folder}\0".encode()):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if module.encode() in command:
                parents[pid] = parent
        return [pid for pid, parent in parents.items() if parent not in parents]

    @property
    def web(self) -> int:
        [pid] = eventually(lambda: self.pids("queuectl.doors.http.process"), PATIENCE_S)
        return int(pid)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        deadline = time.monotonic() + 10
        while (left := marked(f"QUEUECTL_TEST={self.folder}\0".encode())) and time.monotonic() < deadline:
            for pid in left:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    # ------------------------------------------------------------ asking

    def queuectl(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        argv = [*self.user, sys.executable, "-m", "queuectl", *words]
        return subprocess.run(
            argv, env=self.env | more.pop("env", {}), cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S, **more
        )

    @property
    def token(self) -> str:
        return self.queuectl("token").stdout.strip()

    def connection(self, tcp: bool = False) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S) if tcp else UnixConnection(self.socket)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, tcp: bool = False) -> Answer:
        """One request on a connection of its own; over the Unix socket unless said."""
        connection = self.connection(tcp)
        given = dict(headers or {})
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, content, given)
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask("GET", path, **more)

    def add(self, body: Any, **headers: str) -> Answer:
        return self.ask("POST", "/api/v1/jobs", body, {name.replace("_", "-"): value for name, value in headers.items()})

    def job(self, job_id: object) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/jobs/{job_id}").json
        return found

    def ended(self, job_id: object) -> dict[str, Any]:
        """The job, once it has ended."""
        found: dict[str, Any] = self.get(f"/api/v1/jobs/{job_id}?wait=30").json
        return found


class Listening:
    """A stream of server-sent events that is being read."""

    def __init__(self, server: Server, path: str, headers: dict[str, str] | None = None) -> None:
        self._connection = server.connection()
        self._connection.request("GET", path, headers=headers or {})
        self.answer = self._connection.getresponse()

    def next(self) -> tuple[str, Any, str]:
        """The next event: name, data, id. Comments are passed over; an ended stream raises EOFError."""
        name, data, seq = "message", [], ""
        while True:
            line = self.answer.readline()
            if not line:
                raise EOFError
            text = line.decode().rstrip("\n")
            field, _, value = text.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                seq = value
            elif not text and data:
                return name, json.loads("\n".join(data)), seq

    def until(self, wanted: str, holds: Callable[[Any], bool] = lambda data: True) -> tuple[Any, str]:
        while True:
            name, data, seq = self.next()
            if name == wanted and holds(data):
                return data, seq

    def close(self) -> None:
        self._connection.close()
        self.answer.close()


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Opens servers: each call another folder, or again the one that is named."""
    opened: list[Server] = []

    def open_one(*options: str, name: str = "", **more: Any) -> Server:
        folder = tmp_path / (name or f"queue{len(opened)}")
        folder.mkdir(mode=0o700, exist_ok=True)
        opened.append(Server(folder, *options, **more))
        return opened[-1]

    yield open_one
    for one in opened:
        one.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with two slots that the tests of a module share."""
    one = Server(tmp_path_factory.mktemp("served"), "--count", "2")
    yield one
    one.end()
