"""Jobs out of one queue and into another: exports, and the databases of the programs that came before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Queuectl, made_once

Opener = Callable[..., Queuectl]


def lines(queue: Queuectl, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in queue.ok("export", *words).splitlines()]


def move(source: Queuectl, target: Queuectl, *words: str) -> str:
    return target.ok("import", "-", stdin=source.ok("export", *words).encode())


@pytest.fixture
def full(queue: Queuectl) -> Queuectl:
    return made_once(queue, in_every_state)


def in_every_state(queue: Queuectl) -> None:
    queue.ok("enqueue", "--id", "done", "--command", "echo é", "--priority", "3", "--label", "x", "--no-retry", "4,5")
    queue.ok("enqueue", "--command", "exit 3", "--max-retries", "0", "--grace", "2")
    queue.ok("config", "set", "backoff_base", "400")
    queue.ok("enqueue", "--id", "failed", "--command", "false")
    queue.ok("worker-start", "--count", "2")
    queue.until(lambda: queue.states() == {"done": "completed", "2": "dead", "failed": "failed"})
    queue.ok("worker-stop")
    queue.ok("enqueue", "--", "echo", "a b")
    queue.ok("enqueue", "--id", "later", "--command", "true", "--run-at", "2031-01-01T00:00:00.250Z")
    queue.ok("enqueue", "--id", "held", "--command", "true", "--key", "k")
    queue.ok("enqueue", "--id", "gone", "--command", "true")
    queue.ok("hold", "held")
    queue.ok("cancel", "gone")


def test_an_export_imported_elsewhere_and_exported_again_is_the_same(full: Queuectl, open_queue: Opener) -> None:
    other = open_queue()
    assert move(full, other) == "7\n"
    assert lines(other) == lines(full)
    assert other.states() == full.states() and other.json("status")["dead"] == 1


def test_exported_times_are_exact_to_the_microsecond(full: Queuectl) -> None:
    [later] = lines(full, "later")
    assert later["next_run_at"] == "2031-01-01T00:00:00.250000Z"
    assert all(len(job["created_at"]) == len("2031-01-01T00:00:00.250000Z") for job in lines(full))


def test_an_export_takes_the_selection_of_every_verb_oldest_first(full: Queuectl) -> None:
    assert [job["id"] for job in lines(full, "--state", "dead,failed")] == ["2", "failed"]
    assert [job["id"] for job in lines(full, "last-2")] == ["held", "gone"]


def test_the_environment_is_left_out_unless_it_is_asked_for(queue: Queuectl, open_queue: Opener) -> None:
    queue.ok("enqueue", "--command", "echo $MINE", env={"MINE": "kept", "A_SECRET": "s3"})
    assert "s3" not in queue.ok("export") and "env" not in lines(queue)[0]
    other = open_queue()
    move(queue, other, "--with-env")
    other.drain()
    assert other.ok("logs", "1") == "kept\n"


def test_stored_standard_input_moves_with_its_job(queue: Queuectl, open_queue: Opener) -> None:
    queue.ok("enqueue", "--stdin", "--command", "cat", stdin=b"\0\xff payload")
    other = open_queue()
    move(queue, other)
    other.drain()
    assert other.ok("logs", "1").encode("utf-8", "surrogateescape") == b"\0\xff payload"


def test_imported_jobs_run_in_the_order_they_had(queue: Queuectl, open_queue: Opener) -> None:
    queue.ok("enqueue", "--from", "-", stdin=b"".join(b"echo %d >> ran\n" % n for n in range(300)))
    other = open_queue()
    move(queue, other)
    other.drain()
    assert (queue.folder / "ran").read_text().split() == [str(n) for n in range(300)]


@pytest.mark.parametrize("state", ["completed", "failed", "dead", "cancelled", "pending"])
@pytest.mark.wide
def test_an_imported_job_can_be_worked_with_like_any_other(queue: Queuectl, state: str) -> None:
    job = {"id": "x", "command": "echo again", "state": state, "attempts": 2, "max_retries": 3}
    queue.ok("import", "-", stdin=json.dumps(job).encode())
    assert queue.job("x")["attempts"] == 2
    if state in ("dead", "cancelled"):
        queue.ok("retry", "x")
    queue.drain()
    assert queue.states() == {"x": "completed"}
    queue.ok("clean", "x")
    assert queue.json("status")["completed"] == 0


def test_a_job_that_was_running_waits_after_the_import(queue: Queuectl) -> None:
    queue.ok("import", "-", stdin=b'{"id": "x", "command": "true", "state": "processing", "attempts": 0}')
    assert queue.states() == {"x": "pending"}


def test_an_id_that_exists_refuses_the_whole_import(full: Queuectl, open_queue: Opener) -> None:
    other = open_queue()
    other.ok("enqueue", "--id", "gone", "--command", "mine")
    done = other("import", "-", stdin=full.ok("export").encode())
    assert (done.rc, done.out) == (5, "") and "job gone exists" in done.err
    assert [job["command"] for job in other.json("list")] == ["mine"]
    assert other.json("status")["dead"] == 0


def test_a_bad_line_anywhere_refuses_the_whole_import_and_is_named(queue: Queuectl) -> None:
    good = b"".join(b'{"id": "j%d", "command": "true"}\n' % n for n in range(400))
    for bad in (b'{"id": "../evil", "command": "x"}', b'{"command": "x", "state": "gone"}', b"{", b'{"cmmand": "x"}', b"\xff"):
        done = queue("import", "-", stdin=good + bad)
        assert done.rc == 2 and "401" in done.err and "Traceback" not in done.err
    assert queue.json("list") == []


def test_numbers_never_used_here_are_kept_and_used_ones_become_ids(queue: Queuectl, open_queue: Opener) -> None:
    for _ in range(3):
        queue.ok("enqueue", "--command", "true")
    other = open_queue()
    other.ok("enqueue", "--id", "mine", "--command", "true")
    move(queue, other)
    assert {job["id"]: job["number"] for job in other.json("list")} == {"mine": 1, "1": 2, "2": 3, "3": 4}
    assert other.ok("enqueue", "--command", "true") == "5\n"


def test_what_list_prints_as_json_can_be_imported(full: Queuectl, open_queue: Opener) -> None:
    other = open_queue()
    other.ok("import", "-", stdin=full.ok("list", "--json").encode())
    assert other.json("list")[0]["id"] == "gone" and other.states() | {"held": ""} == full.states() | {"held": ""}


# ---------------------------------------------------------------- jobs_database.json

LOWER = {
    "_default": {"1": {"id": "first", "command": "echo 1", "state": "pending", "attempts": 0, "max_retries": 3, "priority": 1}},
    "jobs": {
        "1": {"id": "run", "command": "echo 2", "state": "processing", "attempts": 0, "max_retries": 3},
        "2": {"id": "ok", "command": "echo 3", "state": "completed", "attempts": 1, "finished_at": "2025-11-08T14:00:00.5"},
        "10": {"id": "again", "command": "echo 4", "state": "failed", "attempts": 2, "run_at": "2031-11-08T14:00:00Z"},
    },
    "dlq": {"1": {"id": "dead1", "command": "false", "attempts": 4, "max_retries": 3, "error": "exit\n1"}},
    "dead_letter_queue": {"7": {"id": "dead2", "command": "false"}},
    "config": {"1": {"key": "max_retries", "value": 7}, "2": {"backoff-base": "3"}},
}
# As the program of the second document writes it: names of tables and settings in its own spelling, 10 as the ordinary
# priority and the smaller running first.
GENUINE = {
    "Jobs": {
        "1": {
            "id": "plain",
            "command": "echo plain >> ran",
            "state": "pending",
            "attempts": 0,
            "max_retries": 3,
            "created_at": "2025-11-08T10:00:00.123456+00:00",
            "updated_at": "2025-11-08T10:00:00.123456+00:00",
            "priority": 10,
            "timeout": 300,
            "run_at": "2025-11-08T10:00:00.123456+00:00",
            "log_file": "logs/plain.log",
            "started_at": None,
            "finished_at": None,
            "duration_seconds": None,
            "output": None,
        },
        "2": {"id": "important", "command": "echo important >> ran", "state": "pending", "attempts": 0, "priority": 1},
    },
    "DLQ": {"1": {"id": "lost", "command": "badcommand", "state": "dead", "attempts": 3, "output": "not found"}},
    "Config": {"1": {"key": "maxRetries", "value": 5}, "2": {"key": "backoffBase", "value": 4}},
}


def test_a_jobs_database_is_imported_with_its_dead_letters_and_configuration(queue: Queuectl) -> None:
    path = queue.file("jobs_database.json", json.dumps(LOWER))
    assert queue.ok("import", str(path)) == "6\n"
    found = {job["id"]: (job["state"], job["attempts"]) for job in queue.json("list")}
    assert found == {
        "first": ("pending", 0),
        "run": ("pending", 0),
        "ok": ("completed", 1),
        "again": ("failed", 2),
        "dead1": ("dead", 4),
        "dead2": ("dead", 4),
    }
    assert {job["id"] for job in queue.json("dlq", "list")} == {"dead1", "dead2"}
    assert queue.ok("config", "get", "max_retries") == "7\n" and queue.ok("config", "get", "backoff_base") == "3\n"
    assert queue.job("ok")["finished_at"] == "2025-11-08T14:00:00Z" and queue.job("again")["next_run_at"]


def test_the_database_of_the_documents_own_program_keeps_the_order_of_its_priorities(queue: Queuectl) -> None:
    done = queue("import", str(queue.file("jobs_database.json", json.dumps(GENUINE, indent=4))))
    assert (done.rc, done.out) == (0, "3\n") and "priorities" in done.err and "output" in done.err
    queue.drain()
    assert (queue.folder / "ran").read_text().split() == ["important", "plain"]
    assert queue.ok("config", "get", "max_retries") == "5\n"
    assert queue.job("plain")["created_at"] == "2025-11-08T10:00:00Z" and queue.states()["lost"] == "dead"


def test_an_imported_dead_letter_can_be_retried(queue: Queuectl) -> None:
    queue.ok("import", "-", stdin=json.dumps(GENUINE).encode())
    queue.ok("dlq", "retry", "lost")
    job = queue.job("lost")
    assert (job["state"], job["attempts"]) == ("pending", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobs": {"1": {"id": "a", "command": "true"}, "2": {"id": "a", "command": "true"}}},
        {"jobs": {"1": {"id": "a", "command": "true"}, "2": {"id": "../evil", "command": "true"}}},
        {"jobs": {"1": {"id": "a", "command": "true"}, "2": {"id": "b"}}},
        {"jobs": {"1": {"id": "a", "command": "true"}}, "config": {"1": {"key": "max_retries", "value": -1}}},
        {"jobs": 5},
        [5],
        5,
        {"jobs": {"1": {"id": "a", "command": "true", "created_at": "yesterday"}}},
    ],
    ids=str,
)
def test_a_damaged_jobs_database_changes_nothing_at_all(queue: Queuectl, wrong: Any) -> None:
    done = queue("import", "-", stdin=json.dumps(wrong).encode())
    assert done.rc in (2, 5) and done.err.count("\n") == 1 and "Traceback" not in done.err, done
    assert queue.json("list") == [] and queue.ok("config", "get", "max_retries") == "3\n"


def test_an_empty_database_is_an_import_of_nothing(queue: Queuectl) -> None:
    assert queue.ok("import", "-", stdin=b'{"_default": {}}') == "0\n"
