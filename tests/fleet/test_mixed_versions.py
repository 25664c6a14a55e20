"""Machines are upgraded one after the other: where a newer schema says so, older workers go on beside newer programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour import postgres
from behaviour.conftest import EACH_ENGINE
from behaviour.harness import eventually

import queuectl
from queuectl.errors import StorageError
from queuectl.store import pg_connection, sqlite

pytestmark = pytest.mark.wide

Release = Callable[[str], None]
OLDER_WORKER = "import queuectl, sys; queuectl.Worker(queuectl.open(sys.argv[1])).run()"
OLDER_ADD = "import queuectl, sys; print(queuectl.open(sys.argv[1]).add('true').id)"
COLUMN = "alter table jobs add column flavour text;\n"
KNOWN = sqlite.SCHEMA_VERSION


@pytest.fixture(params=EACH_ENGINE)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    found = postgres.url() if request.param == "postgres" else f"sqlite://{tmp_path}/queuectl.db"
    queuectl.open(found).close()
    yield found
    if request.param == "postgres":
        postgres.drop(found)


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """From here on this process is a newer program, whose schema has one more file."""
    versions = iter(range(KNOWN + 1, KNOWN + 9))

    def make(script: str) -> None:
        version = next(versions)
        for module in (sqlite, pg_connection):
            folder = tmp_path / f"release {version} {module.__name__}"
            shutil.copytree(module.SCHEMA_FILES, folder)
            (folder / f"{version:04}_next.sql").write_text(script)
            monkeypatch.setattr(module, "SCHEMA_FILES", str(folder))
            monkeypatch.setattr(module, "SCHEMA_VERSION", version)

    return make


@pytest.fixture
def older_worker(url: str) -> Iterator[subprocess.Popen[bytes]]:
    with queuectl.open(url) as queue:
        worker = subprocess.Popen([sys.executable, "-c", OLDER_WORKER, url])
        eventually(lambda: queue.store.workers())
    yield worker
    worker.terminate()
    worker.wait(20)


def older(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", OLDER_ADD, url], capture_output=True, text=True, check=False, timeout=30)


def test_an_older_worker_runs_the_jobs_of_a_newer_program(
    url: str, release: Release, older_worker: subprocess.Popen[bytes]
) -> None:
    release(f"-- works beside: {KNOWN}\n{COLUMN}")
    with queuectl.open(url) as newer:
        assert newer.store.schema_version() == KNOWN + 1
        assert newer.store.run("select flavour from jobs") == []
        job = newer.add("echo done")
        assert [ended.state for ended in newer.wait(job.id, timeout=20)] == ["completed"]
        assert older(url).stdout == "2\n", "an older program may open it too"
        assert [ended.state for ended in newer.wait("2", timeout=20)] == ["completed"]
    assert older_worker.poll() is None


def test_where_the_schema_does_not_say_so_older_workers_come_first(
    url: str, release: Release, older_worker: subprocess.Popen[bytes]
) -> None:
    release(COLUMN)
    with pytest.raises(StorageError, match="older queuectl"):
        queuectl.open(url)
    assert older(url).stdout == "1\n", "nothing was changed"
    older_worker.terminate()
    older_worker.wait(20)
    queuectl.open(url).close()
    refused = older(url)
    assert "was made by a newer queuectl" in refused.stderr


def test_a_later_release_may_shut_older_programs_out_again(url: str, release: Release) -> None:
    release(f"-- works beside: {KNOWN}\n{COLUMN}")
    queuectl.open(url).close()
    assert older(url).returncode == 0
    release("alter table jobs add column colour text;\n")
    queuectl.open(url).close()
    assert older(url).returncode != 0
    with queuectl.open(url) as newest:
        assert newest.add("true").id == "2"
