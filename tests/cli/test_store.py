"""Where the store is, who may read it, what others can do with it, and what happens when it cannot be used."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import PATIENCE_S, PROGRAM, Queuectl

pytestmark = pytest.mark.engine("sqlite")  # about the file and its folder

Opener = Callable[..., Queuectl]
COLUMNS = [
    *("id", "command", "state", "attempts", "max_retries", "created_at", "updated_at", "next_run_at"),
    *("priority", "timeout", "run_at", "started_at", "finished_at", "duration_seconds", "exit_code", "log_file"),
]


def sqlite(path: Path, statement: str, write: bool = False) -> list[list[object]]:
    """The answer of an outside SQLite, in a process of its own."""
    script = (
        "import json, sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
        "print(json.dumps([list(row) for row in db.execute(sys.argv[2]).fetchall()])); db.commit()"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path), statement], capture_output=True, timeout=PATIENCE_S, check=True)
    found: list[list[object]] = json.loads(done.stdout)
    return found


FILLER = b"echo some text to fill the pages with\n" * 2000


def damage(queue: Queuectl) -> None:
    """Write over pages in the middle of the database, which `FILLER` has made long enough."""
    path = queue.folder / "queuectl.db"
    sqlite(path, "pragma wal_checkpoint(truncate)")
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xaa" * 200_000)


@contextlib.contextmanager
def outside_reader(path: Path) -> Iterator[None]:
    """Another program reads the database, and does not stop."""
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('begin'); "
        "db.execute('select * from jobs').fetchall(); print(flush=True); input()"
    )
    reader = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert reader.stdout and reader.stdout.readline()
        yield
    finally:
        reader.communicate(b"\n", timeout=20)


# ---------------------------------------------------------------- found, made, private


def test_init_makes_a_database_here_and_twice_is_harmless(open_queue: Opener) -> None:
    queue = open_queue(env={"QUEUECTL_DB_PATH": ""})
    assert "made" in queue.ok("init") and (queue.folder / "queuectl.db").is_file()
    queue.ok("enqueue", "--id", "kept", "--command", "true")
    assert "already" in queue.ok("init") and list(queue.states()) == ["kept"]


def test_init_makes_the_database_that_the_environment_names(open_queue: Opener) -> None:
    queue = open_queue()
    there = queue.folder / "elsewhere.db"
    queue.ok("init", env={"QUEUECTL_DB_PATH": str(there)})
    assert there.is_file() and not (queue.folder / "queuectl.db").exists()


def test_the_nearest_database_above_is_found_from_any_folder_below(open_queue: Opener) -> None:
    queue = open_queue(env={"QUEUECTL_DB_PATH": ""})
    queue.ok("init")
    below = queue.folder / "a" / "b"
    below.mkdir(parents=True)
    queue.ok("enqueue", "--id", "x", "--command", "pwd", cwd=below)
    queue.ok("worker", "start", "--until-idle", cwd=below)
    assert queue.ok("logs", "x") == f"{below}\n" and (queue.folder / "job_logs" / "x.log").exists()


def test_without_a_database_the_users_own_is_made_on_first_use(open_queue: Opener) -> None:
    queue = open_queue(env={"QUEUECTL_DB_PATH": ""})
    queue.ok("enqueue", "--command", "true")
    own = Path(queue.env["HOME"]) / ".local/state/queuectl/queuectl.db"
    assert own.stat().st_mode & 0o777 == 0o600 and own.parent.stat().st_mode & 0o777 == 0o700
    state = queue.folder / "state"
    queue.ok("enqueue", "--command", "true", env={"XDG_STATE_HOME": str(state)})
    assert (state / "queuectl" / "queuectl.db").exists()


def test_a_url_names_a_database_and_wins_over_a_path(open_queue: Opener) -> None:
    queue = open_queue()
    there = queue.folder / "url.db"
    queue.ok("enqueue", "--command", "true", env={"QUEUECTL_URL": f"sqlite://{there}"})
    assert there.exists() and not (queue.folder / "queuectl.db").exists()
    done = queue("list", env={"QUEUECTL_URL": "mysql://me:secret@host/db"})
    assert done.rc == 2 and "secret" not in done.err


def test_one_folder_named_by_the_environment_holds_everything_of_a_container(open_queue: Opener, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    queue = open_queue(env={"QUEUECTL_DB_PATH": str(data / "queuectl.db"), "HOME": "/nonexistent"})
    queue.ok("config", "set", "max_retries", "0")
    queue.ok("enqueue", "--id", "x", "--command", "echo logged")
    queue.drain()
    assert {"queuectl.db", "queuectl_config.json", "job_logs"} <= {path.name for path in data.iterdir()}
    assert (data / "job_logs" / "x.log").exists() and list(queue.folder.iterdir()) == []


def test_nobody_else_can_read_database_logs_or_settings_whatever_the_mask(open_queue: Opener) -> None:
    queue = open_queue()
    queue.ok("enqueue", "--stdin", "--command", "cat", stdin=b"x", umask=0)
    queue.ok("config", "set", "max_retries", "0", umask=0)
    queue.ok("worker", "start", "--until-idle", umask=0)
    made = [path for path in queue.folder.rglob("*") if not path.is_socket()]
    assert {path.name for path in made} >= {"queuectl.db", "job_logs", "1.log", "queuectl_config.json"}
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_a_database_that_somebody_else_could_have_put_there_is_refused_with_the_reason(open_queue: Opener) -> None:
    queue = open_queue(env={"QUEUECTL_DB_PATH": ""})
    queue.ok("init")
    queue.folder.chmod(0o777)
    done = queue("list")
    assert done.rc == 4 and "others can write" in done.err and done.err.count("\n") == 1
    queue.ok("list", env={"QUEUECTL_DB_PATH": str(queue.folder / "queuectl.db")})


def test_another_users_database_is_refused(open_queue: Opener) -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: needs root to give a file away")
    queue = open_queue(env={"QUEUECTL_DB_PATH": ""})
    queue.ok("init")
    os.chown(queue.folder / "queuectl.db", 65534, -1)
    done = queue("list")
    assert done.rc == 4 and "belongs to user 65534" in done.err


# ---------------------------------------------------------------- readable by others


def test_an_outside_sqlite_reads_the_table_of_jobs_in_wal_mode(queue: Queuectl) -> None:
    queue.ok("enqueue", "--id", "a", "--command", "true", "--timeout", "5")
    queue.drain()
    queue.ok("enqueue", "--id", "b", "--command", "true", "--run-at", "2031-01-01T00:00:00Z")
    path = queue.folder / "queuectl.db"
    assert sqlite(path, "pragma journal_mode") == [["wal"]]
    rows = sqlite(path, f"select {', '.join(COLUMNS)} from jobs order by number desc")
    shown = [[job[column] for column in COLUMNS] for job in queue.json("list")]
    rounded = [[round(value, 6) if isinstance(value, float) else value for value in row] for row in rows]
    assert rounded == shown


def test_an_outside_sqlite_that_reads_stops_nobody(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    with outside_reader(queue.folder / "queuectl.db"):
        queue.drain()
        assert queue.states() == {"1": "completed"}


# ---------------------------------------------------------------- damaged, newer, read-only, full


NO_DATABASE = {"empty": b"", "text": b"not a database, but long enough to be looked at " * 100, "zeros": bytes(4096)}


@pytest.mark.parametrize("content", NO_DATABASE.values(), ids=NO_DATABASE)
def test_what_is_no_database_is_refused_by_name_and_left_alone(open_queue: Opener, content: bytes) -> None:
    queue = open_queue()
    path = queue.file("queuectl.db", content)
    for words in (["list"], ["enqueue", "--command", "true"], ["status"], ["worker", "start", "--until-idle"]):
        done = queue(*words)
        assert (done.rc, done.out) == (7, "") and str(path) in done.err and done.err.count("\n") == 1 and "(" in done.err
    assert path.read_bytes() == content


def test_a_database_damaged_in_the_middle_is_reported_not_lost(queue: Queuectl) -> None:
    queue.ok("enqueue", "--from", "-", stdin=FILLER)
    queue.drain("--queue", "none")
    damage(queue)
    done = queue("list", "--json")
    assert done.rc == 7 and "damaged" in done.err and "Traceback" not in done.err


def test_a_newer_database_is_refused_with_the_next_step(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    sqlite(queue.folder / "queuectl.db", "pragma user_version = 99")
    done = queue("list")
    assert done.rc == 7 and "newer" in done.err and "upgrade" in done.err


def test_another_programs_database_is_refused(queue: Queuectl) -> None:
    path = queue.folder / "other.db"
    sqlite(path, "create table jobs (id text)")
    done = queue("list", env={"QUEUECTL_DB_PATH": str(path)})
    assert done.rc == 7 and "not a queuectl database" in done.err


@pytest.mark.parametrize("place", ["missing/queuectl.db", "."])
def test_a_place_that_cannot_hold_a_database_is_named(open_queue: Opener, place: str) -> None:
    queue = open_queue()
    done = queue("enqueue", "--command", "true", env={"QUEUECTL_DB_PATH": place})
    assert done.rc == 7 and done.err.count("\n") == 1 and str(queue.folder) in done.err


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_folder_is_an_error_of_storage_in_one_line(
    public_folder: Path, as_nobody: list[str], open_queue: Opener
) -> None:
    there = {"QUEUECTL_DB_PATH": str(public_folder / "queuectl.db"), "HOME": "/nonexistent"}
    nobody = open_queue(env=there, program=[*as_nobody, *PROGRAM])
    done = nobody("enqueue", "--command", "true", cwd="/")
    assert (done.rc, done.out) == (7, "") and done.err.count("\n") == 1 and "queuectl.db" in done.err
    open_queue(env=there).ok("enqueue", "--command", "true")
    (public_folder / "queuectl.db").chmod(0o644)
    for words in (["enqueue", "--command", "true"], ["list"], ["status"]):
        done = nobody(*words, cwd="/")
        assert done.rc in (4, 7) and done.out == "" and done.err.count("\n") == 1 and "Traceback" not in done.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, timeout=20).returncode:
        pytest.skip("NOT TESTED: a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], timeout=20, check=True)


def test_a_full_disk_stores_nothing_by_halves_and_ends_7(small_disk: Path, open_queue: Opener) -> None:
    queue = open_queue(env={"QUEUECTL_DB_PATH": str(small_disk / "queuectl.db")})
    queue.ok("enqueue", "--id", "before", "--command", "echo ran")
    fill = small_disk / "fill"
    with fill.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass  # until it is full
    attempts = {
        "one large job": (["enqueue", "--id", "large", "--command", "true " + "x" * 100_000], b""),
        "a pile": (["enqueue", "--from", "-"], b"echo a line of some length for a pile\n" * 5000),
        "an input": (["enqueue", "--stdin", "--command", "cat"], b"x" * 500_000),
    }
    for what, (words, stdin) in attempts.items():
        done = queue(*words, stdin=stdin)
        assert (done.rc, done.out) == (7, "") and done.err.count("\n") == 1, (what, done)
    fill.unlink()
    assert queue.states() == {"before": "pending"} and queue.json("status")["pending"] == 1
    queue.drain()
    assert queue.states() == {"before": "completed"}


def test_a_full_disk_without_a_database_makes_none(small_disk: Path, open_queue: Opener) -> None:
    (small_disk / "fill").write_bytes(b"x" * 4_150_000)
    queue = open_queue(env={"QUEUECTL_DB_PATH": str(small_disk / "queuectl.db")})
    done = queue("enqueue", "--command", "true")
    assert done.rc == 7 and done.err.count("\n") == 1
    assert [path.name for path in small_disk.iterdir()] == ["fill"]
