"""A server whose processes are frozen: its kernel goes on answering for it, so that only our own patience ends a wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, get_ident
from time import monotonic
from typing import Any

import pytest
from behaviour import postgres

import queuectl
from queuectl import Queue, TryAgainLater
from queuectl.store import pg_link, pg_turns

pytestmark = pytest.mark.wide

PATIENCE_S = 1.5
SLACK_S = 4.0  # for a busy machine; well below what would be waited without a bound


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Server]:
    if why := postgres.missing():
        pytest.skip(why)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    server = postgres.Server()
    yield server
    server.stop("immediate")


@contextmanager
def frozen(server: postgres.Server) -> Iterator[None]:
    postmaster = int(Path(server.data, "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    pids = [postmaster, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def given_up_after_s(act: Callable[[], Any]) -> float:
    began = monotonic()
    with pytest.raises(TryAgainLater):
        act()
    return monotonic() - began


def test_the_bounds_are_below_ten_seconds_and_the_servers_own_come_first() -> None:
    assert int(pg_link.SESSION["lock_timeout"]) < int(pg_link.SESSION["statement_timeout"]) < pg_link.ANSWER_S * 1000 < 10_000
    assert pg_turns.IMPATIENT_S < pg_link.ANSWER_S


def test_whoever_waits_for_a_frozen_server_gives_up_and_goes_on_when_it_is_back(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_link, "ANSWER_S", PATIENCE_S)
    url = server.url("mine")
    with queuectl.open(url) as adder, queuectl.open(url) as reader, queuectl.open(url) as writer:
        adder.add("true")  # what the second one needs is known by then
        for queue in (adder, reader, writer):
            queue.store.doubt_s = 2 * PATIENCE_S  # type: ignore[attr-defined]
        before = adder.count()
        acts: list[Callable[[], Any]] = [
            lambda: adder.add("true"),
            lambda: reader.get(1),
            lambda: writer.hold(1),
        ]
        took: list[float] = []
        with frozen(server):
            waiting = [Thread(target=lambda act=act: took.append(given_up_after_s(act))) for act in acts]
            for thread in waiting:
                thread.start()
            said = subprocess.run(
                [sys.executable, "-m", "queuectl", "status"],
                env={**os.environ, "QUEUECTL_URL": url},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            for thread in waiting:
                thread.join()
        assert len(took) == 3, "each was told that it has to try again"
        assert max(took) < 2 * PATIENCE_S + SLACK_S
        assert (said.returncode, said.stderr.count("\n")) == (75, 1)
        assert "cannot be reached" in said.stderr
        assert reader.get(1).command == "true"
        assert adder.add("echo last").number > before
        assert writer.hold(1)[0].stage == "held"


def test_a_workers_loop_waits_less_than_its_committer(server: postgres.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pg_link, "ANSWER_S", 60.0)
    with queuectl.open(server.url("mine")) as queue:
        queue.add("true")
        queue.store.impatient = get_ident()
        with frozen(server):
            assert given_up_after_s(lambda: queue.get(1)) < pg_turns.IMPATIENT_S + SLACK_S
            assert given_up_after_s(lambda: queue.get(1)) < SLACK_S  # the link is gone, and others look for a new one
        assert others_wait(queue) < pg_turns.IMPATIENT_S + SLACK_S


def others_wait(queue: Queue) -> float:
    """How long the loop waits while another thread of the worker has the connection."""
    took: list[float] = []

    def loop() -> None:
        queue.store.impatient = get_ident()
        took.append(given_up_after_s(lambda: queue.get(1)))

    with queue.store.lock:
        thread = Thread(target=loop)
        thread.start()
        thread.join()
    return took[0]
