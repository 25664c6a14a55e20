"""The library and the command line against a server: the same verbs, the same answers, the same refusals."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from behaviour.harness import eventually

import queuectl
from queuectl import NotFound, codec, ops
from queuectl.model import Argv, Options, Query, Shell, Spec
from queuectl.remote import RemoteQueue
from queuectl.remote_nouns import body_of

from .conftest import PATIENCE_S, Server


@pytest.fixture(scope="module", params=["unix", "tcp"])
def remote(request: pytest.FixtureRequest, server: Server) -> Iterator[RemoteQueue]:
    url = f"http+unix://{server.socket}" if request.param == "unix" else f"http://127.0.0.1:{server.port}"
    queue = queuectl.open(url, token=server.token if request.param == "tcp" else "")
    assert isinstance(queue, RemoteQueue)
    yield queue
    queue.close()


def test_a_job_is_added_waited_for_and_read(remote: RemoteQueue) -> None:
    job = remote.add(["echo", "a b"], priority=4, label="client")
    assert (job.command, job.priority, job.label, job.kind) == ("echo 'a b'", 4, "client", "argv")
    [ended] = remote.wait(job.id, timeout=20)
    assert (ended.state, ended.exit_code, ended.ended) == ("completed", 0, True)
    assert b"".join(remote.logs(job.id)) == b"a b\n"
    assert [attempt.exit_code for attempt in remote.attempts(ended)] == [0]
    assert [entry.event for entry in remote.history(ended)][-1] == "finish"


def test_what_a_task_returned_is_read_from_afar(remote: RemoteQueue) -> None:
    job = remote.add("seq 30000; echo 'queuectl-result: {\"width\": 9}'")
    remote.wait(job.id, timeout=PATIENCE_S)
    assert remote.result(job.id) == {"width": 9}
    nothing = remote.add("echo hello")
    remote.wait(nothing.id, timeout=PATIENCE_S)
    with pytest.raises(NotFound, match="left no result"):
        remote.result(nothing.id)


def test_many_jobs_are_added_and_found(remote: RemoteQueue) -> None:
    label = f"found-{id(remote)}"
    assert remote.add_many(["true"] * 30, label=label, delay=1000) == 30
    found = remote.find(Query(label=label))
    assert len(found) == remote.count(Query(label=label)) == 30
    assert [job.number for job in found] == sorted([job.number for job in found], reverse=True)
    assert len(remote.find(Query(label=label, limit=7))) == 7
    first = found[-1].number
    assert {job.number for job in remote.find(Query(ranges=((first, first + 2),)))} == {first, first + 1, first + 2}
    assert len(remote.cancel(Query(label=label))) == 30
    assert len(remote.prune(Query(label=label))) == 30


def test_a_waiting_job_is_held_released_edited_and_cancelled(remote: RemoteQueue) -> None:
    job = remote.add("true", delay=1000)
    assert remote.hold(job.id)[0].stage == "held"
    assert remote.release(job.id)[0].stage == "later"
    assert remote.edit(job.id, priority=8).priority == 8
    assert remote.cancel(job.id)[0].state == "cancelled"
    assert remote.wait(remote.rerun(job.id).id)[0].state == "completed"


def test_refusals_are_the_same_errors(remote: RemoteQueue) -> None:
    with pytest.raises(queuectl.NotFound, match="there is no job"):
        remote.get("nobody")
    with pytest.raises(queuectl.InvalidInput) as refusal:
        remote.add("true", priority="high")
    assert refusal.value.field == "priority"
    done = remote.add("true")
    remote.wait(done.id)
    with pytest.raises(queuectl.Conflict):
        remote.cancel(done.id)
    with pytest.raises(queuectl.WaitTimeout):
        remote.wait(remote.add("true", delay=1000).id, timeout=0.2)
    with pytest.raises(queuectl.NotAllowed, match="needs the store itself"):
        remote.store.counts()


def test_the_settings_are_the_servers(remote: RemoteQueue) -> None:
    assert remote.settings.set("max-retries", "5") == 5
    assert remote.settings.read().max_retries == 5
    remote.settings.unset("max_retries")
    assert remote.settings.read().max_retries == 3


def test_a_wrong_token_is_told(server: Server) -> None:
    with pytest.raises(queuectl.NotAllowed, match="QUEUECTL_TOKEN"):
        queuectl.open(f"http://127.0.0.1:{server.port}", token="wrong").get(1)


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(queuectl.TryAgainLater, match="does not answer"):
        queuectl.open("http://127.0.0.1:9").get(1)


@pytest.mark.parametrize("url", ["http://", "http+unix://relative", "http://user:pass@host:1", "http://h:port", "https:///x"])
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(queuectl.InvalidInput):
        queuectl.open(url)


def test_every_field_of_a_job_can_be_sent() -> None:
    """Whatever a Spec may hold arrives as it was: a field that is added later must be in the tables of the API."""
    assert set(ops.JOB_FIELDS) >= set(codec.FIELDS)
    options = Options(
        if_interrupted="hold", no_retry=(3, 4), grace_s=2.0, memory=5, processes=6, cpu_time_s=7.0, nice=8, max_output=9
    )
    spec = Spec(
        *(Argv(("a", "b")), "x", "q", 1, 2, 3.0, 4.0),
        key="k",
        label="l",
        where=("gpu",),
        limit_key="lk",
        cwd="/tmp",
        umask=7,
        env={"A": "b"},
        options=options.but(stderr_apart=True, leftovers="kill"),
    )
    assert codec.spec_from_object(json.loads(json.dumps(body_of(spec)))) == spec
    timed = Spec(work=Shell("x"), run_at_us=1_700_000_000_123_456)
    assert codec.spec_from_object(body_of(timed)) == timed


# ---------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def ctl(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    def call(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return server.queuectl(*words, env={"QUEUECTL_URL": f"http://127.0.0.1:{server.port}", "QUEUECTL_TOKEN": token}, **more)

    token = server.token
    return call


Ctl = Callable[..., subprocess.CompletedProcess[str]]


def test_the_everyday_commands_work_against_a_server(ctl: Ctl) -> None:
    job = ctl("enqueue", "--label", "cli", "--", "echo", "over http").stdout.strip().split()[-1]
    assert ctl("wait", job, "--timeout", "20").returncode == 0
    assert ctl("logs", job).stdout == "over http\n"
    assert json.loads(ctl("show", job, "--json").stdout)["state"] == "completed"
    assert job in ctl("list", "--label", "cli").stdout
    assert json.loads(ctl("status", "--json").stdout)["completed"] >= 1
    assert "completed" in ctl("explain", job).stdout
    assert ctl("metrics", "--json").returncode == 0
    assert "default" in ctl("queue", "list").stdout
    assert json.loads(ctl("worker", "list", "--json").stdout)[0]["slots"] == 2


def test_run_ends_with_the_jobs_own_exit_status(ctl: Ctl) -> None:
    done = ctl("run", "--command", "echo out; exit 7")
    assert (done.returncode, done.stdout.endswith("out\n")) == (7, True)


def test_jobs_are_changed_from_the_command_line(ctl: Ctl) -> None:
    added = ctl("enqueue", "--from", "-", "--delay", "1000", "--label", "cli-many", input="true\n" * 5)
    assert added.returncode == 0, added
    assert len(ctl("hold", "%cli-many").stdout.split()) == 5
    assert len(ctl("release", "%cli-many").stdout.split()) == 5
    assert len(ctl("cancel", "%cli-many").stdout.split()) == 5
    assert "5 jobs" in ctl("clean", "%cli-many").stderr
    dead = ctl("enqueue", "--max-retries", "0", "--command", "exit 3").stdout.strip().split()[-1]
    assert ctl("wait", dead).returncode == 3
    assert dead in ctl("dlq", "list").stdout
    assert ctl("dlq", "retry", dead).returncode == 0
    eventually(lambda: dead in ctl("dlq", "list").stdout)


def test_queues_limits_and_settings_are_changed_from_the_command_line(ctl: Ctl) -> None:
    assert ctl("queue", "pause", "night").returncode == 0
    assert ctl("queue", "limit", "night", "2", "--rate", "10/s").returncode == 0
    [row] = [row for row in json.loads(ctl("queue", "list", "--json").stdout) if row["queue"] == "night"]
    assert (row["paused"], row["parallel"], row["rate"]) == (True, 2, "10/s")
    assert ctl("queue", "resume", "night").returncode == 0
    assert ctl("limit", "set", "host:443", "--parallel", "3").returncode == 0
    assert json.loads(ctl("limit", "list", "--json").stdout)[0]["key"] == "host:443"
    assert ctl("limit", "remove", "host:443").returncode == 0
    assert ctl("config", "set", "kill_grace", "3").stdout == "kill_grace = 3\n"
    assert ctl("config", "unset", "kill_grace").returncode == 0


HERE_ONLY = (["backup", "x"], ["worker", "start"], ["doctor"], ["serve"], ["init"], ["enqueue", "--stdin", "--", "cat"])


@pytest.mark.parametrize("words", HERE_ONLY)
def test_what_needs_the_store_says_so_in_one_line(ctl: Ctl, words: list[str]) -> None:
    refused = ctl(*words)
    assert refused.returncode == 4, refused
    assert len(refused.stderr.splitlines()) == 1
    assert "store itself" in refused.stderr or "server" in refused.stderr


def test_a_server_that_is_not_there_costs_one_line(server: Server) -> None:
    refused = server.queuectl("status", env={"QUEUECTL_URL": "http://127.0.0.1:9"})
    assert refused.returncode == 75
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("remotely", [False, True])
def test_a_waiting_job_is_edited_and_any_job_run_again_from_the_command_line(server: Server, ctl: Ctl, remotely: bool) -> None:
    call = ctl if remotely else server.queuectl
    job = call("enqueue", "--delay", "1000", "--command", "false").stdout.strip().split()[-1]
    edited = json.loads(call("edit", job, "--priority", "7", "--label", "new", "--json", "--", "echo", "a b").stdout)
    assert (edited["priority"], edited["label"], edited["argv"]) == (7, "new", ["echo", "a b"])
    assert call("edit", job, "--delay", "0").returncode == 0
    assert call("wait", job, "--timeout", "20").returncode == 0
    again = call("rerun", job).stdout.strip()
    assert again != job
    assert call("wait", again, "--timeout", "20").returncode == 0
    assert call("logs", again).stdout == "a b\n"
    assert call("edit", job, "--priority", "1").returncode == 5
    assert call("edit", job).returncode == 2
