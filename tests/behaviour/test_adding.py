"""Adding jobs: what is asked for is what is stored, once, or nothing is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl import Argv, Conflict, InvalidInput, Query, Queue, Shell, Spec

from .harness import Place, eventually, states, work, written


def test_jobs_are_numbered_from_one(queue: Queue) -> None:
    assert [queue.add("true").id for _ in range(3)] == ["1", "2", "3"]


def test_an_added_job_is_what_another_reader_gets(open_queue: Callable[..., Queue]) -> None:
    job = open_queue().add("sleep 2", priority=5, max_retries=1, timeout=9, label="l", key="k", queue="q", id="build-7")
    assert open_queue().get("build-7") == job
    assert (job.state, job.attempts, job.priority, job.max_retries, job.timeout_s, job.queue) == ("pending", 0, 5, 1, 9.0, "q")


def test_text_is_for_the_shell_and_a_list_is_a_program(queue: Queue) -> None:
    queue.add("echo $((1 + 1)) 'a b'")
    queue.add(["echo", "$((1 + 1))", "'a b'", ""])
    work(queue, slots=1)
    assert (written(queue, 1), written(queue, 2)) == (b"2 a b\n", b"$((1 + 1)) 'a b' \n")


def test_a_spec_is_added_as_it_is(queue: Queue) -> None:
    job = queue.add(Spec(work=Argv(("true",)), id="x", delay_s=60.0))
    assert (job.id, job.kind, job.stage) == ("x", "argv", "later")


def test_the_retry_limit_is_fixed_when_a_job_is_added(queue: Queue) -> None:
    queue.settings.set("max_retries", 5)
    job = queue.add("true")
    queue.settings.set("max_retries", 0)
    assert queue.get(job.id).max_retries == 5


@pytest.mark.parametrize(
    ("work", "fields"),
    [
        ("", {}),
        ("a\0b", {}),
        ([], {}),
        (["a", 5], {}),
        ("true", {"priority": "x"}),
        ("true", {"colour": 1}),
        ("true", {"id": "a b"}),
    ],
)
def test_bad_input_stores_nothing_and_uses_no_number(queue: Queue, work: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        queue.add(work, **fields)
    assert queue.find() == []
    assert queue.add("true").id == "1"


# ---------------------------------------------------------------- ids and keys


def test_an_id_that_exists_is_refused_and_the_first_job_untouched(queue: Queue) -> None:
    first = queue.add("true", id="a")
    with pytest.raises(Conflict, match="exists already"):
        queue.add("false", id="a")
    assert queue.find() == [first]


def test_a_number_that_a_job_has_cannot_be_chosen(queue: Queue) -> None:
    queue.add("true")
    with pytest.raises(Conflict):
        queue.add("true", id="1")


def test_automatic_numbers_skip_those_that_somebody_chose(queue: Queue) -> None:
    queue.add("true", id="3")
    assert [queue.add("true").id for _ in range(3)] == ["2", "4", "5"]


def test_a_bulk_add_skips_the_numbers_it_chooses_itself(queue: Queue) -> None:
    queue.add_many([Spec(work=Shell("true"), id="3"), "true", "true", Spec(work=Shell("true"), id="6"), "true"])
    ids = [job.id for job in queue.find()]
    assert len(set(ids)) == 5
    assert {"3", "6"} <= set(ids)


def test_a_chosen_id_is_free_again_after_the_job_was_removed(queue: Queue) -> None:
    queue.add("echo one", id="a")
    work(queue)
    queue.prune(Query())
    again = queue.add("echo two", id="a")
    work(queue)
    assert again.number == 2
    assert written(queue, "a") == b"two\n"


def test_ids_from_many_processes_at_once_are_unique(place: Place) -> None:
    place.open()
    code = "import queuectl\nqueue = queuectl.open()\nprint(*[queue.add('true').id for _ in range(25)])"
    adders = [place.python(code, stdout=-1, text=True) for _ in range(8)]
    ids = [job_id for adder in adders for job_id in adder.communicate(timeout=60)[0].split()]
    assert sorted(map(int, ids)) == list(range(1, 201))


@pytest.mark.wide
def test_of_many_processes_that_choose_one_id_one_wins(place: Place) -> None:
    place.open()
    code = "import queuectl\ntry: queuectl.open().add('true', id='a')\nexcept queuectl.Conflict: raise SystemExit(5)"
    adders = [place.python(code) for _ in range(8)]
    assert sorted(adder.wait(60) for adder in adders) == [0] + [5] * 7


def test_a_key_adds_a_job_once(queue: Queue) -> None:
    first = queue.add("true", key="k", priority=1)
    assert queue.add("true", key="k", priority=2) == first
    assert len(queue.find()) == 1


def test_a_key_still_answers_with_the_first_job_when_that_has_ended(queue: Queue) -> None:
    first = queue.add("true", key="k")
    work(queue)
    assert queue.add("true", key="k").number == first.number


def test_a_key_with_another_command_is_a_conflict(queue: Queue) -> None:
    queue.add("true", key="k")
    for other in ("false", ["true"]):
        with pytest.raises(Conflict, match="another command"):
            queue.add(other, key="k")


def test_keys_of_different_queues_are_different(queue: Queue) -> None:
    assert queue.add("true", key="k").number != queue.add("true", key="k", queue="other").number


@pytest.mark.wide
def test_one_key_from_many_processes_is_one_job(place: Place) -> None:
    queue = place.open()
    adders = [place.python("import queuectl; queuectl.open().add('true', key='k')") for _ in range(8)]
    assert [adder.wait(60) for adder in adders] == [0] * 8
    assert len(queue.find()) == 1


def test_a_bulk_add_knows_keys_too(queue: Queue) -> None:
    queue.add("true", key="old")
    assert queue.add_many([Spec(work=Shell("true"), key=key) for key in ("old", "new", "new")]) == 1
    with pytest.raises(Conflict):
        queue.add_many(["echo", Spec(work=Shell("false"), key="new")])
    with pytest.raises(Conflict):
        queue.add_many([Spec(work=Shell(word), key="k") for word in ("true", "false")])
    assert len(queue.find()) == 2


# ---------------------------------------------------------------- many at once


def test_a_bulk_add_adds_all(queue: Queue) -> None:
    assert queue.add_many(f"echo {n}" for n in range(2500)) == 2500
    assert queue.count() == 2500
    assert [job.command for job in queue.find(Query(oldest_first=True, limit=3))] == ["echo 0", "echo 1", "echo 2"]


def test_a_bulk_add_that_fails_adds_nothing(queue: Queue) -> None:
    def some_and_a_fault() -> Any:
        yield from ["true"] * 700
        yield ""

    with pytest.raises(InvalidInput):
        queue.add_many(some_and_a_fault())
    assert queue.find() == []
    assert set(queue_counts(queue).values()) == {0}
    work(queue)


def test_an_id_that_comes_twice_in_a_bulk_add_adds_nothing(queue: Queue) -> None:
    for apart in (0, 700):
        with pytest.raises(Conflict):
            queue.add_many([Spec(work=Shell("true"), id="a"), *["true"] * apart, Spec(work=Shell("true"), id="a")])
        assert queue.find() == []


@pytest.mark.wide
def test_nothing_of_a_bulk_add_runs_before_it_is_complete(queue: Queue, open_queue: Callable[..., Queue]) -> None:
    def half_then_the_rest() -> Iterator[str]:
        yield from ["true"] * 3000
        assert open_queue().count() > 0
        work(open_queue())
        assert set(states(open_queue()).values()) == {"pending"}
        assert queue_counts(open_queue())["pending"] == 0
        yield "true"

    queue.add_many(half_then_the_rest())
    assert queue_counts(queue)["pending"] == 3001
    work(queue)
    assert set(states(queue).values()) == {"completed"}


def test_what_a_killed_bulk_add_left_is_taken_out_by_the_next_worker(place: Place) -> None:
    queue = place.open()
    code = (
        "import queuectl, time\n"
        "def jobs():\n"
        "    yield from ['true'] * 3000\n"
        "    print('half', flush=True); time.sleep(60)\n"
        "queuectl.open().add_many(jobs())\n"
    )
    adder = place.python(code, stdout=-1, text=True)
    assert adder.stdout is not None
    assert adder.stdout.readline() == "half\n"
    assert queue.count() > 0
    adder.send_signal(signal.SIGKILL)
    adder.wait(10)
    left = queue.add("true")
    work(queue)
    assert [job.number for job in queue.find()] == [left.number]
    assert sum(queue_counts(queue).values()) == 1
    assert queue.store.run("select count(*) from history where job <> ?", (left.number,)) == [(0,)]


def test_a_living_bulk_add_is_left_alone_by_workers(place: Place, queue: Queue) -> None:
    def half_then_the_rest() -> Iterator[str]:
        yield from ["true"] * 3000
        assert place.command("worker", "start", "--until-idle").returncode == 0

    assert queue.add_many(half_then_the_rest()) == queue.count() == 3000


def test_a_bulk_add_rings_workers_once_it_is_complete(place: Place, queue: Queue) -> None:
    place.worker()
    began = time.monotonic()
    queue.add_many(["true"] * 5)
    eventually(lambda: queue_counts(queue)["completed"] == 5)
    assert time.monotonic() - began < 8


def test_delayed_jobs_of_a_bulk_add_run_when_they_are_due(queue: Queue) -> None:
    queue.add_many([Spec(work=Shell("true"), delay_s=0.2), "true"])
    work(queue)
    assert set(states(queue).values()) == {"completed"}


def queue_counts(queue: Queue) -> dict[str, int]:
    from queuectl.store.stats import by_state

    return by_state(queue.store)


# ---------------------------------------------------------------- where and how a job was submitted


def test_a_job_keeps_the_folder_it_was_added_in(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    queue.add("pwd")
    monkeypatch.chdir(tmp_path)
    work(queue)
    assert written(queue, 1) == f"{tmp_path}/here\n".encode()


def test_a_job_keeps_the_umask_it_was_added_under(queue: Queue) -> None:
    for mask in (0o027, 0o002):
        before = os.umask(mask)
        queue.add("umask")
        os.umask(before)
    work(queue, slots=1)
    assert (written(queue, 1), written(queue, 2)) == (b"0027\n", b"0002\n")


def test_the_umask_is_known_in_a_fork_and_to_who_has_closed_what_he_did_not_open(tmp_path: Path) -> None:
    """A program that becomes a daemon does both: its descriptor is gone, then another file's."""
    (tmp_path / "other").write_text("Name:\tother\nUmask\n")
    program = """if 1:
        import os
        from queuectl.locate import umask
        os.umask(0o027)
        print(oct(umask()), flush=True)
        if os.fork() == 0:
            os.umask(0o022)
            print(oct(umask()), flush=True)
            os._exit(0)
        os.wait()
        os.closerange(3, 100)
        print(oct(umask()), flush=True)
        os.closerange(3, 100)
        others = [os.open("other", os.O_RDONLY) for _ in range(20)]
        print(oct(umask()), os.read(others[0], 5), os.read(others[-1], 5))
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0o27\n0o22\n0o27\n0o27 b'Name:' b'Name:'\n"


def test_a_job_gets_the_whole_environment_of_who_added_it(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "re d=\n")
    queue.add('printf %s "$COLOUR"')
    monkeypatch.setenv("COLOUR", "blue")
    work(queue)
    assert written(queue, 1) == b"re d=\n"


@pytest.mark.parametrize(("rule", "sees"), [("all", b"x /h\n"), ("basic", b" /h\n"), ("none", b" \n")])
def test_what_is_captured_is_a_setting(queue: Queue, monkeypatch: pytest.MonkeyPatch, rule: str, sees: bytes) -> None:
    queue.settings.set("capture_env", rule)
    monkeypatch.setenv("COLOUR", "x")
    monkeypatch.setenv("HOME", "/h")
    queue.add('echo "$COLOUR $HOME"')
    work(queue)
    assert written(queue, 1) == sees


def test_an_environment_that_is_given_is_the_whole_environment(queue: Queue) -> None:
    queue.add(["/usr/bin/env"], env={"A": "1"})
    work(queue)
    names = {line.partition(b"=")[0] for line in written(queue, 1).splitlines()}
    assert b"A" in names
    assert names - {b"A"} == {n for n in names if n.startswith(b"QUEUECTL_")}


def test_an_environment_is_stored_once_for_all_jobs_that_have_it(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue()
    queue.add_many(["true"] * 300)
    queue.add("true")
    open_queue().add("true")
    queue.add("true", env={"A": "1"})
    queue.add("true", env={"A": "1"})
    assert queue.store.run("select count(*) from envs") == [(2,)]


def test_a_refused_add_leaves_no_trace_in_the_next(queue: Queue) -> None:
    queue.add("true", id="a")
    with pytest.raises(Conflict):
        queue.add("true", id="a", env={"NEW": "1"}, queue="new")
    job = queue.add('echo "$NEW"', env={"NEW": "1"}, queue="new")
    work(queue)
    assert written(queue, job) == b"1\n"


def test_an_environment_that_is_not_utf_8_reaches_the_job(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAW", "\udcff\udc80")
    queue.add('printf %s "$RAW"')
    work(queue)
    assert written(queue, 1) == b"\xff\x80"


# ---------------------------------------------------------------- time


def test_a_delayed_job_waits_for_its_time(queue: Queue) -> None:
    job = queue.add("true", delay=0.4)
    assert (job.state, job.stage) == ("pending", "later")
    work(queue)
    done = queue.get(job.id)
    assert done.started_us is not None
    assert 0.4 <= (done.started_us - job.created_us) / 1e6 < 2.0


def test_a_time_in_the_past_is_now(queue: Queue) -> None:
    job = queue.add("true", run_at="2001-01-01T00:00:00Z")
    assert job.stage == "ready"
    work(queue)
    assert queue.get(job.id).state == "completed"


def test_a_run_at_is_kept_and_shown(queue: Queue) -> None:
    job = queue.add("true", run_at="2090-01-01T00:00:00+02:00")
    assert (job.stage, job.run_at_us, job.due_us) == ("later", 3786904800_000_000, 3786904800_000_000)


def test_a_delayed_job_holds_up_no_other(queue: Queue) -> None:
    queue.add("true", delay=1.0, priority=100)
    queue.add("true")
    work(queue, slots=1)
    first, second = queue.get(1), queue.get(2)
    assert second.finished_us is not None
    assert first.started_us is not None
    assert second.finished_us < first.started_us
