"""A store of an older version becomes one of this version, or stays what it was."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from behaviour.harness import Place

import queuectl
from queuectl import clock
from queuectl.errors import StorageError
from queuectl.store import migrate
from queuectl.store.sqlite import APPLICATION_ID, SCHEMA_FILES, SCHEMA_VERSION

KILLED_AT = """
import os, sys, apsw, queuectl
left = [int(sys.argv[2])]
def count(*_):
    if not left[0]:
        os.kill(os.getpid(), 9)
    left[0] -= 1
    return True
def watch(connection):
    connection.set_exec_trace(count)
apsw.connection_hooks.append(watch)
queuectl.open("sqlite://" + sys.argv[1]).close()
"""


def older(path: Path) -> None:
    """A store of the first version, with one job."""
    db = apsw.Connection(str(path))
    db.execute("pragma auto_vacuum = incremental; pragma journal_mode = wal")
    db.execute(migrate.scripts(SCHEMA_FILES)[0][1])
    db.execute(f"insert into meta values ('store_id', 'old'); pragma application_id = {APPLICATION_ID}; pragma user_version = 1")
    db.close()


def version(path: Path) -> tuple[int, int]:
    """The version that the store says, and the one that its tables are of."""
    db = apsw.Connection(str(path))
    found = int(db.pragma("user_version")), 1 + len(db.execute("select 1 from sqlite_schema where name = 'spools'").fetchall())
    db.close()
    return found


def test_the_newest_file_is_the_version_that_this_program_knows() -> None:
    assert [number for number, _ in migrate.scripts(SCHEMA_FILES)] == list(range(1, SCHEMA_VERSION + 1))


def test_an_older_store_is_brought_up_to_date_by_whoever_opens_it(tmp_path: Path) -> None:
    older(tmp_path / "queuectl.db")
    with queuectl.open(f"sqlite://{tmp_path}/queuectl.db") as queue:
        assert queue.add("true").id == "1"
    assert version(tmp_path / "queuectl.db") == (SCHEMA_VERSION, 2)


@pytest.mark.wide
def test_killed_at_any_statement_it_is_of_one_version_or_the_other(tmp_path: Path) -> None:
    seen = set()
    for statement in range(100):
        path = tmp_path / f"{statement}.db"
        older(path)
        done = subprocess.run([sys.executable, "-c", KILLED_AT, path, str(statement)], check=False, timeout=30)
        seen.add(version(path))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        with queuectl.open(f"sqlite://{path}") as queue:
            queue.add("true")
        assert version(path) == (SCHEMA_VERSION, 2)
    else:
        pytest.fail("there was always one more statement")
    assert {(1, 1), (SCHEMA_VERSION, 2)} <= seen and statement > 5
    assert all((told == 1) == (tables == 1) for told, tables in seen)


def test_many_at_once_bring_it_up_to_date_once(tmp_path: Path) -> None:
    path = tmp_path / "queuectl.db"
    older(path)
    code = f"import queuectl; queuectl.open('sqlite://{path}').add('true')"
    openers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    assert [opener.wait(30) for opener in openers] == [0] * 6
    assert version(path) == (SCHEMA_VERSION, 2)


def test_a_store_whose_workers_are_of_the_older_version_is_left_alone_until_they_are_restarted(tmp_path: Path) -> None:
    place, path = Place(f"sqlite://{tmp_path}/queuectl.db", tmp_path), tmp_path / "queuectl.db"
    older(path)
    worker = subprocess.Popen(["sleep", "60"])
    db = apsw.Connection(str(path))
    facts = (worker.pid, clock.process_start(worker.pid), clock.boot_id(), clock.pid_namespace())
    columns = "host, pid, pid_start, boot_id, pid_ns, slots, started_us"
    db.execute(f"insert into workers ({columns}) values ('here', ?, ?, ?, ?, 1, 0)", facts)
    try:
        with pytest.raises(StorageError, match="worker restart"):
            queuectl.open(place.url)
        refused = place.command("enqueue", "--", "true")
        assert (refused.returncode, version(path)) == (7, (1, 1)), refused
        assert refused.stderr.count("\n") == 1 and "queuectl worker restart" in refused.stderr
        assert place.command("worker", "restart", "--timeout", "0.2").returncode == 124
        assert db.execute("select stopping from workers").fetchall() == [("restart",)] and version(path) == (1, 1)
    finally:
        worker.kill()
        worker.wait()
        db.close()
    assert place.command("enqueue", "--", "true").returncode == 0
    assert version(path) == (SCHEMA_VERSION, 2)
