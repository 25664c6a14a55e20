"""`queuectl doctor`: each thing is broken as a user could break it, is named, and mended by what the doctor says."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Queuectl
from .test_crash import parent_of
from .test_store import FILLER, damage, outside_reader, sqlite

pytestmark = [pytest.mark.wide, pytest.mark.engine("sqlite")]  # about a file and its folder, unless a test says otherwise
on_each_engine = pytest.mark.engine("sqlite", "postgres")

LINGER = Path("/var/lib/systemd/linger", pwd.getpwuid(os.geteuid()).pw_name)
OF_THIS_MACHINE = ("machine", "SQLite")  # an old kernel or library is not the queue's fault
# In the place of systemd's own, which would speak with the manager of whoever runs the tests.
SYSTEMCTL = """#!/bin/sh
test "$2" = is-active || exit 0
cat {state}
test "$(cat {state})" = active
"""


def findings(queue: Queuectl) -> list[dict[str, str]]:
    """All that it found; the exit status says whether something is wrong."""
    done = queue("doctor", "--json")
    found: list[dict[str, str]] = json.loads(done.out)
    assert done.rc == int(any(one["level"] == "wrong" for one in found)) and not done.err, done
    return found


def complaints(queue: Queuectl) -> list[tuple[str, str]]:
    """What is not fine, and how badly."""
    return [(one["what"], one["level"]) for one in findings(queue) if one["level"] != "ok" and one["what"] not in OF_THIS_MACHINE]


def the_one(queue: Queuectl, what: str, level: str) -> dict[str, str]:
    """The only complaint, of this kind; text for people says the same and ends alike."""
    assert complaints(queue) == [(what, level)]
    [one] = [one for one in findings(queue) if (one["what"], one["level"]) == (what, level)]
    done = queue("doctor")
    assert done.rc == (level == "wrong")
    said = done.out.partition(f"{level:<8} {what}: ")[2].splitlines()
    assert said[1] == f"{'':<8} → {one['mend']}", done
    return one


def shell(queue: Queuectl, command: str) -> None:
    subprocess.run(command, shell=True, cwd=queue.folder, env=queue.env, check=True, timeout=40, capture_output=True)


def store_sql(queue: Queuectl, statement: str) -> None:
    """Behind the program's back."""
    if "QUEUECTL_URL" not in queue.env:
        sqlite(queue.folder / "queuectl.db", statement)
        return
    import psycopg

    from queuectl.store.pg_link import address

    to = address(queue.env["QUEUECTL_URL"])
    with psycopg.connect(to.url, autocommit=True) as db:
        db.execute(f'set search_path to "{to.schema}"')
        db.execute(statement.encode())


@pytest.fixture
def used(queue: Queuectl) -> Queuectl:
    """A queue that has run a job; nothing is wrong with it."""
    queue.ok("enqueue", "--command", "echo ran")
    queue.drain()
    return queue


# ---------------------------------------------------------------- nothing is wrong


@on_each_engine
def test_a_healthy_queue_is_said_to_be_so_and_the_end_is_0(used: Queuectl) -> None:
    assert complaints(used) == []
    assert used("doctor").rc == 0
    looked_at = {one["what"] for one in findings(used)}
    assert looked_at >= {"store", "settings", "disk", "sums", "workers", "piles", "unit"}


def test_a_place_without_a_queue_is_no_fault(open_queue: Callable[..., Queuectl]) -> None:
    queue = open_queue()
    assert complaints(queue) == [] and not (queue.folder / "queuectl.db").exists()


@on_each_engine
def test_sums_are_right_at_every_moment_of_a_busy_queue(queue: Queuectl) -> None:
    """Jobs come and go while the doctor counts: what it compares is one moment's."""
    worker = queue.start("worker", "start", "--count", "4")
    script = "import queuectl\nwith queuectl.open() as queue:\n    while True: queue.add('true')"
    adder = subprocess.Popen([sys.executable, "-c", script], env=queue.env, cwd=queue.folder)
    try:
        queue.until(lambda: queue.json("status")["completed"])
        for _ in range(5):
            assert [one for one in complaints(queue) if one[0] == "sums"] == []
    finally:
        adder.kill()
        adder.wait()
    worker.terminate()
    assert worker.wait(30) == 0


# ---------------------------------------------------------------- who may read and write


