"""Looking: status, list, show, logs, metrics, explain, wait, run, worker list; for people and as JSON."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from .conftest import Queuectl, made_once

STATES = ["pending", "processing", "completed", "failed", "dead", "cancelled"]
JOB_MODEL = [
    *("id", "command", "state", "attempts", "max_retries", "created_at", "updated_at", "next_run_at"),
    *("priority", "timeout", "run_at", "started_at", "finished_at", "duration_seconds", "exit_code", "log_file"),
]


@pytest.fixture
def ran(queue: Queuectl) -> Queuectl:
    return made_once(queue, completed_dead_waiting)


def completed_dead_waiting(queue: Queuectl) -> None:
    queue.ok("enqueue", "--id", "good", "--command", "echo 1; echo 2; echo 3")
    queue.ok("enqueue", "--id", "bad", "--command", "echo no >&2; exit 3", "--max-retries", "1")
    queue.drain()
    queue.ok("enqueue", "--id", "next", "--command", "true", "--label", "x", "--queue", "slow")


# ---------------------------------------------------------------- status, list, show


def test_status_shows_every_state_even_when_nothing_is_there(queue: Queuectl) -> None:
    lines = queue.ok("status").splitlines()
    assert [line.split()[:2] for line in lines] == [[state, "0"] for state in STATES] + [["workers", "0"]]


def test_status_as_json_counts_states_and_living_slots(ran: Queuectl) -> None:
    ran.ok("worker-start", "--count", "3", "--queue", "none")
    found = ran.json("status")
    assert {state: found[state] for state in STATES} == dict.fromkeys(STATES, 0) | {"pending": 1, "completed": 1, "dead": 1}
    assert found["active_workers"] == 3


def test_list_as_json_is_one_array_of_the_job_model_newest_first(ran: Queuectl) -> None:
    jobs = ran.json("list")
    assert [job["id"] for job in jobs] == ["next", "bad", "good"]
    assert all(list(job)[: len(JOB_MODEL)] == JOB_MODEL for job in jobs)


def test_list_as_json_is_an_empty_array_when_nothing_matches(queue: Queuectl) -> None:
    assert queue.ok("list", "--json") == "[]\n"
    assert queue.ok("list", "--state", "dead", "--json") == "[]\n"


def test_list_is_a_table_with_a_line_a_job(ran: Queuectl) -> None:
    head, *rows = ran.ok("list").splitlines()
    assert head.split() == ["ID", "STATE", "PRI", "TRIES", "QUEUE", "NOTE", "COMMAND"]
    assert [row.split()[:2] for row in rows] == [["next", "pending"], ["bad", "dead"], ["good", "completed"]]


def test_ls_is_short_for_list(ran: Queuectl) -> None:
    assert ran.ok("ls") == ran.ok("list") and ran.ok("st") == ran.ok("status")


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--state", "dead"], ["bad"]),
        (["--state", "dead,pending"], ["next", "bad"]),
        (["--state", "dead", "--state", "completed"], ["bad", "good"]),
        (["--label", "x"], ["next"]),
        (["--queue", "slow"], ["next"]),
        (["%x"], ["next"]),
        (["@slow"], ["next"]),
        (["1-2"], ["bad", "good"]),
        (["good,next"], ["next", "good"]),
        (["last"], ["next"]),
        (["last-2"], ["next", "bad"]),
        (["all"], ["next", "bad", "good"]),
        (["last-2", "--state", "dead"], ["bad"]),
    ],
    ids=str,
)
def test_one_selection_syntax_says_which_jobs_are_meant(ran: Queuectl, words: list[str], ids: list[str]) -> None:
    assert ran.ok("list", "-q", *words).split() == ids
    assert [job["id"] for job in ran.json("list", *words)] == ids


def test_the_table_shows_the_newest_fifty_and_a_word_on_the_rest(queue: Queuectl) -> None:
    queue.ok("enqueue", "--from", "-", stdin=b"true\n" * 120)
    lines = queue.ok("list").splitlines()
    assert len(lines) == 52 and lines[1].split()[0] == "120" and "70 more" in lines[-1]
    assert len(queue.ok("list", "--all").splitlines()) == 121
    assert len(queue.ok("list", "--limit", "3", "-q").split()) == 3
    assert len(queue.json("list")) == 120 and len(queue.json("list", "--limit", "5")) == 5


def test_commands_of_several_lines_do_not_break_the_table(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "echo one\necho two\r\n\techo three\u2028echo four")
    assert len(queue.ok("list").splitlines()) == 2


def test_show_tells_everything_of_a_job(ran: Queuectl) -> None:
    found = ran.job("bad")
    assert [run["exit_code"] for run in found["attempts_made"]] == [3, 3]
    assert found["history"][0]["event"] == "add" and found["history"][-1]["stage"] == "dead"
    assert {"run", "started_at", "ended_at", "cpu_seconds", "memory_max_bytes"} <= set(found["attempts_made"][0])
    text = ran.ok("show", "bad")
    assert "exit 3" in text and "dead" in text and "echo no" in text


# ---------------------------------------------------------------- logs


def test_logs_give_what_the_job_wrote_and_nothing_else(ran: Queuectl) -> None:
    assert ran.ok("logs", "good") == "1\n2\n3\n"


def test_logs_of_several_runs_can_be_told_apart(ran: Queuectl) -> None:
    done = ran("logs", "bad")
    assert done.out == "no\nno\n" and done.err.count("run ") == 2
    assert ran.ok("logs", "bad", "--attempt", "2") == "no\n"
    assert ran("logs", "bad", "--attempt", "3").rc == 3


def test_tail_gives_the_last_lines(ran: Queuectl) -> None:
    assert ran.ok("logs", "good", "--tail", "2") == "2\n3\n"
    assert ran.ok("logs", "good", "--tail", "0") == ""


def test_logs_of_a_job_that_has_not_run_are_empty(ran: Queuectl) -> None:
    done = ran("logs", "next")
    assert (done.rc, done.out) == (0, "") and "has not run" in done.err


def test_stderr_kept_apart_is_shown_apart(queue: Queuectl) -> None:
    queue.ok("enqueue", '{"command": "echo out; echo err >&2", "stderr_apart": true}')
    queue.drain()
    assert queue.ok("logs", "1") == "out\n" and "err\n" in queue.ok("logs", "1", "--stderr")


def test_logs_follow_a_job_live_over_its_retry_until_it_has_ended(queue: Queuectl) -> None:
    until_told = "until [ -e go ]; do sleep 0.05; done"
    queue.ok("enqueue", "--command", f"echo begin; {until_told}; echo end; test -e flag || {{ touch flag; exit 1; }}")
    following = queue.start("logs", "-f", "1")
    queue.ok("worker-start")
    assert following.stdout and following.stdout.readline() == b"begin\n"
    assert queue.states()["1"] == "processing"
    queue.file("go")
    rest, _ = following.communicate(timeout=60)
    assert (following.returncode, rest) == (0, b"end\nbegin\nend\n")


def test_following_ends_at_once_when_the_job_has_ended(ran: Queuectl) -> None:
    assert ran.ok("logs", "-f", "good") == "1\n2\n3\n"


# ---------------------------------------------------------------- wait, run


def test_wait_gives_the_jobs_own_exit_status(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", "sleep 0.3; exit 7", "--max-retries", "0")
    assert queue("wait", "1", "--timeout", "35").rc == 7
    queue.ok("enqueue", "--command", "kill -9 $$", "--max-retries", "0")
    assert queue("wait", "last", "--timeout", "35").rc == 137
    queue.ok("enqueue", "--command", "true")
    assert queue("wait", "last", "--timeout", "35").rc == 0
    assert queue("wait", "all").rc == 1


def test_wait_for_any_ends_with_the_first(queue: Queuectl) -> None:
    queue.ok("worker-start", "--count", "2")
    queue.ok("enqueue", "--command", "sleep 60")
    queue.ok("enqueue", "--command", "true")
    assert queue("wait", "1", "2", "--any", "--timeout", "20").rc == 0


def test_wait_that_takes_too_long_ends_124_and_says_that_nobody_runs(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    began = time.monotonic()
    done = queue("wait", "1", "--timeout", "0.3")
    assert done.rc == 124 and 0.3 <= time.monotonic() - began < 10 and "queuectl worker start" in done.err


def test_run_adds_follows_and_ends_like_the_job(queue: Queuectl) -> None:
    queue.ok("worker-start")
    done = queue("run", "--", "sh", "-c", "echo hello; exit 5")
    assert (done.rc, done.out) == (5, "hello\n")
    assert queue.job("1")["attempts"] == 1


def test_ctrl_c_leaves_the_job_of_run_running(queue: Queuectl) -> None:
    queue.ok("worker-start")
    running = queue.start("run", "--command", "echo on; sleep 1.5; echo off")
    assert running.stdout and running.stdout.readline() == b"on\n"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 130 and b"goes on" in err and b"Traceback" not in err
    assert queue("wait", "1", "--timeout", "35").rc == 0


# ---------------------------------------------------------------- metrics, explain, workers


def test_metrics_tell_rate_durations_and_throughput(ran: Queuectl) -> None:
    found = ran.json("metrics")
    assert (found["completed"], found["dead"], found["success_rate"], found["runs"], found["runs_failed"]) == (1, 1, 0.5, 3, 2)
    assert 0 < found["average_duration_seconds"] < 5 and set(found["duration_percentiles"]) == {"p50", "p90", "p99"}
    assert found["throughput_per_minute"]["1h"] > 0 and "default" in found["queues"]
    text = ran.ok("metrics")
    assert "50.0%" in text and "average duration" in text and "throughput" in text


def test_metrics_of_an_empty_queue_are_no_error(queue: Queuectl) -> None:
    assert queue.json("metrics")["success_rate"] is None
    assert "success rate" in queue.ok("metrics")


def test_explain_says_why_a_job_waits(queue: Queuectl) -> None:
    queue.ok("enqueue", "--id", "ready", "--command", "true")
    queue.ok("enqueue", "--id", "later", "--command", "true", "--delay", "1h")
    queue.ok("enqueue", "--id", "held", "--command", "true")
    queue.ok("enqueue", "--id", "paused", "--command", "true", "--queue", "p")
    queue.ok("hold", "held")
    queue.ok("queue", "pause", "p")
    expected = {"ready": "no worker is running", "later": "due", "held": "held", "paused": "paused"}
    for job, reason in expected.items():
        assert reason in queue.ok("explain", job)
        assert any(reason in why for why in queue.json("explain", job)["reasons"])


def test_explain_tells_how_an_ended_job_ended(ran: Queuectl) -> None:
    assert "completed" in ran.ok("explain", "good") and "exit status 3" in ran.ok("explain", "bad")


def test_worker_list_tells_who_runs_since_when_on_what(queue: Queuectl) -> None:
    assert queue.ok("worker", "list", "--json") == "[]\n"
    queue.ok("worker-start", "--count", "2", "--queue", "a,b")
    queue.ok("enqueue", "--id", "mine", "--queue", "a", "--command", "sleep 30")
    queue.until(lambda: queue.states()["mine"] == "processing")
    [worker] = queue.json("worker", "list")
    assert (worker["slots"], sorted(worker["queues"]), worker["running"]) == (2, ["a", "b"], ["mine"])
    assert Path(f"/proc/{worker['pid']}").exists() and worker["started_at"].endswith("Z")
    assert "mine" in queue.ok("worker", "list")


JSON_COMMANDS = ["status", "list", "show good", "dlq list", "config list", "config get max_retries", "metrics", "explain next"]


@pytest.mark.parametrize("words", [*JSON_COMMANDS, "worker list", "queue list", "cancel next", "dlq retry bad"])
def test_with_json_stdout_is_exactly_one_json_value(ran: Queuectl, words: str) -> None:
    json.loads(ran.ok(*words.split(), "--json"))
