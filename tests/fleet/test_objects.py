"""Output above a limit lies in an object store, here a folder; it is read on any machine, and goes with its job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl import Query, Queue, StorageError

from .hosts import Host, until

pytestmark = pytest.mark.wide

pytest.importorskip("obstore", reason="NOT TESTED: obstore is not installed")

Opener = Callable[..., Host]


def kept_apart(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_large_output_lies_in_the_object_store(queue: Queue, host: Opener, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    objects.mkdir()
    queue.settings.set("object_store", f"file://{objects}")
    queue.settings.set("copy_output", 50_000_000)
    a, b = host("a"), host("b")
    queue.add("echo small", id="small")
    queue.add("seq 1 1500000", id="large")
    a("worker", "start", "--until-idle")
    whole = "".join(f"{n}\n" for n in range(1, 1_500_001))
    [(inside, apart)] = queue.store.run("select count(body), count(*) filter (where body is null) from output")
    assert inside
    assert apart == len(kept_apart(objects)) > 10
    assert (b("logs", "small"), b("logs", "large")) == ("small\n", whole)
    assert b("logs", "large", "--tail", "1") == "1500000\n"
    queue.prune(Query(ids=("large",)))
    assert kept_apart(objects) == []
    assert queue.store.run("select count(distinct job) from output") == [(1,)]


def test_an_object_store_that_cannot_be_used_keeps_no_job_from_its_end(queue: Queue, host: Opener, tmp_path: Path) -> None:
    queue.settings.set("object_store", f"file://{tmp_path}/gone/for/ever")
    a, b = host("a"), host("b")
    queue.add("seq 1 1500000; exit 3", id="large", max_retries=0)
    a.worker()
    until(lambda: queue.get("large").state == "dead")
    assert queue.get("large").exit_code == 3
    assert a("logs", "large", "--tail", "1") == "1500000\n"  # where it was written it is whole
    assert b("logs", "large").startswith("1\n2\n")


def test_a_place_that_is_none_is_told(queue: Queue) -> None:
    from queuectl.store import pg_objects

    with pytest.raises(StorageError) as refused:
        pg_objects.opened("nowhere://at/all")
    assert "object_store" in str(refused.value)
