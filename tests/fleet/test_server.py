"""Bad days of the server: restarted, full, replaced, its answers lost. What was acknowledged is there, once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from behaviour import postgres

import queuectl
from queuectl import Conflict, Queue, QueueError, StorageError, TryAgainLater, bell
from queuectl.errors import Doubtful, Replaced
from queuectl.store import pg_link
from queuectl.store.postgres import PostgresStore

from .hosts import Host, need_namespaces, until
from .proxy import CLAIMED, Proxy

pytestmark = pytest.mark.wide

Opener = Callable[..., Host]


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Server]:
    """A server that a test may stop."""
    if why := postgres.missing():
        pytest.skip(why)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    server = postgres.Server(max_connections="12", superuser_reserved_connections="0")
    yield server
    server.stop("immediate")


@pytest.fixture
def proxy(store: str) -> Iterator[Proxy]:
    server = postgres.server()
    proxy = Proxy(f"{server.data}/.s.PGSQL.{server.port}")
    yield proxy
    proxy.close()


def through(proxy: Proxy, store: str) -> str:
    return store.replace("@/", f"@127.0.0.1:{proxy.port}/").replace(f"host={postgres.server().data}&", "").replace(
        f"port={postgres.server().port}&", ""
    )  # fmt: skip


def test_an_add_whose_answer_was_lost_is_there_once_and_told_so(store: str, proxy: Proxy) -> None:
    with queuectl.open(through(proxy, store)) as queue:
        for n in range(20):
            proxy.lose_next = True
            assert queue.add(f"echo {n}").number == n + 1
        assert proxy.lost == 20
        assert [job.command for job in reversed(queue.find())] == [f"echo {n}" for n in range(20)]


def test_an_add_whose_answer_was_lost_rings_all_the_same(store: str, proxy: Proxy) -> None:
    with queuectl.open(through(proxy, store)) as queue, queue.listener(bell.WORK) as ears:
        for _ in range(2):
            queue.add("true")
        time.sleep(0.1)
        ears.drain()
        proxy.lose_next = True
        queue.add("true")
        assert proxy.lost == 1
        assert ears.wait(1.0)


def test_a_worker_that_loses_answers_runs_each_job_once(
    store: str, queue: Queue, proxy: Proxy, host: Opener, tmp_path: Path
) -> None:
    a = host("a", url=through(proxy, store))
    ledger = tmp_path / "ledger"
    queue.add_many([f"echo $QUEUECTL_JOB_ID >> {ledger}; sleep 0.02"] * 120)
    a.worker("--count", "2")

    def all_done() -> bool:
        proxy.lose_next = True
        time.sleep(0.2)
        return all(job.state == "completed" for job in queue.find())

    until(all_done)
    assert proxy.lost > 3
    assert set(Counter(ledger.read_text().split()).values()) == {1}
    assert len(ledger.read_text().split()) == 120


def test_an_idle_worker_that_loses_what_it_claimed_runs_it_once(
    store: str, queue: Queue, proxy: Proxy, host: Opener, tmp_path: Path
) -> None:
    queue.settings.set("lease", 60)  # it is not renewed meanwhile
    a = host("a", url=through(proxy, store))
    ledger = tmp_path / "ledger"
    a.worker("--count", "2")
    queue.wait(queue.add("true").id, timeout=20)  # what it claims from is known then
    for n in range(10):
        proxy.lose_next = True
        queue.wait(queue.add(f"echo {n} >> {ledger}").id, timeout=20)
    assert proxy.lost_by[CLAIMED] > 0
    assert ledger.read_text().split() == [str(n) for n in range(10)]
    assert [entry.event for job in queue.find() for entry in queue.history(job)] == ["add", "start", "finish"] * 11


@pytest.mark.parametrize("works", [False, True])
def test_a_commit_that_a_crash_has_cut_is_not_taken_for_the_one_that_got_its_number(tmp_path: Path, works: bool) -> None:
    """The server had written down nothing of it, and gives its number to the next who comes."""
    if why := postgres.missing():
        pytest.skip(why)
    server = postgres.Server(wal_writer_delay="10s", fsync="on")
    try:
        with queuectl.open(server.url("mine")) as queue:
            store = queue.store
            assert isinstance(store, PostgresStore)
            if works:  # as a worker's store, which asks until it knows
                store.doubt_s = float("inf")
            with pytest.raises(Replaced if works else Doubtful, match="not known whether this was stored"), store.transaction():
                store.run("insert into settings (name, value) values ('slots', '3')")
                [(mine,)] = store.run("select pg_current_xact_id()")
                server.stop("immediate")
                server.start()
                with psycopg.connect(server.url("mine").partition("&schema")[0], autocommit=True) as other:
                    given = [other.execute("create table t (a int)").statusmessage]
                    status = other.execute("select pg_xact_status(%s::xid8)", (mine,)).fetchone()
                assert (given, status) == (["CREATE TABLE"], ("committed",))
            assert store.run("select value from settings where name = 'slots'") == []
    finally:
        server.stop("immediate")


def test_a_server_that_is_restarted_loses_nothing_and_runs_nothing_twice(own_server: postgres.Server, tmp_path: Path) -> None:
    need_namespaces()
    url = own_server.url("mine")
    ledger = tmp_path / "ledger"
    with queuectl.open(url) as queue:
        a = Host("a", url, tmp_path)
        try:
            a.worker("--count", "3")
            added, over = [], threading.Event()

            def add() -> None:
                while not over.is_set():
                    try:
                        added.append(queue.add(f"echo $QUEUECTL_JOB_ID >> {ledger}; sleep 0.05").id)
                    except QueueError as trouble:
                        assert isinstance(trouble, (TryAgainLater, StorageError))
                    time.sleep(0.01)

            adding = threading.Thread(target=add)
            adding.start()
            for how in ("fast", "immediate", "immediate"):
                time.sleep(1)
                own_server.stop(how)
                time.sleep(0.5)
                own_server.start()
            time.sleep(1)
            over.set()
            adding.join()
            until(lambda: {job.state for job in queue.find()} == {"completed"})
            began = Counter(ledger.read_text().split())
            assert set(began.values()) == {1}
            assert set(added) <= set(began)  # each that was acknowledged has run
        finally:
            a.end()


def test_a_server_without_a_free_connection_says_so(own_server: postgres.Server) -> None:
    url = own_server.url("mine")
    queuectl.open(url).close()
    to = pg_link.address(url)
    held = []
    try:
        with pytest.raises(psycopg.OperationalError):
            while True:
                held.append(psycopg.connect(to.url))
        with pytest.raises(TryAgainLater) as refused:
            queuectl.open(url)
        assert "connection" in str(refused.value)
    finally:
        for db in held:
            db.close()


def test_a_store_that_was_put_in_place_of_another_is_noticed(store: str, queue: Queue) -> None:
    queue.add("true")
    with psycopg.connect(pg_link.address(store).url, autocommit=True) as db:
        schema = pg_link.address(store).schema
        db.execute(f"update {schema}.meta set value = 'another' where key = 'store_id'")
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'queuectl' and pid <> pg_backend_pid()"
        )
    with pytest.raises(StorageError) as noticed:
        queue.add("true")
        queue.add("true")
    assert "another one stands in its place" in str(noticed.value)


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("postgresql://me:geheim@127.0.0.1:1/q", TryAgainLater, "cannot be reached"),
        ("postgresql://me:geheim@/q?host={data}&port={port}&password=geheim", StorageError, "does not exist"),
        ("postgresql://postgres@/q?host={data}&port={port}", StorageError, "does not exist"),
        ("postgresql://postgres@/postgres?host={data}&port={port}&schema=a-b", queuectl.InvalidInput, "schema"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_the_password(store: str, url: str, error: type[QueueError], said: str) -> None:
    server = postgres.server()
    with pytest.raises(error) as refused:
        queuectl.open(url.format(data=server.data, port=server.port))
    assert said in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_newer_schema_is_refused(store: str, queue: Queue) -> None:
    with queue.store.transaction():
        queue.store.run("update meta set value = '99' where key = 'schema'")
    with pytest.raises(StorageError) as refused:
        queuectl.open(store)
    assert "newer queuectl" in str(refused.value)


def test_many_that_make_the_store_at_once_make_one(store: str) -> None:
    opened: list[Queue] = []
    threads = [threading.Thread(target=lambda: opened.append(queuectl.open(store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({queue.store.run("select value from meta where key = 'store_id'")[0][0] for queue in opened}) == 1
    for queue in opened:
        queue.close()


def test_an_id_that_is_a_number_is_no_other_jobs_number(store: str, queue: Queue) -> None:
    first = queue.add("true").number
    with queuectl.open(store) as chooser:
        with chooser.store.transaction():
            spec = queuectl.Spec(work=queuectl.Shell("true"), id=str(first + 3))
            config = chooser.settings.read()
            chooser.insert(spec, chooser.origin(spec, config), config)
            adding = threading.Thread(target=lambda: [queue.add("true") for _ in range(4)])
            adding.start()
            time.sleep(0.5)  # long enough for adds that would not wait
        adding.join()
    ids = [job.id for job in queue.find()]
    assert len(ids) == len(set(ids)) == 6


def test_through_a_pooler_nothing_is_left_to_a_session(store: str, queue: Queue, host: Opener) -> None:
    with queuectl.open(store + "&pooled=1") as pooled:
        job = pooled.add("echo hello", key="k")
        assert pooled.add("echo hello", key="k") == job
        with pytest.raises(Conflict):
            pooled.add("echo other", key="k")
        host("a", url=store + "&pooled=1").worker()
        assert pooled.wait(job.id, timeout=30)[0].state == "completed"
        [(prepared,)] = pooled.store.run("select count(*) from pg_prepared_statements")
        assert prepared == 0
