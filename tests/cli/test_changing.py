"""Changing: cancel, hold, release, retry, the dead-letter queue, clean, queues, settings."""

from __future__ import annotations

import json

import pytest

from .conftest import Queuectl, is_alive


@pytest.fixture
def three(queue: Queuectl) -> Queuectl:
    """A queue with three waiting jobs."""
    for n in (1, 2, 3):
        queue.ok("enqueue", "--command", f"echo {n}", "--label", "odd" if n % 2 else "even")
    return queue


@pytest.fixture
def dead(queue: Queuectl) -> Queuectl:
    """A queue with two dead jobs."""
    for name in ("d1", "d2"):
        queue.ok("enqueue", "--id", name, "--command", "test -e flag", "--max-retries", "1")
    queue.drain("--count", "2")
    return queue


# ---------------------------------------------------------------- verbs


def test_cancelled_jobs_never_run(three: Queuectl) -> None:
    assert three.ok("cancel", "1-2").split() == ["2", "1"]
    three.drain()
    assert three.states() == {"1": "cancelled", "2": "cancelled", "3": "completed"}


def test_cancelling_a_running_job_ends_its_whole_tree(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", "sleep 60 & echo $! > pid; wait")
    queue.until(lambda: (queue.folder / "pid").exists() and (queue.folder / "pid").read_text())
    queue.ok("cancel", "1")
    queue("wait", "1", "--timeout", "35")
    assert queue.states() == {"1": "cancelled"} and not is_alive(int((queue.folder / "pid").read_text()))


def test_held_jobs_wait_for_their_release(three: Queuectl) -> None:
    three.ok("hold", "%odd")
    three.drain()
    assert three.states() == {"1": "pending", "2": "completed", "3": "pending"}
    three.ok("release", "all")
    three.drain()
    assert set(three.states().values()) == {"completed"}


def test_retry_runs_ended_and_waiting_failures_again(queue: Queuectl) -> None:
    queue.ok("config", "set", "backoff_base", "300")
    queue.ok("enqueue", "--command", "test -e flag")
    queue.ok("enqueue", "--command", "test -e flag", "--max-retries", "0")
    queue.ok("worker-start", "--count", "2")
    queue.until(lambda: queue.states() == {"1": "failed", "2": "dead"})
    queue.file("flag")
    queue.ok("retry", "1", "2")
    assert queue("wait", "all", "--timeout", "35").rc == 0
    assert queue.ok("requeue", "--state", "dead") == ""


@pytest.mark.parametrize("verb", ["cancel", "hold"])
def test_a_dry_run_says_which_and_changes_nothing(three: Queuectl, verb: str) -> None:
    done = three(verb, "%odd", "--dry-run")
    assert done.out.split() == ["3", "1"] and "2 jobs" in done.err
    assert set(three.states().values()) == {"pending"} and three.json("show", "1")["waiting_for"] == "slot"


# ---------------------------------------------------------------- dead-letter queue


def test_the_dead_letter_queue_lists_dead_jobs_and_only_those(dead: Queuectl) -> None:
    dead.ok("enqueue", "--command", "true")
    assert [job["id"] for job in dead.json("dlq", "list")] == ["d2", "d1"]
    assert "d1" in dead.ok("dlq", "list") and "d2" in dead.ok("dlq", "list")


def test_an_empty_dead_letter_queue_says_so(queue: Queuectl) -> None:
    assert "empty" in queue.ok("dlq", "list") and queue.json("dlq", "list") == []


def test_a_dead_job_retried_is_pending_due_now_with_no_attempts(dead: Queuectl) -> None:
    assert dead.ok("dlq", "retry", "d1") == "d1\n"
    job = dead.job("d1")
    assert (job["state"], job["attempts"], job["next_run_at"], job["max_retries"]) == ("pending", 0, None, 1)
    dead.file("flag")
    dead.drain()
    assert dead.states() == {"d1": "completed", "d2": "dead"}


def test_all_dead_jobs_can_be_retried_at_once(dead: Queuectl) -> None:
    assert sorted(dead.ok("dlq", "retry", "--all").split()) == ["d1", "d2"]
    assert dead.json("dlq", "list") == []


def test_a_retry_of_several_with_one_that_is_not_dead_changes_none(dead: Queuectl) -> None:
    dead.ok("enqueue", "--id", "alive", "--command", "true")
    assert dead("dlq", "retry", "d1", "alive").rc == 5
    assert dead.states()["d1"] == "dead"


# ---------------------------------------------------------------- clean


@pytest.mark.engine("sqlite")
def test_clean_removes_ended_jobs_with_their_logs_and_never_reuses_a_number(three: Queuectl) -> None:
    three.drain()
    three.ok("enqueue", "--command", "true", "--delay", "1h")
    done = three("clean", "all")
    assert done.rc == 0 and "3 jobs" in done.err
    assert list(three.states()) == ["4"] and list((three.folder / "job_logs").iterdir()) == []
    assert three.ok("enqueue", "--command", "true") == "5\n"
    assert three("clean", "4").rc == 5


def test_a_chosen_id_is_free_again_after_clean_and_its_log_is_gone(queue: Queuectl) -> None:
    queue.ok("enqueue", "--id", "a", "--command", "echo old")
    queue.drain()
    queue.ok("rm", "a")
    queue.ok("enqueue", "--id", "a", "--command", "echo new")
    queue.drain()
    assert queue.ok("logs", "a") == "new\n"


def test_clean_can_be_tried_and_can_spare_the_young(three: Queuectl) -> None:
    three.drain()
    done = three("clean", "--state", "completed", "--dry-run")
    assert done.out.split() == ["3", "2", "1"] and "would" in done.err
    assert "0 jobs" in three("clean", "--older", "1h").err
    assert len(three.states()) == 3


# ---------------------------------------------------------------- queues


def test_a_paused_queue_starts_nothing_until_it_is_resumed(queue: Queuectl) -> None:
    queue.ok("enqueue", "--queue", "slow", "--command", "true")
    queue.ok("queue", "pause", "slow")
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", "true")
    queue.ok("wait", "2", "--timeout", "35")
    assert queue.states()["1"] == "pending" and "slow" in queue.ok("status")
    queue.ok("queue", "resume", "slow")
    queue.ok("wait", "1", "--timeout", "35")


def test_a_queues_limit_holds_across_slots(queue: Queuectl) -> None:
    queue.ok("queue", "limit", "one", "1")
    alone = "mkdir alone || exit 9; sleep 0.2; rmdir alone"
    queue.ok("enqueue", "--from", "-", "--queue", "one", "--max-retries", "0", stdin=f"{alone}\n".encode() * 4)
    queue.drain("--count", "4")
    assert set(queue.states().values()) == {"completed"}
    assert queue.json("queue", "list")[0]["parallel"] == 1
    queue.ok("queue", "limit", "one", "none")
    assert queue.json("queue", "list")[0]["parallel"] is None


def test_queue_list_counts_each_queue(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    queue.ok("enqueue", "--queue", "b", "--command", "true")
    assert {q["queue"]: q["pending"] for q in queue.json("queue", "list")} == {"default": 1, "b": 1}
    assert "default" in queue.ok("queue", "list") and queue.ok("queue", "list", "-q").split() == ["b", "default"]


# ---------------------------------------------------------------- settings


def test_settings_begin_with_the_documented_values(queue: Queuectl) -> None:
    queue.ok("config", "unset", "backoff_base")
    assert [queue.ok("config", "get", name).strip() for name in ("max_retries", "backoff_base", "job_timeout")] == ["3", "2", "0"]


@pytest.mark.engine("sqlite")
def test_a_setting_is_stored_as_typed_json_beside_the_database(queue: Queuectl) -> None:
    queue.ok("config", "set", "max-retries", "5")
    queue.ok("config", "set", "backoff_base", "1.5")
    assert json.loads((queue.folder / "queuectl_config.json").read_text()) == {"max_retries": 5, "backoff_base": 1.5}
    assert queue.ok("config", "get", "max-retries") == "5\n" and queue.json("config", "get", "max_retries") == 5


def test_a_retry_limit_holds_for_jobs_added_afterwards(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "false")
    queue.ok("config", "set", "max_retries", "0")
    queue.ok("enqueue", "--command", "false")
    assert [job["max_retries"] for job in queue.json("list")] == [0, 3]


def test_unset_brings_the_built_in_value_back(queue: Queuectl) -> None:
    queue.ok("config", "set", "max_retries", "9")
    queue.ok("config", "unset", "max_retries")
    assert queue.ok("config", "get", "max_retries") == "3\n"


def test_config_list_shows_every_setting(queue: Queuectl) -> None:
    found = queue.json("config", "list")
    assert {"max_retries", "backoff_base", "job_timeout", "capture_env"} <= set(found)
    assert all(name in queue.ok("config", "list") for name in found)


@pytest.mark.engine("sqlite")
def test_a_hand_edited_file_is_honoured(queue: Queuectl) -> None:
    queue.file("queuectl_config.json", b'\xef\xbb\xbf{"max-retries": 1}')
    queue.ok("enqueue", "--command", "true")
    assert queue.job("1")["max_retries"] == 1


@pytest.mark.engine("sqlite")
@pytest.mark.parametrize("content", ["{", "[]", '{"max_retries": -1}', '{"max_retrys": 1}', "\udcff", ""], ids=repr)
def test_a_broken_file_is_reported_and_never_overwritten(queue: Queuectl, content: str) -> None:
    path = queue.file("queuectl_config.json", content.encode("utf-8", "surrogateescape"))
    for words in (["enqueue", "--command", "true"], ["config", "set", "max_retries", "1"], ["worker", "start", "--until-idle"]):
        done = queue(*words)
        assert done.rc == 7 and "queuectl_config.json" in done.err and done.err.count("\n") == 1
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")
    assert queue.ok("list", "--json") == "[]\n"
