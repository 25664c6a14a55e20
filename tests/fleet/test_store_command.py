"""`queuectl store copy`, `check` and `keep`: a queue is moved, compared and taken back by the command line alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import psycopg
import pytest
from behaviour import postgres
from behaviour.harness import PATIENCE_S, Place, eventually, work

from queuectl.store import pg_link

JOBS = 5  # of the queue that is moved: one is done, one is dead, three wait


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Place]:
    place = Place(f"sqlite://{tmp_path}/old.db", tmp_path)
    queue = place.open()
    queue.add("echo hello", id="done")
    queue.add("false", id="dead", max_retries=0)
    work(queue)
    queue.add_many(["true"] * (JOBS - 2))
    yield place
    place.end()


@pytest.fixture
def new(old: Place, tmp_path: Path) -> Iterator[Place]:
    if why := postgres.missing():
        pytest.skip(why)
    place = Place(postgres.url(), tmp_path)
    yield place
    place.end()


def say(place: Place, *words: str, rc: int = 0) -> str:
    """What the command has printed; what it says beside that, where it is to fail."""
    done = place.command(*words)
    assert done.returncode == rc, done
    return done.stderr if rc else done.stdout


def sums(place: Place) -> dict[str, list[str]]:
    """Each table with its rows and its checksum, as people see them."""
    head, *lines = say(place, "store", "check").splitlines()
    assert head.split() == ["TABLE", "ROWS", "CHECKSUM"]
    return {name: rest for name, *rest in map(str.split, lines)}


def behind_its_back(place: Place, statement: str) -> None:
    """Write to the store as no program of ours does."""
    if place.url.startswith("sqlite:"):
        db = apsw.Connection(place.url.removeprefix("sqlite://"))
        db.execute(statement)
        db.close()
        return
    to = pg_link.address(place.url)
    with psycopg.connect(to.url, autocommit=True) as server:
        server.execute(f'set search_path to "{to.schema}"')
        server.execute(statement)


def test_a_check_of_both_sides_of_a_copy_says_the_same(old: Place, new: Place) -> None:
    told = say(old, "store", "copy", old.url, new.url).splitlines()
    assert told[0].split() == ["TABLE", "ROWS", "COPIED"]
    assert ["jobs", str(JOBS), str(JOBS)] in [line.split() for line in told]
    here, there = sums(old), sums(new)
    assert here == there
    assert (there["jobs"][0], there["attempts"][0]) == (str(JOBS), "2")
    found = json.loads(say(new, "store", "check", "--json"))
    assert {name: [str(one["rows"]), one["checksum"]] for name, one in found.items()} == there


@pytest.mark.wide
def test_a_check_says_the_same_of_lanes_with_waiting_jobs(old: Place, new: Place) -> None:
    say(old, "store", "copy", old.url, new.url)
    assert sums(old) == sums(new)


@pytest.mark.wide
def test_a_row_that_was_changed_behind_its_back_is_found(old: Place, new: Place) -> None:
    say(old, "store", "copy", old.url, new.url)
    say(old, "store", "keep")  # a fence would keep us out as well
    here, there = sums(old), sums(new)
    behind_its_back(old, "update jobs set priority = 7 where name = 'dead'")
    behind_its_back(new, "delete from attempts where job = 1")
    assert [table for table, now in sums(old).items() if now != here[table]] == ["jobs"]
    assert [(table, now[0]) for table, now in sums(new).items() if now != there[table]] == [("attempts", "1")]


@pytest.mark.wide
def test_nothing_is_copied_while_a_worker_lives_and_nothing_is_fenced(old: Place, new: Place) -> None:
    old.worker()
    refused = say(old, "store", "copy", old.url, new.url, rc=5)
    assert "a worker is running" in refused and "queuectl worker stop" in refused
    assert refused.count("\n") == 1
    added = say(old, "enqueue", "--", "true").strip()
    eventually(lambda: json.loads(say(old, "show", added, "--json"))["state"] == "completed")
    say(old, "worker", "stop")
    say(old, "store", "copy", old.url, new.url)
    assert json.loads(say(new, "show", added, "--json"))["state"] == "completed"


def cut_in_the_middle(old: Place, new: Place) -> None:
    """Begin to copy, and be killed once the jobs have come and their history has not."""
    words = [sys.executable, "-m", "queuectl", "store", "copy", old.url, new.url]
    with subprocess.Popen(words, env=old.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as mover:
        assert mover.stderr
        for line in mover.stderr:
            if "jobs:" in line:
                break
        mover.send_signal(signal.SIGKILL)
        assert mover.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.mark.wide
def test_keep_gives_a_half_move_up(old: Place, new: Place) -> None:
    old.queues[0].add_many(["true"] * 4000, delay=3600)
    cut_in_the_middle(old, new)
    assert "moved" in say(old, "enqueue", "--", "true", rc=5)
    assert "moved" in say(new, "enqueue", "--", "true", rc=5)
    assert "takes workers and changes again" in old.command("store", "keep").stderr
    say(old, "enqueue", "--id", "after", "--priority", "9", "--", "true")
    old.worker("--count", "2")
    eventually(lambda: json.loads(say(old, "show", "after", "--json"))["state"] == "completed")
    assert "was not being moved" in old.command("store", "keep").stderr
    assert "moved" in say(new, "enqueue", "--", "true", rc=5), "the half that has come goes on refusing"


@pytest.mark.wide
def test_what_was_worked_on_since_a_half_move_moves_as_it_is_now(old: Place, new: Place) -> None:
    old.queues[0].add_many(["true"] * 4000, delay=3600)
    cut_in_the_middle(old, new)
    assert "not all of a queue has come" in say(new, "store", "keep", rc=5)
    say(old, "store", "keep")
    old.worker("--count", "2")
    say(old, "enqueue", "--id", "after", "--", "true")
    eventually(lambda: json.loads(say(old, "show", "after", "--json"))["state"] == "completed")
    say(old, "worker", "stop")
    say(old, "store", "copy", old.url, new.url)
    assert sums(old) == sums(new)
