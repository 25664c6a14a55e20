"""Worse days: the server's disk is full, a standby takes over that lacks the last commits, the clocks of machines are wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from behaviour import postgres
from chaos.clocks import Clock, library, needs_clock

import queuectl
from queuectl import NotFound, Queue, QueueError, StorageError, TryAgainLater

from .hosts import Host, need_namespaces, until
from .test_machines import LEASE_S, running_on

Opener = Callable[..., Host]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of its own, which a test may fill."""
    above = Path(tempfile.mkdtemp(prefix="queuectl-pg-"))  # not below the test's own folder, which is this user's alone
    above.chmod(0o755)  # the server's user has to get there
    folder = above / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120m,mode=755", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT TESTED: needs root, to mount a disk that can be filled")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(above)


@pytest.mark.wide
def test_a_server_whose_disk_is_full_loses_nothing_that_was_acknowledged(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_namespaces()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    if why := postgres.missing():
        pytest.skip(why)
    server = postgres.Server(str(small_disk), max_wal_size="'32MB'", min_wal_size="'32MB'")
    ledger, added, refused = tmp_path / "ledger", [], []
    a = Host("a", server.url("mine"), tmp_path)
    try:
        with queuectl.open(server.url("mine")) as queue:
            a.worker("--count", "2")
            fill(small_disk)
            while len(refused) < 3:
                try:
                    ballast = "x" * 100_000
                    added.append(queue.add(f"echo $QUEUECTL_JOB_ID >> {ledger}; : {ballast}").id)
                except QueueError as fault:
                    assert isinstance(fault, (StorageError, TryAgainLater))
                    assert "\n" not in str(fault)
                    refused.append(str(fault))
            (small_disk / "filler").unlink()
            try:
                server.start()  # it has given up, when it was its log that found no room
            except AssertionError:
                pass
            until(lambda: {job.state for job in queue.find()} == {"completed"})
            began = Counter(ledger.read_text().split())
            assert set(began.values()) == {1}
            assert set(added) <= set(began)
            assert queue.add("true").number
    finally:
        a.end()
        server.stop("immediate")


def fill(disk: Path) -> None:
    room = shutil.disk_usage(disk).free - 1_500_000
    with (disk / "filler").open("wb") as file:
        for _ in range(room // 65536):
            file.write(bytes(65536))


@pytest.mark.wide
def test_a_standby_that_lacks_the_last_commits_is_not_taken_for_the_server_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_namespaces()
    if why := postgres.missing():
        pytest.skip(why)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    first = postgres.Server()
    second = first.standby()
    hosts = f"host={first.data},{second.data}&port={first.port},{second.port}"
    url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write&schema=mine"
    a = Host("a", url, tmp_path)
    try:
        with queuectl.open(url) as queue:
            a.worker()
            queue.add("echo kept", id="kept")
            until(lambda: queue.get("kept").state == "completed")
            follows_no_more(first, second)
            queue.add("echo lost", id="lost")
            until(lambda: queue.get("lost").state == "completed")
            first.stop("immediate")
            second.promote()
            assert "its history has branched" in until(lambda: what_is_said(queue))
            queue.add("echo after", id="after")
            until(lambda: queue.get("after").state == "completed")
            assert "its history has branched" in a.said()
            assert queue.get("kept").state == "completed"
            with pytest.raises(NotFound):
                queue.get("lost")
            assert [b"".join(queue.logs(name)) for name in ("kept", "after")] == [b"kept\n", b"after\n"]
    finally:
        a.end()
        second.stop("immediate")


def what_is_said(queue: Queue) -> str:
    """By the first add that finds a server."""
    try:
        queue.add("true", id="notyet")
    except TryAgainLater:
        return ""
    except StorageError as told:
        return str(told)
    raise AssertionError("it was not noticed")


def follows_no_more(first: postgres.Server, second: postgres.Server) -> None:
    """The standby has all until now, and gets nothing from here on."""
    here, there = (f"postgresql://postgres@/postgres?host={server.data}&port={server.port}" for server in (first, second))
    with psycopg.connect(here, autocommit=True) as db:
        at = db.execute("select pg_current_wal_lsn()").fetchall()[0][0]
    with psycopg.connect(there, autocommit=True) as db:
        until(lambda: db.execute("select pg_last_wal_replay_lsn() >= %s", (at,)).fetchall()[0][0])
        db.execute("alter system set primary_conninfo = ''")
        db.execute("select pg_reload_conf()")
        until(lambda: not db.execute("select 1 from pg_stat_wal_receiver").fetchall())


@needs_clock
@pytest.mark.wide
def test_machines_whose_clocks_are_wrong_by_an_hour_work_like_any_other(queue: Queue, host: Opener, tmp_path: Path) -> None:
    made, clocks = library(tmp_path), {name: Clock(tmp_path / f"clock {name}") for name in ("a", "b")}
    for name, by_s in (("a", 3600), ("b", -3600)):
        clocks[name].set_by(by_s)
    a, b = (host(name, **clock.environ(made)) for name, clock in clocks.items())
    for machine in (a, b):
        machine.worker("--count", "2")
    ledger = tmp_path / "ledger"
    queue.add_many([f"echo $QUEUECTL_JOB_ID >> {ledger}; sleep 0.1"] * 30)
    a("enqueue", "--delay", "2s", "--id", "from-a", "--", "true")
    b("enqueue", "--delay", "2s", "--id", "from-b", "--", "true")
    until(lambda: {job.state for job in queue.find()} == {"completed"})
    assert set(Counter(ledger.read_text().split()).values()) == {1}
    for name in ("from-a", "from-b"):
        job = queue.get(name)
        assert job.started_us
        assert 2.0 <= (job.started_us - job.created_us) / 1e6 < 20
    queue.add("sleep 1000", id="long")
    first = until(lambda: running_on(queue, "long"))
    of = {int(row["id"]): row["host"] for row in a.json("worker", "list")}
    dying = a if of[first] == "a" else b
    dying.signal_all(signal.SIGKILL)
    died = time.monotonic()
    until(lambda: running_on(queue, "long") not in (None, first))
    assert LEASE_S - 1.5 < time.monotonic() - died < LEASE_S + 10
