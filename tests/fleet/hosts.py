"""Machines made of namespaces: each has a name, a home and, where a test cuts its link, a network of its own.

Two processes with different host names share no run folder, so that to each other they are other machines: nothing tells
them of each other but the store.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from behaviour import postgres

PROGRAM = [sys.executable, "-m", "queuectl"]
PATIENCE_S = 90.0


def need_namespaces() -> None:
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("NOT TESTED: needs root, unshare and ip to make machines of namespaces")


class Host:
    """One machine."""

    def __init__(self, name: str, url: str, home: Path, net: Link | None = None, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.net = net
        self.env = {**os.environ, "QUEUECTL_URL": url, "HOME": str(home), "XDG_STATE_HOME": str(home / name), **(env or {})}
        home.joinpath(name).mkdir(parents=True, exist_ok=True)
        self.log = home / f"{name}.log"
        self.started: list[subprocess.Popen[bytes]] = []
        self._words: list[tuple[str, ...]] = []  # how its workers were started
        self._names: dict[str, int] = {}  # the namespaces in which its name is what it is, each held open: none gets its name

    @staticmethod
    def _name_of(pid: int) -> str:
        try:
            return os.readlink(f"/proc/{pid}/ns/uts")
        except OSError:
            return ""

    def command(self, *words: str) -> list[str]:
        inside = ["ip", "netns", "exec", self.net.name] if self.net else []
        return [*inside, "unshare", "--uts", "sh", "-c", f'hostname {self.name}; exec "$@"', "sh", *PROGRAM, *words]

    def __call__(self, *words: str, rc: int | None = 0, timeout_s: float = PATIENCE_S, given: str = "") -> str:
        done = subprocess.run(self.command(*words), env=self.env, input=given, capture_output=True, text=True, timeout=timeout_s)
        assert rc is None or done.returncode == rc, (done, self.said())
        return done.stdout + (done.stderr if rc else "")

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """A keeper and its worker; returns when it runs."""
        before = self.said().count(" runs, ")
        keeper = self.begin(words)
        until(lambda: self.said().count(" runs, ") > before or keeper.poll() is not None)
        return keeper

    def begin(self, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """The same, without waiting for it."""
        with open(self.log, "ab") as log:
            keeper = subprocess.Popen(
                self.command("worker", "start", *words),
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.started.append(keeper)
        self._words.append(words)
        until(lambda: self._name_of(keeper.pid) != self._name_of(os.getpid()))
        if name := self._name_of(keeper.pid):  # it may have ended
            self._names[name] = os.open(f"/proc/{keeper.pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        return keeper

    def begin_again(self) -> None:
        """After a power cut: the same workers as before."""
        words, self._words = self._words, []
        for each in words:
            self.begin(each)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def processes(self) -> list[int]:
        """Everything that runs on this machine, jobs too."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self._name_of(int(name)) in self._names]

    def signal_all(self, number: int) -> None:
        """To the machine as a whole: its keepers, workers and jobs at once (a power cut, a freeze, a thaw)."""
        if number == signal.SIGKILL:
            self._freeze()  # first, or a keeper that is still there starts the worker again that it sees die
        self._signal(self.processes(), number)

    def _freeze(self) -> None:
        frozen: set[int] = set()
        while new := set(self.processes()) - frozen:
            self._signal(new, signal.SIGSTOP)
            frozen |= new

    def _signal(self, pids: Iterable[int], number: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def end(self) -> None:
        while self.processes():
            self.signal_all(signal.SIGKILL)
            time.sleep(0.02)
        for process in self.started:
            process.wait(10)
        for held in self._names.values():
            os.close(held)
        self._names.clear()


class Link:
    """A network namespace with one link to the server's machine, which can be cut."""

    def __init__(self, number: int) -> None:
        mine = os.getpid() % 2048  # each test process has addresses of its own, in the network kept for tests of networks
        self.name = f"qt{mine}n{number}"
        first = mine * 64 + (number % 16) * 4
        net = f"198.{18 + (first >> 16)}.{first >> 8 & 255}."
        self.ours, self.theirs = f"{net}{(first & 255) + 1}", f"{net}{(first & 255) + 2}"
        self._device = f"qv{mine}n{number}"
        peer = self._device + "p"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {self._device} type veth peer name {peer}",
            f"ip link set {peer} netns {self.name}",
            f"ip addr add {self.ours}/30 dev {self._device}",
            f"ip link set {self._device} up",
            f"ip netns exec {self.name} ip addr add {self.theirs}/30 dev {peer}",
            f"ip netns exec {self.name} ip link set {peer} up",
            f"ip netns exec {self.name} ip link set lo up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def cut(self) -> None:
        subprocess.run(["ip", "link", "set", self._device, "down"], check=True)

    def deafen(self) -> None:
        """One way only: what is said there still arrives, no answer gets back."""
        subprocess.run(["ip", "route", "add", "blackhole", f"{self.theirs}/32"], check=True)

    def mend(self) -> None:
        subprocess.run(["ip", "route", "del", "blackhole", f"{self.theirs}/32"], capture_output=True)
        subprocess.run(["ip", "link", "set", self._device, "up"], check=True)

    def remove(self) -> None:
        self.mend()
        subprocess.run(["ip", "link", "del", self._device], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


@contextmanager
def machines(home: Path, store: str) -> Iterator[Callable[..., Host]]:
    """Opens machines: `host("a")`, `host("b", net=True)` with a link that can be cut. They end with the block."""
    need_namespaces()
    opened: list[Host] = []

    def host(name: str, net: bool = False, url: str = store, **env: str) -> Host:
        link = Link(len(opened) + 1) if net else None
        where = postgres.over_tcp(url, link.ours) if link else url
        opened.append(Host(name, where, home, link, env))
        return opened[-1]

    try:
        yield host
    finally:
        for one in opened:
            one.end()
            if one.net:
                one.net.remove()


def until(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    end = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.1)
    return found
