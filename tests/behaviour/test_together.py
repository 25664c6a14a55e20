"""Several threads, several processes, several queues objects at once; and files that are their owner's alone."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl import NotFound, Query, Queue, StorageError, payload
from queuectl.store.stats import by_state

from .harness import Place, eventually, running, states, work, written


def in_threads(n: int, act: Callable[[int], object]) -> None:
    """Run `act(0)`, `act(1)`, … at the same moment; what one raises is raised here."""
    faults: list[BaseException] = []
    gate = threading.Barrier(n)

    def run(number: int) -> None:
        try:
            gate.wait(10)
            act(number)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if faults:
        raise faults[0]


def test_threads_share_a_queue(queue: Queue) -> None:
    in_threads(8, lambda n: [queue.add(f"echo {n}", label=f"t{n}") for _ in range(15)])
    assert sorted(job.number for job in queue.find()) == list(range(1, 121))
    assert all(len(queue.find(Query(label=f"t{n}"))) == 15 for n in range(8))


def test_threads_with_queues_of_their_own_work_together(open_queue: Callable[..., Queue]) -> None:
    queues = [open_queue() for _ in range(6)]
    in_threads(6, lambda n: [queues[n].add("true") for _ in range(10)])
    assert queues[0].count() == 60


def test_adding_changing_and_reading_at_once_harm_nothing(queue: Queue) -> None:
    queue.add_many(["true"] * 50)

    def act(n: int) -> None:
        for number in range(1, 51):
            match n % 4:
                case 0:
                    queue.add("true")
                case 1:
                    queue.hold(Query(ids=(), ranges=((number, number),)))
                case 2:
                    queue.release(Query(ranges=((number, number),)))
                case 3:
                    assert queue.get(number).number == number
                    by_state(queue.store)

    in_threads(8, act)
    assert queue.count() == 150
    assert by_state(queue.store)["pending"] == 150


def test_a_bulk_add_and_everyday_adds_go_on_together(queue: Queue, open_queue: Callable[..., Queue]) -> None:
    other = open_queue()

    def act(n: int) -> None:
        if n:
            for _ in range(20):
                other.add("true")
        else:
            queue.add_many(["true"] * 2000)

    in_threads(2, act)
    assert sorted(job.number for job in queue.find()) == list(range(1, 2021))


def test_a_thread_waits_while_others_add_and_work(queue: Queue, open_queue: Callable[..., Queue]) -> None:
    job = queue.add("true")

    def act(n: int) -> None:
        if n:
            work(open_queue())
        else:
            assert queue.wait(job.id, timeout=10)[0].state == "completed"

    in_threads(2, act)


@pytest.mark.wide
def test_processes_add_while_others_work(place: Place) -> None:
    queue = place.open()
    place.worker("--count", "4")
    code = "import queuectl\nq = queuectl.open()\nfor n in range(25): q.add('echo $QUEUECTL_JOB_ID')"
    adders = [place.python(code) for _ in range(4)]
    assert [adder.wait(60) for adder in adders] == [0] * 4
    eventually(lambda: by_state(queue.store)["completed"] == 100)
    assert {written(queue, n) for n in range(1, 101)} == {f"{n}\n".encode() for n in range(1, 101)}
    assert {job.run for job in queue.find()} == {1}


# ---------------------------------------------------------------- files


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def others_may(folder: Path) -> list[str]:
    """What anybody but the owner could read or write, named."""
    return [str(path) for path in folder.rglob("*") if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077]


def test_every_file_is_its_owners_alone_from_the_first_instant(place: Place, no_umask: None) -> None:
    inside = place.folder / "there"
    inside.mkdir(mode=0o700)
    place.url = f"sqlite://{inside}/queuectl.db"
    place.environ["QUEUECTL_URL"] = place.url
    place.marks.add(f"QUEUECTL_URL={place.url}\0".encode())

    def nothing_is_open_to_others(step: str) -> None:
        assert (step, others_may(inside)) == (step, [])

    queue = place.open()
    nothing_is_open_to_others("made")
    queue.settings.set("backoff_base", 0)
    nothing_is_open_to_others("settings")
    fd = os.open("/etc/hostname" if os.path.exists("/etc/hostname") else "/dev/null", os.O_RDONLY)
    payload.store(queue.place, fd)
    os.close(fd)
    nothing_is_open_to_others("payload")
    queue.add_many(["true"] * 3)
    job = queue.add("echo secret; sleep 0.4", stderr_apart=True, priority=9)
    nothing_is_open_to_others("added")
    place.worker()
    eventually(lambda: running(queue, job))
    nothing_is_open_to_others("running")
    with queue.listener("done"):
        nothing_is_open_to_others("bell")
    queue.wait(*range(1, 5), timeout=10)
    nothing_is_open_to_others("done")


def test_a_log_is_never_written_through_a_link(place: Place, queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    os.makedirs(queue.place.logs, mode=0o700)
    os.symlink(tmp_path / "precious", f"{queue.place.logs}/1.log")
    job = queue.add("echo overwritten", max_retries=0)
    place.worker()
    eventually(lambda: queue.get(job.id).run)
    time.sleep(0.3)
    assert (tmp_path / "precious").read_text() == "precious"


# ---------------------------------------------------------------- the store itself


def test_a_queue_that_must_exist_is_not_made(place: Place) -> None:
    import queuectl

    with pytest.raises(NotFound):
        queuectl.open(place.url, create=False)
    assert list(place.folder.iterdir()) == []


@pytest.mark.engine("sqlite")
@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\0" * 4000])
def test_a_file_that_is_no_queue_is_refused_and_left_alone(place: Place, content: bytes) -> None:
    (place.folder / "queuectl.db").write_bytes(content)
    with pytest.raises(StorageError) as refusal:
        place.open()
    assert refusal.value.exit_code == 7
    assert refusal.value.hint
    assert (place.folder / "queuectl.db").read_bytes() == content


@pytest.mark.engine("sqlite")
def test_a_queue_of_a_newer_program_is_refused_and_named(place: Place) -> None:
    queue = place.open()
    queue.store.run("pragma user_version = 99")
    with pytest.raises(StorageError, match="newer"):
        place.open()


def test_many_processes_that_make_the_queue_at_once_make_one(place: Place) -> None:
    adders = [place.python("import queuectl; queuectl.open().add('true')") for _ in range(10)]
    assert [adder.wait(60) for adder in adders] == [0] * 10
    queue = place.open()
    assert sorted(states(queue)) == sorted(map(str, range(1, 11)))
    assert [name for name in os.listdir(place.folder) if ".new" in name] == []
