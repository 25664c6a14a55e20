"""Backups: whole at any moment, put back with all that they hold, never over something that lives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Queuectl
from .test_store import sqlite

pytestmark = [pytest.mark.wide, pytest.mark.engine("sqlite")]  # PostgreSQL has its own, see the last test

Opener = Callable[..., Queuectl]
# Tells each job once it is stored.
ADDER = """
import itertools, queuectl, time
with queuectl.open() as queue:
    for n in itertools.count():
        print(queue.add(f"echo {n} >> ran", label="added").id, flush=True)
        time.sleep(0.002)  # what is added has to be run in the end
"""


def exported(queue: Queuectl, *words: str) -> dict[str, dict[str, Any]]:
    return {(job := json.loads(line))["id"]: job for line in queue.ok("export", *words).splitlines()}


@pytest.fixture
def busy(queue: Queuectl) -> Iterator[subprocess.Popen[str]]:
    """A worker runs short jobs while somebody adds more."""
    queue.ok("worker-start", "--count", "2")
    adder = subprocess.Popen([sys.executable, "-c", ADDER], env=queue.env, cwd=queue.folder, stdout=subprocess.PIPE, text=True)
    yield adder
    adder.kill()
    adder.communicate()


@pytest.fixture
def saved(queue: Queuectl) -> Path:
    """A backup of three jobs: one completed, one dead, one that waits."""
    queue.ok("enqueue", "--id", "done", "--command", "echo first", "--label", "é", "--priority", "3")
    queue.ok("enqueue", "--id", "lost", "--command", "exit 3", "--max-retries", "0")
    queue.drain()
    queue.ok("enqueue", "--id", "waits", "--command", "echo run >> ran", "--timeout", "9", "--key", "k")
    queue.ok("backup", "monday.db")
    return queue.folder / "monday.db"


# ---------------------------------------------------------------- made and put back


def test_a_backup_made_while_jobs_come_and_go_is_one_moment_of_the_queue(
    queue: Queuectl, busy: subprocess.Popen[str], open_queue: Opener
) -> None:
    assert busy.stdout
    added = [busy.stdout.readline().strip() for _ in range(200)]
    queue.until(lambda: queue.json("status")["completed"] > 50)
    completed = exported(queue, "--state", "completed")
    queue.ok("backup", "monday.db")
    assert busy.poll() is None
    busy.kill()
    queue.ok("wait", added[-1], "--timeout", "30")
    queue.ok("worker-stop")
    now = exported(queue)

    other = open_queue()
    other.ok("restore", str(queue.folder / "monday.db"))
    then = exported(other)
    assert then.keys() >= set(added) and then.keys() <= now.keys()
    ended = {job_id: job for job_id, job in then.items() if job["state"] == "completed"}
    assert ended.keys() >= completed.keys() and ended == {job_id: now[job_id] for job_id in ended}
    changing = {"state", "attempts", "updated_at", "started_at", "finished_at", "duration_seconds", "exit_code", "log_file"}
    fixed = [{name: job[name] for name in job.keys() - changing} for job in then.values()]
    assert fixed == [{name: now[job_id].get(name) for name in job.keys() - changing} for job_id, job in then.items()]
    assert other("doctor").rc == 0 and other.json("status")["completed"] == len(ended)

    other.drain("--count", "2")
    assert set(other.states().values()) == {"completed"} and other.states().keys() == then.keys()


def test_what_a_backup_holds_is_there_again_and_goes_on(queue: Queuectl, saved: Path) -> None:
    before = exported(queue)
    queue.drain()
    queue.ok("clean", "--state", "completed")
    queue.ok("enqueue", "--id", "since", "--command", "true")
    queue.ok("restore", str(saved))
    assert exported(queue) == before and queue("doctor").rc == 0
    queue.ok("dlq", "retry", "lost")
    queue.drain()
    assert queue.states() == {"done": "completed", "lost": "dead", "waits": "completed"}
    assert (queue.folder / "ran").read_text() == "run\n" * 2  # nobody can know that it ran after the backup


def test_what_ran_when_a_backup_was_made_is_known_to_run_no_more(queue: Queuectl) -> None:
    """Its worker lives on another day; the restored queue takes its jobs back, and runs them again."""
    queue.ok("worker-start")
    queue.ok("enqueue", "--id", "long", "--command", "echo run >> ran; test $(wc -l < ran) = 2 || sleep 60")
    queue.until((queue.folder / "ran").exists)
    queue.ok("backup", "monday.db")
    queue.ok("worker", "stop", "--now", "--timeout", "20")
    queue.ok("restore", "monday.db")
    assert queue.states() == {"long": "processing"} and queue.json("worker", "list") == []
    queue.drain()
    job = queue.job("long")
    assert (job["state"], job["interruptions"]) == ("completed", 1) and (queue.folder / "ran").read_text() == "run\n" * 2


def test_new_jobs_of_a_restored_queue_show_their_own_output_though_their_numbers_were_used(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "echo one")
    queue.ok("backup", "monday.db")
    queue.ok("enqueue", "--command", "echo forgotten")
    queue.drain()
    queue.ok("restore", "monday.db")
    assert queue.ok("enqueue", "--command", "echo two") == "2\n"
    queue.drain()
    assert queue.ok("logs", "2") == "two\n"


def test_a_backup_can_be_put_where_no_queue_is(saved: Path, open_queue: Opener, queue: Queuectl) -> None:
    other = open_queue(env={"QUEUECTL_DB_PATH": ""})
    assert "kept" not in other("restore", str(saved)).err
    own = Path(other.env["HOME"], ".local/state/queuectl/queuectl.db")
    assert exported(other) == exported(queue) and own.stat().st_mode & 0o777 == 0o600


def test_a_backup_is_for_its_owner_alone_and_leaves_nothing_beside_it(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in saved.parent.iterdir() if "monday" in path.name or ".new" in path.name] == ["monday.db"]


# ---------------------------------------------------------------- what was there


def test_what_was_there_is_kept_and_said_to_be_so_and_can_itself_be_restored(queue: Queuectl, saved: Path) -> None:
    """With what was still in its write-ahead log, which is where the newest jobs are."""
    for n in range(3):
        queue.ok("enqueue", "--id", f"since{n}", "--command", f"echo {n}")
    before = exported(queue)
    assert (queue.folder / "queuectl.db-wal").stat().st_size > 0
    kept = queue.folder / "queuectl.db.before-1"
    assert queue("restore", str(saved)).err == f"queuectl: restored; what was there is kept as {kept}\n"
    assert queue.states().keys() == {"done", "lost", "waits"}
    again = queue.folder / "queuectl.db.before-2"
    assert queue("restore", str(kept)).err == f"queuectl: restored; what was there is kept as {again}\n"
    assert exported(queue) == before and kept.exists() and again.exists()


def test_a_damaged_store_is_kept_too(queue: Queuectl, saved: Path) -> None:
    path = queue.file("queuectl.db", b"nothing that can be read " * 400)
    for beside in ("-wal", "-shm"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
    queue.ok("restore", str(saved))
    assert (queue.folder / "queuectl.db.before-1").read_bytes().startswith(b"nothing that can be read")
    assert queue.states().keys() == {"done", "lost", "waits"}


# ---------------------------------------------------------------- refused


def unchanged(queue: Queuectl, rc: int, *words: str) -> str:
    """Refused in one line, and the queue is what it was; returns the line."""
    before, files = exported(queue), {path.name for path in queue.folder.iterdir()}
    done = queue(*words)
    assert (done.rc, done.out, done.err.count("\n")) == (rc, "", 1) and "Traceback" not in done.err, done
    assert exported(queue) == before and {path.name for path in queue.folder.iterdir()} - files <= {"queuectl.db-shm"}
    return done.err


def test_nothing_is_restored_while_a_worker_lives(queue: Queuectl, saved: Path) -> None:
    queue.ok("hold", "waits")
    queue.ok("worker-start")
    assert "1 worker is running ('queuectl worker stop' first)" in unchanged(queue, 5, "restore", str(saved))
    queue.ok("worker-stop")
    queue.ok("restore", str(saved))


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xaa" * 64
    path.write_bytes(content)


BAD: dict[str, Callable[[Path], object]] = {
    "damaged in the middle": damaged,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 3]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"no database at all, but of some length\n" * 200),
    "another program's": lambda path: (path.unlink(), sqlite(path, "create table jobs (id text)")),
    "newer": lambda path: sqlite(path, "pragma user_version = 99"),
}


@pytest.mark.parametrize("how", BAD)
def test_what_is_no_whole_backup_is_refused_by_name_and_nothing_is_touched(queue: Queuectl, saved: Path, how: str) -> None:
    queue.ok("enqueue", "--id", "since", "--command", "true")
    BAD[how](saved)
    said = unchanged(queue, 7, "restore", str(saved))
    assert f"{saved} cannot be restored: " in said and "take another backup" in said


def test_a_backup_that_is_not_there_and_the_store_itself_are_refused(queue: Queuectl, saved: Path) -> None:
    assert "no backup" in unchanged(queue, 3, "restore", "nowhere.db")
    assert "the store itself" in unchanged(queue, 2, "restore", "queuectl.db")
    assert "no backup" in unchanged(queue, 3, "restore", str(queue.folder))


def test_a_backup_overwrites_nothing(queue: Queuectl, saved: Path) -> None:
    before = saved.read_bytes()
    assert "exists already" in unchanged(queue, 5, "backup", str(saved))
    assert saved.read_bytes() == before
    unchanged(queue, 7, "backup", "no/such/folder/monday.db")


def test_a_damaged_store_makes_no_backup(queue: Queuectl, saved: Path) -> None:
    sqlite(queue.folder / "queuectl.db", "pragma wal_checkpoint(truncate)")
    damaged(queue.folder / "queuectl.db")
    done = queue("backup", "tuesday.db")
    assert done.rc == 7 and "damaged" in done.err and done.err.count("\n") == 1
    assert not [path for path in queue.folder.iterdir() if "tuesday" in path.name]


@pytest.mark.engine("postgres")
def test_a_queue_on_a_server_is_left_to_its_servers_own_backups(queue: Queuectl) -> None:
    for command, says in (("backup", "backed up by its server"), ("restore", "restored by its server")):
        done = queue(command, "monday.db")
        assert (done.rc, done.out) == (2, "") and says in done.err
