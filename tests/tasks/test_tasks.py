"""Python functions as jobs: learned by a worker, run in processes of their own, their result kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

import queuectl
from queuectl import tasks
from queuectl.errors import Conflict, InvalidInput, NotFound
from queuectl.model import Function
from queuectl.queue import Queue

Start = Callable[..., "subprocess.CompletedProcess[str]"]

APP = """
import os, sys, time
import queuectl

@queuectl.task
def add(a, b=1):
    "Adds."
    print("adding")
    return a + b

@queuectl.task(name="fails", max_retries=0)
def fail(text):
    raise ValueError(text)

@queuectl.task
def leave(status):
    sys.exit(status)

@queuectl.task
def odd():
    return {1, 2}

@queuectl.task
def nap(s):
    time.sleep(s)
    return "rested"

@queuectl.task
def seen():
    return [os.environ.get("QUEUECTL_JOB_ID"), os.environ.get("MINE"), os.environ.get("QUEUECTL_FUNCTION"), os.getcwd()]
"""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    (tmp_path / "app.py").write_text(APP)
    with queuectl.open(str(tmp_path / "queuectl.db")) as opened:
        opened.settings.set("backoff_base", "0")
        yield opened


@pytest.fixture
def forgotten() -> Iterator[None]:
    before = dict(tasks.known)
    yield
    tasks.known.clear()
    tasks.known.update(before)


@pytest.fixture
def work(queue: Queue) -> Start:
    def work(*flags: str, app: str = "app") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "queuectl", "worker", "start", "--until-idle", "--app", app, *flags]
        env = os.environ | {"QUEUECTL_DB_PATH": queue.place.database}
        return subprocess.run(command, cwd=queue.place.folder, env=env, capture_output=True, text=True, timeout=60)

    return work


def log_of(queue: Queue, job_id: str) -> str:
    return b"".join(queue.logs(job_id)).decode()


def test_a_function_runs_with_its_arguments_and_its_result_is_kept(queue: Queue, work: Start) -> None:
    job = queue.add(Function("add", "[40]", '{"b": 2}'))
    assert job.command == "add(40, b=2)"
    done = work()
    assert done.returncode == 0, done.stderr
    assert queue.get(job.id).state == "completed"
    assert queue.result(job.id) == 42
    assert log_of(queue, job.id) == "adding\nqueuectl-result: 42\n"


@pytest.mark.parametrize("tasks_first", [True, False])
def test_functions_and_commands_of_one_program_share_their_environment(queue: Queue, work: Start, tasks_first: bool) -> None:
    """A function's process is told one thing more."""
    for _ in range(3):
        for is_task in (tasks_first, not tasks_first):
            queue.add(Function("seen") if is_task else ["env"])
    assert work().returncode == 0
    jobs = queue.find()
    assert [(job.state, job.run) for job in jobs] == [("completed", 1)] * 6
    for job in jobs:
        if job.kind == "function":
            assert queue.result(job.id)[0] == job.id
        else:
            names = [line.partition("=")[0] for line in log_of(queue, job.id).splitlines()]
            assert [name for name in set(names) if names.count(name) > 1] == []


def test_an_exception_is_a_failure_with_the_users_own_traceback(queue: Queue, work: Start) -> None:
    job = queue.add(Function("fails", '["oh"]'), max_retries=1)
    work()
    ended = queue.get(job.id)
    assert (ended.state, ended.exit_code, ended.attempts) == ("dead", 1, 2)
    text = log_of(queue, job.id)
    assert "ValueError: oh" in text
    assert "app.py" in text
    assert "queuectl/run/function.py" not in text
    with pytest.raises(Conflict):
        queue.result(job.id)


def test_an_exit_status_is_the_jobs(queue: Queue, work: Start) -> None:
    job = queue.add(Function("leave", "[7]"), max_retries=0)
    work()
    assert queue.get(job.id).exit_code == 7


def test_what_json_cannot_hold_is_no_result_and_no_failure(queue: Queue, work: Start) -> None:
    job = queue.add(Function("odd"))
    work()
    assert queue.get(job.id).state == "completed"
    assert "cannot be written as JSON" in log_of(queue, job.id)
    with pytest.raises(NotFound):
        queue.result(job.id)


