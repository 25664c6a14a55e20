"""Openers of queues in folders of their own, each called as the program `queuectl`; whatever they start they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from behaviour import postgres
from behaviour.harness import EACH_ENGINE

ROOT = Path(__file__).resolve().parents[2]
BESIDE_PYTHON = Path(sys.executable).parent / "queuectl"
PROGRAM = [str(BESIDE_PYTHON)] if BESIDE_PYTHON.exists() else [sys.executable, "-m", "queuectl"]
PATIENCE_S = 60.0


class Result(NamedTuple):
    rc: int
    out: str
    err: str


class Queuectl:
    """The program, called in one folder with one environment."""

    def __init__(self, folder: Path, env: dict[str, str], program: list[str] | None = None) -> None:
        self.folder = folder
        self.env = env
        self.program = program or PROGRAM
        self.started: list[subprocess.Popen[bytes]] = []
        self.had_workers = False

    def __call__(self, *args: str | bytes, stdin: bytes = b"", env: dict[str, str] | None = None, **more: Any) -> Result:
        self._notice(args)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        done = subprocess.run(
            [*self.program, *args],
            **{"cwd": self.folder, "input": stdin, "timeout": PATIENCE_S, **pipes, **more},
            env=self.env | (env or {}),
        )
        return Result(done.returncode, _text(done.stdout), _text(done.stderr))

    def ok(self, *args: str | bytes, **more: Any) -> str:
        """What it printed; the test fails when it failed."""
        done = self(*args, **more)
        assert done.rc == 0, done
        return done.out

    def json(self, *args: str, **more: Any) -> Any:
        return json.loads(self.ok(*args, "--json", **more))

    def start(self, *args: str, **more: Any) -> subprocess.Popen[bytes]:
        """The program running beside the test, in a process group of its own."""
        self._notice(args)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        env = self.env | pipes.pop("env", {})
        process = subprocess.Popen([*self.program, *args], cwd=self.folder, env=env, start_new_session=True, **pipes)
        self.started.append(process)
        return process

    def drain(self, *options: str) -> None:
        """Run what there is to run, to its end."""
        self.ok("worker", "start", "--until-idle", *options)

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("show", job_id)
        return found

    def states(self) -> dict[str, str]:
        return {job["id"]: job["state"] for job in self.json("list")}

    def until(self, holds: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """Wait until something holds; returns it."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if found := holds():
                return found
            time.sleep(0.03)
        raise AssertionError(f"did not come to hold: {self('list').out}{self('status').out}")

    def file(self, name: str, content: str | bytes = "") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def _notice(self, args: tuple[str | bytes, ...]) -> None:
        starts = args[:1] in (("worker-start",), ("worker-run",)) or args[:2] in (("worker", "start"), ("worker", "run"))
        self.had_workers = self.had_workers or (starts and "--until-idle" not in args)

    def close(self) -> None:
        if self.had_workers:
            self("worker", "stop", "--now", "--timeout", "15")
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _text(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", "surrogateescape")


@pytest.fixture(params=EACH_ENGINE)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_queue(engine: str, tmp_path: Path) -> Iterator[Callable[..., Queuectl]]:
    """Opens queues: each call another folder, or again the folder that is named; on a server each has a schema."""
    opened: list[Queuectl] = []
    stores: dict[Path, str] = {}

    def open_one(name: str = "", env: dict[str, str] | None = None, program: list[str] | None = None) -> Queuectl:
        folder = tmp_path / (name or f"queue{len(opened)}")
        folder.mkdir(exist_ok=True)
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        plain = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "QUEUECTL_DB_PATH": str(folder / "queuectl.db"),
        }
        if engine == "postgres":
            del plain["QUEUECTL_DB_PATH"]
            plain["QUEUECTL_URL"] = stores.setdefault(folder, postgres.url())
        opened.append(Queuectl(folder, plain | (env or {}), program))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
    for store in stores.values():
        postgres.drop(store)


@pytest.fixture
def queue(engine: str, open_queue: Callable[..., Queuectl]) -> Queuectl:
    """An empty queue whose retries come soon."""
    one = open_queue()
    if engine == "sqlite":
        one.file("queuectl_config.json", '{"backoff_base": 0.2}')
    else:
        one.ok("config", "set", "backoff_base", "0.2")
    return one


_MADE: dict[Callable[[Queuectl], object], Path] = {}


def made_once(queue: Queuectl, make: Callable[[Queuectl], object]) -> Queuectl:
    """An empty queue after `make`. A file is copied for all but the first that want it; on a server it is made each time."""
    if "QUEUECTL_URL" in queue.env or make not in _MADE:
        make(queue)
        if "QUEUECTL_URL" not in queue.env:
            _MADE[make] = Path(shutil.copytree(queue.folder, queue.folder.parent / f"made-{make.__name__}"))
    else:
        shutil.copytree(_MADE[make], queue.folder, dirs_exist_ok=True)
    return queue


@pytest.fixture
def as_nobody() -> list[str]:
    """A command that runs another as a user who owns nothing; skips where that cannot be."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("NOT TESTED: needs root and setpriv to become another user")
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run([*command, *PROGRAM, "--version"], capture_output=True, timeout=PATIENCE_S).returncode:
        pytest.skip("NOT TESTED: another user cannot run the program from where it is installed")
    return command


def is_alive(pid: int) -> bool:
    """Zombies are dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] not in b"ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
