"""Through a transaction pooler, a real one: PgBouncer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from behaviour import postgres

import queuectl
from queuectl import Conflict, Queue, StorageError, TryAgainLater, limits

from .hosts import Host, until

Opener = Callable[..., Host]
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
needs_pooler = pytest.mark.skipif(not PROGRAM, reason="NOT TESTED: there is no pgbouncer here")
pytestmark = [needs_pooler, pytest.mark.wide]
CONNECTIONS = 3
WAIT_S = 2
SETTINGS = """[databases]
postgres = host={host} port={port} user=postgres dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
query_wait_timeout = {wait_s}
"""


@pytest.fixture
def pooler(store: str) -> Iterator[str]:
    """The same store behind a pooler that has three connections for all."""
    server, port = postgres.server(), postgres.free_port()
    folder = Path(tempfile.mkdtemp(prefix="queuectl-pooler-"))
    folder.chmod(0o755)
    file = folder / "pgbouncer.ini"
    text = SETTINGS.format(host=server.data, port=server.port, listen=port, connections=CONNECTIONS, wait_s=WAIT_S)
    file.write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(PROGRAM), str(file)], user=server.user, stdout=log, stderr=log, cwd="/")
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres?{store.partition('?')[2].rpartition('&')[2]}"

    def answers() -> bool:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres").close()
        except psycopg.OperationalError:
            assert process.poll() is None, (folder / "log").read_text()
            return False
        return True

    until(answers)
    yield url
    process.kill()
    process.wait()
    shutil.rmtree(folder)


def test_a_queue_behind_a_pooler_is_the_same_queue(store: str, queue: Queue, pooler: str, host: Opener) -> None:
    with queuectl.open(pooler + "&pooled=1") as pooled:
        job = pooled.add("echo hello; exit 3", key="k", max_retries=1)
        assert pooled.add("echo hello; exit 3", key="k", max_retries=1) == job
        with pytest.raises(Conflict):
            pooled.add("echo other", key="k")
        pooled.settings.set("backoff_base", 0)
        assert pooled.add_many(["true"] * 500, queue="pile") == 500
        limits.set_queue(pooled, "pile", parallel=2)
        for name in ("a", "b"):
            host(name, url=pooler + "&pooled=1").worker("--count", "2")
        until(lambda: pooled.get(job.id).state == "dead")
        assert [attempt.exit_code for attempt in pooled.attempts(pooled.get(job.id))] == [3, 3]
        assert b"".join(pooled.logs(job.id)) == b"hello\nhello\n"
        limits.set_queue(pooled, "pile", parallel=None)
        until(lambda: {job.state for job in queue.find(queuectl.Query(queue="pile"))} == {"completed"})
        assert all(job.run == 1 for job in queue.find(queuectl.Query(queue="pile")))


def test_a_pooler_without_a_free_connection_says_so(store: str, queue: Queue, pooler: str) -> None:
    url = pooler.partition("?")[0]
    with queuectl.open(pooler + "&pooled=1") as pooled:
        held = [psycopg.connect(url) for _ in range(CONNECTIONS)]
        for db in held:
            db.execute("select 1")  # and its transaction stays open
        began = time.monotonic()
        with pytest.raises(TryAgainLater):
            pooled.add("true", id="late")
        assert time.monotonic() - began < 10
        for db in held:
            db.close()
        pooled.add("true", id="late")
    assert [job.id for job in queue.find()] == ["late"]


def test_whoever_forgets_to_say_that_it_is_a_pooler_is_told(store: str, queue: Queue, pooler: str) -> None:
    with pytest.raises(StorageError) as refused:
        queuectl.open(pooler)
    assert "add pooled=1" in str(refused.value)