def test_a_timeout_ends_a_function_like_any_job(queue: Queue, work: Start) -> None:
    job = queue.add(Function("nap", "[30]"), timeout=0.5, max_retries=0)
    began = monotonic()
    work()
    assert queue.get(job.id).reason == "timeout"
    assert monotonic() - began < 20


def test_a_function_has_the_environment_and_folder_of_who_added_it(queue: Queue, work: Start, tmp_path: Path) -> None:
    job = queue.add(Function("seen"), env={"MINE": "here", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}, cwd="/")
    work()
    assert queue.result(job.id) == [job.id, "here", None, "/"]


def test_a_worker_without_the_app_leaves_a_task_alone(queue: Queue, work: Start) -> None:
    job = queue.add(Function("add", "[1]"))
    other = queue.add(Function("unknown"))
    command = queue.add("true")
    queuectl.Worker(queue).run(until_idle=True)
    assert [queue.get(each.id).state for each in (job, other, command)] == ["pending", "pending", "completed"]
    work()
    assert [queue.get(each.id).state for each in (job, other)] == ["completed", "pending"]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("nothing_there", "No module named"),
        ("broken", "ZeroDivisionError"),
        ("app:absent", "absent"),
        ("a b", "not understood"),
        ("empty", "no tasks"),
    ],
)
def test_an_app_that_cannot_be_used_is_refused_in_one_line(queue: Queue, work: Start, tmp_path: Path, app: str, said: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "empty.py").write_text("")
    done = work(app=app)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_task_outlives_its_killed_worker_and_is_recorded(queue: Queue, tmp_path: Path) -> None:
    job = queue.add(Function("nap", "[2]"))
    env = os.environ | {"QUEUECTL_DB_PATH": queue.place.database}
    command = [sys.executable, "-m", "queuectl", "worker", "start", "--until-idle", "--app", "app"]
    keeper = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    try:
        deadline = monotonic() + 20
        while not (queue.store.attempts(job.number) and queue.store.attempts(job.number)[0].pid):
            assert monotonic() < deadline
            sleep(0.02)
        [row] = queue.store.workers()
        os.kill(row.pid, signal.SIGKILL)
        assert keeper.wait(30) == 0
    finally:
        keeper.kill()
        keeper.wait()
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("completed", 1)
    assert queue.result(job.id) == "rested"


@pytest.mark.usefixtures("forgotten")
def test_a_decorated_function_can_be_called_and_added(queue: Queue) -> None:
    @queue.task(priority=5)
    def double(n: int) -> int:
        """Twice."""
        return 2 * n

    assert double(4) == 8
    assert double.__doc__ == "Twice."
    job = double.add(4)
    assert (job.kind, job.command, job.priority, job.needs) == ("function", "double(4)", 5, "task:double")
    assert queue.add(double.job(5), priority=1).priority == 1


@pytest.mark.usefixtures("forgotten")
def test_names_fields_and_arguments_are_checked_where_they_are_written(queue: Queue) -> None:
    def one() -> None: ...
    def two() -> None: ...

    queue.task(one, name="same")
    with pytest.raises(Conflict):
        queue.task(two, name="same")
    with pytest.raises(InvalidInput):
        queue.task(two, name="no name")
    with pytest.raises(InvalidInput):
        queue.task(two, name="two", priority="high")
    with pytest.raises(InvalidInput):
        queue.task(one, name="same").add({1})
    with pytest.raises(InvalidInput):
        queue.task(one, name="same").add("x" * 60_000)
    assert not queue.find()


def test_many_tasks_are_added_at_once(queue: Queue, work: Start) -> None:
    assert queue.add_many([Function("add", f"[{n}]") for n in range(20)]) == 20
    work("--count", "4")
    assert sorted(queue.result(job.id) for job in queue.find()) == list(range(1, 21))


def test_what_a_task_needs_is_explained(queue: Queue, tmp_path: Path) -> None:
    queue.add(Function("add", "[1]"), id="sum")
    done: Any = subprocess.run(
        [sys.executable, "-m", "queuectl", "explain", "sum"],
        env=os.environ | {"QUEUECTL_DB_PATH": queue.place.database}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0
    assert "no worker" in done.stdout
