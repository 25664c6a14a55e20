"""Attached spools on a queue that machines share: a folder is one machine's, and stays it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import queuectl
from queuectl import moving, spool_rows, spools
from queuectl.packet import Command, Packet, encode
from queuectl.packets import queuedir

from .hosts import Host, until

pytestmark = pytest.mark.wide


def folder(path: Path, *numbers: int) -> Path:
    """A queue of packets."""
    queuedir.create(queuedir.Queue(os.fsencode(path)))
    for number in numbers:
        put(path, number)
    return path


def put(path: Path, number: int) -> None:
    coming = path / f"coming-{number}"
    coming.write_bytes(encode(Packet(number, 1700000000, 0, Command())))
    coming.rename(path / "jobs" / f"fspl-{number}.fspl")


def following(path: Path) -> int:
    return int((path / "nextseq").read_text())


def test_packets_run_on_the_machine_of_their_folder_and_nowhere_else(host: Callable[..., Host], tmp_path: Path) -> None:
    a, b, inbox, trace = host("a"), host("b"), folder(tmp_path / "Q"), tmp_path / "trace"
    b.worker("--count", "2")
    a("spool", "attach", str(inbox), "--name", "s", "--", "sh", "-c", f"echo $FSPL_SEQ `uname -n` >> {trace}")
    assert f"a:{inbox}" in b("spool", "list") and "a watches it" in b("explain", "s")
    a.worker()
    put(inbox, 1)
    until(lambda: following(inbox) == 2)
    a("worker", "stop")
    b.worker()
    put(inbox, 2)
    assert "another machine" in b("spool", "skip", "s", rc=4) and following(inbox) == 2
    a.worker()
    until(lambda: following(inbox) == 3)
    assert trace.read_text() == "1 a\n2 a\n"
    b("spool", "detach", "s")
    assert a("spool", "list") == ""


def test_one_folder_on_each_machine_may_have_the_same_path(host: Callable[..., Host], tmp_path: Path) -> None:
    a, b, inbox = host("a"), host("b"), folder(tmp_path / "Q")
    a("spool", "attach", str(inbox), "--name", "on-a", "--", "true")
    b("spool", "attach", str(inbox), "--name", "on-b", "--", "true")
    assert "attached to" in a("spool", "attach", str(inbox), "--name", "again", "--", "true", rc=5)
    assert {spool["name"]: spool["host"] for spool in b.json("spool", "list")} == {"on-a": "a", "on-b": "b"}


def test_a_spool_moves_with_its_queue_and_takes_the_packet_that_waits_anew(store: str, tmp_path: Path) -> None:
    inbox = folder(tmp_path / "Q", 1)
    with queuectl.open(f"sqlite://{tmp_path}/old.db") as old, queuectl.open(store) as new:
        terms = spool_rows.Terms(command=("true",))
        spool = spools.attach(old, "s", str(inbox), terms, os.environb)
        assert spools.take(old, spool, 1, b"fspl-1.fspl")
        moving.copy(old, new, print)
        moved = spool_rows.named(new.store, "s")
        assert (moved.folder, moved.host, moved.job) == (str(inbox), os.uname().nodename, None)
        job = spools.take(new, moved, 1, b"fspl-1.fspl")
        assert job and job.needs == f"command host:{os.uname().nodename}"
        assert new.get("s-1").state == "cancelled"