@pytest.mark.parametrize("name", ["queuectl.db", "job_logs", "queuectl.db.run"])
def test_what_others_may_read_is_named_with_the_command_that_closes_it(used: Queuectl, name: str) -> None:
    path = used.folder / name
    path.chmod(path.stat().st_mode | 0o055)
    one = the_one(used, "mode", "wrong")
    assert str(path) in one["say"]
    shell(used, one["mend"])
    assert complaints(used) == [] and path.stat().st_mode & 0o077 == 0


def test_a_folder_that_everybody_can_write_to_is_named(used: Queuectl) -> None:
    used.folder.chmod(0o777)
    one = the_one(used, "mode", "wrong")
    assert str(used.folder) in one["say"]
    shell(used, one["mend"])
    assert complaints(used) == []


def test_logs_behind_a_link_of_ours_are_looked_at_where_they_are(used: Queuectl, tmp_path: Path) -> None:
    """The link itself has the mode of every link, which says nothing."""
    there = (used.folder / "job_logs").rename(tmp_path / "elsewhere")
    (used.folder / "job_logs").symlink_to(there)
    assert complaints(used) == []
    there.chmod(0o755)
    assert "job_logs" in the_one(used, "mode", "wrong")["say"]


def test_a_file_of_another_user_is_named(used: Queuectl) -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: needs root to give a file away")
    os.chown(used.folder / "queuectl.db", 65534, -1)
    one = next(one for one in findings(used) if one["level"] == "wrong")
    assert one["what"] == "owner" and "user 65534" in one["say"] and "chown" in one["mend"]


# ---------------------------------------------------------------- settings, disk, database


@on_each_engine
def test_less_space_than_the_setting_asks_for_is_named(used: Queuectl) -> None:
    used.ok("config", "set", "min_free", "1000T")
    one = the_one(used, "disk", "wrong")
    assert "less than" in one["say"] and "min_free" in one["say"] and "queuectl clean" in one["mend"]
    used.ok("config", "unset", "min_free")
    assert complaints(used) == []


def test_settings_that_cannot_be_read_are_named_and_the_rest_is_looked_at_all_the_same(used: Queuectl) -> None:
    path = used.file("queuectl_config.json", '{"max_retries": "many"}')
    one = the_one(used, "settings", "wrong")
    assert str(path) in one["say"] and "max_retries" in one["say"] and one["mend"]
    assert "disk" in {one["what"] for one in findings(used)}


@on_each_engine
def test_sums_that_do_not_fit_the_rows_are_named_by_their_state(used: Queuectl) -> None:
    store_sql(used, "update counts set n = n + 5 where state = 'completed'")
    store_sql(used, "insert into counts (queue, state, stage, n) values ('default', 'dead', 'dead', 1)")
    one = the_one(used, "sums", "wrong")
    assert "completed, dead" in one["say"] and one["mend"]


def test_a_damaged_database_is_named_and_a_backup_mends_it(used: Queuectl) -> None:
    used.ok("enqueue", "--from", "-", stdin=FILLER)
    used.ok("backup", "good.db")
    damage(used)
    one = the_one(used, "database", "wrong")
    assert "queuectl restore BACKUP" in one["mend"]
    used.ok("restore", "good.db")
    assert ("database", "wrong") not in complaints(used) and used.json("status")["pending"] == 2000


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be looked at " * 100], ids=["empty", "text"])
def test_what_is_no_database_is_named(open_queue: Callable[..., Queuectl], content: bytes) -> None:
    queue = open_queue()
    queue.file("queuectl.db", content).chmod(0o600)
    one = the_one(queue, "database", "wrong")
    assert "database" in one["say"] and one["mend"]


def test_a_log_that_grows_behind_a_reader_is_named(used: Queuectl) -> None:
    """Somebody reads and does not stop: the log cannot begin anew. It does when that one has gone."""
    with outside_reader(used.folder / "queuectl.db"):
        used.ok("enqueue", "--from", "-", stdin=b"".join(b"true %s\n" % (b"x" * 90_000) for _ in range(1200)))
        found = [one for one in findings(used) if one["what"] == "log"]
        assert [one["level"] for one in found] == ["warning"] and "open for reading" in found[0]["say"]
    sqlite(used.folder / "queuectl.db", "pragma wal_checkpoint(truncate)")
    assert not [one for one in findings(used) if one["what"] == "log"]


# ---------------------------------------------------------------- workers and adders


