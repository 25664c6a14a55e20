"""The server is away, or the way to it, for longer than a lease: then every lease looks old, and says nothing of who lives."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour import postgres

import queuectl
from queuectl import Queue
from queuectl.store.pg_sql import SINCE_START

from .hosts import Host, need_namespaces, until
from .test_machines import LEASE_S, events, running_on

pytestmark = pytest.mark.wide

Opener = Callable[..., Host]
SLACK_S = 12.0  # for ticks, new connections and a busy machine


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Server]:
    """A server that a test may stop."""
    if why := postgres.missing():
        pytest.skip(why)
    need_namespaces()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    server = postgres.Server()
    yield server
    server.stop("immediate")


def test_after_an_outage_nobody_is_taken_for_dead_before_one_lease_has_passed(own_server: postgres.Server, tmp_path: Path) -> None:
    url = own_server.url("mine")
    a, b, c = [Host(name, url, tmp_path) for name in "abc"]
    try:
        with queuectl.open(url) as queue:
            queue.settings.set("lease", LEASE_S)
            for host, job, choice in ((a, "living", "hold"), (c, "cut", "rerun")):
                host.worker()
                queue.add(f"sleep {LEASE_S * 4 if host is a else 1000}", id=job, if_interrupted=choice)
                until(lambda job=job: queue.get(job).state == "processing")  # type: ignore[misc]
            b.worker()
            living, dead = running_on(queue, "living"), running_on(queue, "cut")
            own_server.stop("immediate")
            c.signal_all(signal.SIGKILL)
            time.sleep(LEASE_S + 2)
            own_server.start()
            until(lambda: running_on(queue, "cut") not in (None, dead))
            [(up_s,)] = queue.store.run(SINCE_START)  # its own word: to start it may have taken long
            assert LEASE_S < up_s < LEASE_S + SLACK_S
            until(lambda: queue.get("living").ended)
            assert (queue.get("living").state, queue.get("living").run) == ("completed", 1)
            assert [line.actor for line in queue.history(queue.get("living"))][1:] == [f"worker {living}"] * 2
            assert "interrupt" in events(queue, "cut")
        assert "taken for dead" not in a.said()
    finally:
        for host in (a, b, c):
            host.end()


@pytest.mark.parametrize("cut_s", [LEASE_S + 2, LEASE_S * 4])
def test_who_was_cut_off_itself_takes_nobody_for_dead_before_one_lease_has_passed(queue: Queue, host: Opener, cut_s: float) -> None:
    b, c = host("b", net=True), host("c")
    c.worker()
    queue.add("sleep 1000", id="cut")
    until(lambda: queue.get("cut").state == "processing")
    b.worker()
    dead = running_on(queue, "cut")
    assert b.net
    b.net.cut()
    c.signal_all(signal.SIGKILL)
    time.sleep(cut_s)
    mended = time.monotonic()
    b.net.mend()
    until(lambda: running_on(queue, "cut") not in (None, dead))
    took_s = time.monotonic() - mended
    print(f"taken over {took_s:.1f} s after the link was mended")
    assert LEASE_S < took_s < LEASE_S + SLACK_S
