"""What happens to a queue on several machines when one of them dies, freezes or loses its link."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from queuectl import Queue, limits

from .hosts import Host, until

Opener = Callable[..., Host]
LEASE_S = 4.0


def states(queue: Queue) -> dict[str, str]:
    return {job.id: job.state for job in queue.find()}


def events(queue: Queue, job_id: str) -> list[str]:
    return [line.event for line in queue.history(queue.get(job_id))]


def running_on(queue: Queue, job_id: str) -> int | None:
    job = queue.get(job_id)
    return job.worker if job.stage == "running" else None


def test_the_output_of_a_job_is_read_on_any_machine(queue: Queue, host: Opener) -> None:
    a, b = host("a"), host("b")
    a.worker()
    queue.add("echo one; sleep 3; echo two", id="j")
    until(lambda: queue.get("j").state == "processing")
    until(lambda: b("logs", "j").endswith("one\n"), 5)
    assert b("logs", "-f", "j") == "one\ntwo\n"
    queue.add("seq 1 200000; echo err >&2", id="large")
    until(lambda: queue.get("large").state == "completed")
    assert b("logs", "large") == a("logs", "large") == "".join(f"{n}\n" for n in range(1, 200001)) + "err\n"
    assert b("logs", "large", "--tail", "2") == "200000\nerr\n"


@pytest.mark.wide
def test_what_a_job_reads_reaches_it_on_any_machine(queue: Queue, host: Opener) -> None:
    a, b = host("a"), host("b")
    given = "".join(f"{n}\n" for n in range(150_000))
    a("enqueue", "--stdin", "--id", "large", "--", "cat", given=given)
    a("enqueue", "--stdin", "--id", "empty", "--", "cat")
    b("worker", "start", "--until-idle")
    assert (a("logs", "large"), a("logs", "empty")) == (given, "")
    c = host("c")
    again = queue.rerun("large").id
    b("worker", "start", "--until-idle")
    assert c("logs", again) == given


@pytest.mark.wide
def test_a_retry_on_another_machine_continues_the_log(queue: Queue, host: Opener) -> None:
    a, b, c = host("a"), host("b"), host("c")
    queue.add("echo from $(hostname); exit 1", id="j", max_retries=1)
    queue.settings.set("backoff_base", 0)
    a.worker("--count", "1")
    until(lambda: queue.attempts(queue.get("j")))
    a("worker", "stop", "--timeout", "20")
    if queue.get("j").state != "dead":
        b.worker()
        until(lambda: queue.get("j").state == "dead")
        assert c("logs", "j").split()[:4] == ["from", "a", "from", "b"]
        assert c("logs", "j", "--attempt", "1").split() == ["from", "a"]


def test_the_jobs_of_a_dead_machine_start_elsewhere_by_their_own_choice(queue: Queue, host: Opener) -> None:
    a, b = host("a"), host("b")
    a.worker("--count", "3")
    for choice in ("rerun", "hold", "fail"):
        queue.add("sleep 1000", id=choice, if_interrupted=choice, max_retries=0)
    until(lambda: all(state == "processing" for state in states(queue).values()))
    first = running_on(queue, "rerun")
    b.worker("--count", "3")
    a.signal_all(signal.SIGKILL)
    died = time.monotonic()
    until(lambda: running_on(queue, "rerun") not in (None, first))
    assert time.monotonic() - died < LEASE_S + 5
    assert states(queue) == {"rerun": "processing", "hold": "processing", "fail": "dead"}
    assert running_on(queue, "hold") == first  # it waits for its machine
    assert "interrupt" in events(queue, "rerun")
    b("worker", "forget", "a")
    until(lambda: queue.get("hold").stage == "held")


def test_a_living_machine_cannot_be_forgotten(queue: Queue, host: Opener) -> None:
    a = host("a")
    a.worker()
    assert "live" in host("b")("worker", "forget", "a", rc=5)


@pytest.mark.wide
def test_a_machine_that_comes_back_settles_what_waited_for_it(queue: Queue, host: Opener) -> None:
    a, b = host("a"), host("b")
    a.worker()
    queue.add("sleep 1000", id="j", if_interrupted="hold")
    until(lambda: queue.get("j").state == "processing")
    b.worker()
    a.signal_all(signal.SIGKILL)
    time.sleep(LEASE_S * 2 + 2)
    assert queue.get("j").stage == "running"
    a.worker()
    until(lambda: queue.get("j").stage == "held", 45)


@pytest.mark.wide
def test_the_late_word_of_a_frozen_machine_is_refused(queue: Queue, host: Opener) -> None:
    a, b = host("a"), host("b")
    a.worker()
    queue.add("sleep 2; echo done by $(hostname)", id="j")
    until(lambda: queue.get("j").state == "processing")
    a.signal_all(signal.SIGSTOP)
    b.worker()
    until(lambda: queue.get("j").state == "completed")
    ended = queue.get("j")
    a.signal_all(signal.SIGCONT)
    time.sleep(4)
    assert queue.get("j") == ended
    assert events(queue, "j").count("finish") == 1
    assert [a.reason for a in queue.attempts(ended)] == ["interrupted", None]
    queue.add("true", id="next")  # and it works on, as a new worker
    b("worker", "stop", "--timeout", "1", rc=None)
    until(lambda: queue.get("next").state == "completed")


def overlaps(ledger: Path) -> list[str]:
    """Moments at which the job ran on two machines."""
    beats: dict[str, list[float]] = {}
    for line in ledger.read_text().split("\n"):
        if line:
            name, at = line.split()
            beats.setdefault(name, []).append(float(at))
    spans = sorted((min(times), max(times), name) for name, times in beats.items())
    return [f"{x} {y}" for x, y in pairwise(spans) if y[0] < x[1]]


@pytest.mark.wide
@pytest.mark.parametrize(("cut_s", "moves"), [(2.0, False), (14.0, True)])
def test_a_cut_link_loses_nothing_and_runs_nothing_twice_at_a_time(
    queue: Queue, host: Opener, tmp_path: Path, cut_s: float, moves: bool
) -> None:
    a, b = host("a", net=True), host("b")
    ledger = tmp_path / "ledger"
    beat = f'for i in $(seq 1 60); do echo "$(hostname) $(date +%s.%N)" >> {ledger}; sleep 0.1; done; sleep 0.3'
    a.worker()
    queue.add(beat, id="j")
    until(lambda: queue.get("j").state == "processing")
    b.worker()
    assert a.net
    a.net.cut()
    time.sleep(cut_s)
    a.net.mend()
    until(lambda: queue.get("j").state == "completed")
    assert overlaps(ledger) == []
    assert ("b " in ledger.read_text()) is moves
    assert events(queue, "j").count("finish") == 1


@pytest.mark.wide
def test_no_command_waits_longer_than_ten_seconds_for_a_link_that_is_cut(queue: Queue, host: Opener) -> None:
    a = host("a", net=True)
    assert a("status", "--json")
    assert a.net
    a.net.cut()
    began = time.monotonic()
    said = a("enqueue", "--", "true", rc=75)
    assert time.monotonic() - began < 11
    assert "cannot be reached" in said
    assert said.count("\n") == 1
    a.net.mend()


@pytest.mark.wide
@pytest.mark.parametrize("drift", ["+1h", "-1h"])
def test_a_machine_with_a_wrong_clock_keeps_time_with_the_server(queue: Queue, host: Opener, drift: str) -> None:
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if not library or not shutil.which("faketime"):
        pytest.skip("NOT TESTED: needs libfaketime to give a machine another clock")
    a = host("a", LD_PRELOAD=str(library), FAKETIME=drift, FAKETIME_DONT_FAKE_MONOTONIC="1")
    a.worker()
    began = time.time()
    a("enqueue", "--delay", "2", "--", "true")
    [job] = until(lambda: [job for job in queue.find() if job.state == "completed"])
    assert abs(job.created_us / 1e6 - began) < 10
    assert 1.5 < (job.started_us - job.created_us) / 1e6 < 10


@pytest.mark.wide
def test_of_many_workers_on_three_machines_none_runs_what_another_runs_and_no_limit_is_exceeded(
    queue: Queue, host: Opener, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    name = "$QUEUECTL_QUEUE $QUEUECTL_JOB_ID"
    work = f'echo "+ {name}" >> {ledger}; sleep 0.05; echo "- {name}" >> {ledger}'
    limits.set_queue(queue, "narrow", parallel=3)
    limits.set_key(queue, "api", 2, None)
    queue.add_many([work] * 60, queue="narrow")
    queue.add_many([work] * 60, queue="wide")
    queue.add_many([work] * 40, queue="keyed", limit_key="api")
    for name in ("a", "b", "c"):
        host(name).worker("--count", "4", "--use-processes")
    until(lambda: all(state == "completed" for state in states(queue).values()), 100)
    open_now: dict[str, int] = {}
    most: dict[str, int] = {}
    begun: list[str] = []
    for line in ledger.read_text().splitlines():
        sign, name, job = line.split()
        open_now[name] = open_now.get(name, 0) + (1 if sign == "+" else -1)
        most[name] = max(most.get(name, 0), open_now[name])
        begun += [job] * (sign == "+")
    assert sorted(begun) == sorted(set(begun))
    assert len(begun) == 160
    assert most["narrow"] <= 3
    assert most["keyed"] <= 2


def test_a_job_needs_a_machine_with_its_tag(queue: Queue, host: Opener) -> None:
    a, b = host("a"), host("b")
    a.worker()
    queue.add("hostname", id="j", where=["gpu"])
    time.sleep(1)
    assert queue.get("j").state == "pending"
    b.worker("--tag", "gpu")
    until(lambda: queue.get("j").state == "completed")
    assert a("logs", "j") == "b\n"
