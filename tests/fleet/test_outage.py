"""The server is away for longer than a lease: then every lease looks old, and says nothing of who lives."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from behaviour import postgres

import queuectl

from .hosts import Host, until
from .test_machines import LEASE_S, events, running_on


@pytest.mark.wide
def test_after_an_outage_nobody_is_taken_for_dead_before_one_lease_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why := postgres.missing():
        pytest.skip(why)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    server = postgres.Server()
    a, b, c = [Host(name, server.url("mine"), tmp_path) for name in "abc"]
    try:
        with queuectl.open(server.url("mine")) as queue:
            queue.settings.set("lease", LEASE_S)
            for host, job, choice in ((a, "living", "hold"), (c, "cut", "rerun")):
                host.worker()
                queue.add(f"sleep {LEASE_S * 4 if host is a else 1000}", id=job, if_interrupted=choice)
                until(lambda job=job: queue.get(job).state == "processing")  # type: ignore[misc]
            b.worker()
            first = running_on(queue, "cut")
            server.stop("immediate")
            c.signal_all(signal.SIGKILL)
            time.sleep(LEASE_S + 2)
            began = time.monotonic()
            server.start()
            until(lambda: running_on(queue, "cut") not in (None, first))
            assert LEASE_S < time.monotonic() - began < LEASE_S + 12
            until(lambda: queue.get("living").ended)
            assert (queue.get("living").state, queue.get("living").run) == ("completed", 1)
            assert "interrupt" not in events(queue, "living")
            assert "interrupt" in events(queue, "cut")
    finally:
        for host in (a, b, c):
            host.end()
        server.stop("immediate")
