"""Jobs that are added again and again: each instant once, whoever looks, and what is shown and refused."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl import Argv, Conflict, InvalidInput, NotFound, Query, Queue, Shell, Spec, clock, schedules
from queuectl.model import Serving

from .harness import Place, eventually, work

HOUR_US = 3_600_000_000


def claim(queue: Queue, now: int) -> list[str]:
    with queue.store.transaction():
        return [job.command for job in queue.store.claim(1, 10, 0, now, Serving()).jobs]


def add(queue: Queue, name: str = "s", cron: str = "0 * * * *", command: str = "true", **terms: str) -> int:
    """A schedule, and its next instant."""
    due = schedules.add(queue, name, cron, Spec(Shell(command)), zone="UTC", **terms).next_us
    assert due is not None
    return due


def test_an_instant_adds_one_job_however_often_it_is_looked_at(queue: Queue) -> None:
    due = add(queue)
    assert claim(queue, due - 1) == []
    assert claim(queue, due) == ["true"]
    assert claim(queue, due) == claim(queue, due + 1) == []
    [job] = queue.find()
    assert (job.label, job.max_retries, job.created_us) == ("s", 3, due)
    assert next(h.actor for h in queue.history(job)) == "schedule s"
    schedule = schedules.get(queue, "s")
    assert (schedule.fired, schedule.next_us, schedule.job) == (1, due + HOUR_US, job.number)


def test_two_workers_that_look_at_once_add_it_once(place: Place) -> None:
    one, other = place.open(), place.open()
    due = add(one)
    assert claim(one, due) + claim(other, due) == ["true"]


def test_it_does_not_run_beside_itself_unless_it_may(queue: Queue) -> None:
    due = add(queue, "one")
    add(queue, "many", command="sleep 9", overlap="allow")
    assert sorted(claim(queue, due)) == ["sleep 9", "true"]
    assert claim(queue, due + HOUR_US) == ["sleep 9"]
    assert [(s.name, s.fired, s.skipped) for s in schedules.all_of(queue)] == [("many", 2, 0), ("one", 1, 1)]


def test_it_runs_again_when_the_last_one_has_ended(queue: Queue) -> None:
    due = add(queue)
    claim(queue, due)
    with queue.store.transaction():
        queue.store.run("update jobs set stage = 'completed', state = 'completed'")
    assert claim(queue, due + HOUR_US) == ["true"]


@pytest.mark.parametrize(("catch_up", "n"), [("one", 1), ("none", 0), ("all", 4)])
def test_what_nobody_was_there_to_see(queue: Queue, catch_up: str, n: int) -> None:
    due = add(queue, overlap="allow", catch_up=catch_up)
    assert len(claim(queue, due + 3 * HOUR_US + HOUR_US // 2)) == n
    assert schedules.get(queue, "s").next_us == due + 4 * HOUR_US


def test_a_real_worker_adds_and_runs_it_also_while_its_slots_are_taken(place: Place) -> None:
    queue = place.open()
    queue.add("sleep 30", id="long")
    add(queue, command="echo scheduled")
    place.worker()
    eventually(lambda: queue.get("long").state == "processing")
    with queue.store.transaction():
        queue.store.run("update schedules set next_us = ?", (clock.now_us() + 300_000,))
    queue.ring_work()
    eventually(lambda: schedules.get(queue, "s").fired == 1)
    [job] = [job for job in queue.find() if job.label == "s"]
    assert job.state == "pending"
    queue.cancel("long")
    eventually(lambda: queue.get(job.id).state == "completed")
    assert b"".join(queue.logs(job.id)) == b"scheduled\n"


def test_a_paused_one_adds_nothing_and_makes_up_for_nothing(queue: Queue) -> None:
    due = add(queue)
    schedules.pause(queue, "s")
    assert claim(queue, due + HOUR_US) == []
    schedules.resume(queue, "s")
    assert (schedules.get(queue, "s").next_us or 0) > clock.now_us()


def test_it_can_be_run_now_and_removed(queue: Queue) -> None:
    add(queue)
    job = schedules.run_now(queue, "s")
    schedules.remove(queue, "s")
    work(queue)
    assert queue.get(job.id).state == "completed"
    with pytest.raises(NotFound):
        schedules.get(queue, "s")


def test_its_jobs_are_what_was_asked_for(queue: Queue, tmp_path: object) -> None:
    words, env = ("sh", "-c", 'pwd; echo "$X"'), {"X": "y", "PATH": "/bin:/usr/bin"}
    spec = Spec(Argv(words), cwd=str(tmp_path), env=env, label="l", priority=4)
    schedules.add(queue, "s", "@daily", spec, zone="UTC")
    job = schedules.run_now(queue, "s")
    work(queue)
    assert (job.priority, job.label) == (4, "l")
    assert b"".join(queue.logs(job.id)) == f"{tmp_path}\ny\n".encode()


def test_its_environment_outlives_its_jobs(queue: Queue) -> None:
    schedules.add(queue, "s", "@daily", Spec(Shell('echo "$X"'), env={"X": "kept", "PATH": "/bin:/usr/bin"}), zone="UTC")
    for _ in range(2):
        job = schedules.run_now(queue, "s")
        work(queue)
        assert b"".join(queue.logs(job.id)) == b"kept\n"
        queue.prune(Query(ids=(job.id,)))
    schedules.remove(queue, "s")
    assert queue.store.run("select 1 from envs where id not in (select env from jobs where env is not null)") == []


@pytest.mark.parametrize("field", [{"id": "x"}, {"key": "k"}, {"delay_s": 1.0}, {"after": ("1",)}])
def test_what_makes_no_sense_is_refused(queue: Queue, field: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        schedules.add(queue, "s", "@daily", Spec(Shell("true"), **field))


def test_a_name_is_given_once(queue: Queue) -> None:
    add(queue)
    with pytest.raises(Conflict):
        add(queue)


@pytest.mark.parametrize("terms", [{"overlap": "x"}, {"catch_up": "two"}, {"zone": "Mars/Olympus"}])
def test_wrong_terms_are_refused(queue: Queue, terms: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        schedules.add(queue, "s", "@daily", Spec(Shell("true")), **terms)  # type: ignore[arg-type]
    assert schedules.all_of(queue) == []
