"""The real program, `tasker`, its requests, and a target for its calls."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode

import pytest

import queuectl
from queuectl.queue import Queue
from tests.calls.conftest import Target

PATIENCE_S = 60.0


def until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    deadline = monotonic() + patience_s
    while not (found := condition()):
        assert monotonic() < deadline, "it did not happen"
        sleep(0.01)
    return found


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Tasker:
    """One running program."""

    def __init__(self, folder: Path, *flags: str, auth: str = "", backend: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.auth = folder, auth
        words = [f"-address=localhost:{self.port}", f"-backend={backend or f'{folder}/tasks.db'}", *flags]
        words += [f"--basicauth={auth}"] if auth else []
        with open(folder / "tasker.log", "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "queuectl.compat.tasker", *words], stderr=log, cwd=folder)
        until(self.answers)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return self.get("/jobs/waiting").status in (200, 401, 403)
        except OSError:
            return False

    def log(self) -> str:
        return (self.folder / "tasker.log").read_text()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        given = {"Authorization": "Basic " + base64.b64encode(self.auth.encode()).decode()} if self.auth else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, given | {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def push(self, url: str, **fields: str) -> str:
        answer = self.ask("POST", "/add", urlencode({"url": url, **fields}), Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 201, answer.body
        return str(answer.json["uid"])

    def task(self, uid: str) -> Any:
        return self.get(f"/job/{uid}").json

    def urls(self) -> set[str]:
        """Of the first hundred tasks in each list."""
        lists = (self.get(f"/jobs/{name}").json["jobs"] for name in ("waiting", "running", "completed", "errors"))
        return {str(task["URL"]) for tasks in lists for task in tasks}

    def status(self, uid: str) -> int:
        return int(self.task(uid)["Status"])

    def signal(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> int:
        self.signal()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def queue(self) -> Queue:
        return queuectl.open(f"{self.folder}/tasks.db")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Tasker]]:
    started: list[Tasker] = []

    def begin(*flags: str, auth: str = "test:test", backend: str = "") -> Tasker:
        started.append(Tasker(tmp_path, *flags, auth=auth, backend=backend))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


@pytest.fixture(scope="module")
def _one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasker]:
    one = Tasker(tmp_path_factory.mktemp("shared"), auth="test:test")
    yield one
    one.kill()


@pytest.fixture
def shared(_one: Tasker) -> Tasker:
    """One that many tests ask: each minds its own tasks alone, and leaves none waiting."""
    _one.auth = "test:test"
    return _one


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasker]:
    """The same, without credentials."""
    one = Tasker(tmp_path_factory.mktemp("unlocked"))
    yield one
    one.kill()


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    yield server
    server.close()