def test_a_worker_that_was_killed_is_named_with_its_jobs_until_the_next_one_has_taken_them(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", "until [ -e go ]; do sleep 0.05; done")
    queue.until(lambda: queue.json("status")["processing"])
    [worker] = queue.json("worker", "list")
    keeper = parent_of(worker["pid"])
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that neither goes on without the other
        for pid in (keeper, worker["pid"]):
            os.kill(pid, number)
    one = the_one(queue, "worker", "warning")
    assert one["say"] == f"worker {worker['id']} is dead and had 1 job" and "queuectl worker start" in one["mend"]
    queue.file("go")
    queue.drain()
    assert complaints(queue) == []


@on_each_engine
def test_jobs_that_wait_while_nobody_works_are_named(used: Queuectl) -> None:
    used.ok("enqueue", "--command", "true")
    one = the_one(used, "worker", "warning")
    assert one["say"] == "1 job waits and no worker runs" and "queuectl worker start" in one["mend"]
    used.drain()
    assert complaints(used) == []


def test_a_pile_whose_adder_was_killed_is_named_until_a_worker_has_taken_it_out(used: Queuectl) -> None:
    adder = used.start("enqueue", "--from", "-", stdin=subprocess.PIPE)
    assert adder.stdin
    adder.stdin.write(b"true\n" * 30_000)
    adder.stdin.flush()
    used.until(lambda: "1 being added" in used.ok("doctor"))
    adder.kill()
    adder.wait(20)
    one = the_one(used, "piles", "warning")
    assert "did not finish" in one["say"] and "worker" in one["mend"]
    used.drain()
    assert complaints(used) == []


# ---------------------------------------------------------------- the unit


class Unit:
    """The installed service of a queue, as far as files go."""

    def __init__(self, queue: Queuectl) -> None:
        self.queue = queue
        self.path = Path(queue.env["HOME"], ".config/systemd/user/queuectl.service")
        self.state = queue.file("state", "active\n")
        self.install()

    def install(self) -> None:
        self.queue.ok("service", "install")

    def complaints(self) -> list[dict[str, str]]:
        login = "its worker ends when this user logs out"
        found = [one for one in findings(self.queue) if one["what"] == "unit"]
        assert any(one["say"] == login for one in found) == (LINGER.parents[1].is_dir() and not LINGER.exists())
        return [one for one in found if one["level"] != "ok" and one["say"] != login]


@pytest.fixture
def unit(used: Queuectl, tmp_path: Path) -> Unit:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL.format(state=used.folder / "state"))
    (programs / "systemctl").chmod(0o755)
    used.env["PATH"] = f"{programs}:{used.env['PATH']}"
    return Unit(used)


@on_each_engine
def test_a_unit_as_it_was_installed_is_fine(unit: Unit) -> None:
    assert unit.complaints() == []
    assert f"{unit.path}, active" in unit.queue.ok("doctor") and f"{unit.path}, active" in unit.queue.ok("service", "status")


@pytest.mark.parametrize("how", ["gone", "a comment"])
@pytest.mark.parametrize("line", ["KillMode=process", "OOMPolicy=continue", "Delegate=yes"])
def test_a_unit_that_lacks_what_keeps_jobs_alive_is_named(unit: Unit, line: str, how: str) -> None:
    text = unit.path.read_text()
    unit.path.write_text(text.replace(line, f"# {line}" if how == "a comment" else ""))
    assert unit.path.read_text() != text
    must_be_mended(unit, line)


def test_a_unit_that_starts_the_worker_itself_is_named(unit: Unit) -> None:
    unit.path.write_text(unit.path.read_text().replace("service run", "worker start"))
    must_be_mended(unit, "service run")


@on_each_engine
def test_a_unit_is_looked_at_whatever_the_engine(unit: Unit) -> None:
    unit.path.write_text("[Service]\nExecStart=true\n")
    assert [one["level"] for one in unit.complaints()] == ["wrong"] * 4
    assert unit.queue("doctor").rc == unit.queue("service", "status").rc == 1


def must_be_mended(unit: Unit, line: str) -> None:
    """By what the doctor says."""
    [one] = unit.complaints()
    assert one["level"] == "wrong" and f"lacks '{line}'" in one["say"] and str(unit.path) in one["say"]
    command = one["mend"].split("'")[1]
    assert command == "queuectl service install"
    unit.install()
    assert unit.complaints() == []


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_unit_that_does_not_run_is_named(unit: Unit, state: str) -> None:
    unit.state.write_text(state + "\n")
    [one] = unit.complaints()
    assert one["level"] == "warning" and one["say"].endswith(f", {state}") and "enable --now" in one["mend"]
