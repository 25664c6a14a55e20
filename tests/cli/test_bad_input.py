"""What is refused: a line that says what and why, the right exit status, nothing stored, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Queuectl, Result

BAD_JOBS = {
    "not JSON": "{'id': 'a'}",
    "what PowerShell leaves of JSON": "{id:a,command:sleep 2}",
    "empty": "",
    "blank": "  ",
    "a list": "[]",
    "a text": '"sleep 2"',
    "a number": "5",
    "null": "null",
    "cut off": '{"id":"a","command":"tr',
    "two values": '{"command":"a"} {"command":"b"}',
    "a key twice": '{"command":"a","command":"b"}',
    "NaN": '{"command":"a","timeout":NaN}',
    "nested too deeply": "[" * 100_000,
    "no command": '{"id":"a"}',
    "an empty command": '{"command":""}',
    "a blank command": '{"command":"  \\n"}',
    "a number as command": '{"command":5}',
    "a list as command": '{"command":["a"]}',
    "null as command": '{"command":null}',
    "a NUL byte": '{"command":"a\\u0000b"}',
    "half a character": '{"command":"\\ud800"}',
    "two commands": '{"command":"a","argv":["b"]}',
    "empty argv": '{"argv":[]}',
    "number in argv": '{"argv":["a",1]}',
    "an unknown key": '{"command":"a","comand":"b"}',
    "a state": '{"command":"a","state":"completed"}',
    "attempts": '{"command":"a","attempts":1}',
    "a timestamp": '{"command":"a","created_at":"2025-01-01T00:00:00Z"}',
    "negative retries": '{"command":"a","max_retries":-1}',
    "retries in text": '{"command":"a","max_retries":"many"}',
    "half a retry": '{"command":"a","max_retries":1.5}',
    "true as a number": '{"command":"a","max_retries":true}',
    "huge retries": '{"command":"a","max_retries":99999999999999999999}',
    "endless digits": '{"command":"a","priority":' + "9" * 5000 + "}",
    "infinite priority": '{"command":"a","priority":1e400}',
    "negative timeout": '{"command":"a","timeout":-1}',
    "huge timeout": '{"command":"a","timeout":1e300}',
    "negative delay": '{"command":"a","delay":-5}',
    "delay and run_at": '{"command":"a","delay":5,"run_at":"2031-01-01"}',
    "no time": '{"command":"a","run_at":"tomorrow"}',
    "no such day": '{"command":"a","run_at":"2025-02-30T00:00:00Z"}',
    "a time as number": '{"command":"a","run_at":5}',
    "an id that leaves its folder": '{"id":"../evil","command":"a"}',
    "an absolute id": '{"id":"/etc/passwd","command":"a"}',
    "an id with a space": '{"id":"a b","command":"a"}',
    "an id with HTML": '{"id":"<b>","command":"a"}',
    "an id of nothing": '{"id":"","command":"a"}',
    "an id of dots": '{"id":"..","command":"a"}',
    "an id too long": json.dumps({"id": "a" * 129, "command": "a"}),
    "an id like an option": '{"id":"--all","command":"a"}',
    "an id that means all jobs": '{"id":"all","command":"a"}',
    "an id that means a range": '{"id":"5-9","command":"a"}',
    "an id that is true": '{"id":true,"command":"a"}',
    "a queue outside": '{"queue":"../q","command":"a"}',
    "env as a list": '{"env":["A=1"],"command":"a"}',
    "a label of two lines": '{"label":"a\\nb","command":"a"}',
}
BAD_LINES = {
    "nothing": [],
    "plain words": ["sleep", "2"],
    "one plain word": ["ls"],
    "two sources": ["--command", "a", "--", "b"],
    "JSON and an option for one field": ['{"id":"a","command":"a"}', "--id", "b"],
    "a file that is not there": ["--command-file", "nowhere"],
    "a job file that is not there": ["--job-file", "nowhere"],
    "a pile that is not there": ["--from", "nowhere"],
    "a folder as a pile": ["--from", "."],
    "a pile and a command": ["--from", "-", "--command", "a"],
    "--jsonl alone": ["--jsonl", "--command", "a"],
    "an unknown option": ["--frobnicate", "--command", "a"],
    "an option without its value": ["--command"],
    "a switch with a value": ["--stdin=yes", "--command", "a"],
    "a delay that is no duration": ["--command", "a", "--delay", "soon"],
    "env without =": ["--command", "a", "--env", "A"],
    "superscript digits": ["--command", "a", "--priority", "²"],
    "an empty program": ["--", ""],
}
BAD_USE = {
    "no worker": ["worker", "start", "--count", "0"],
    "less than no worker": ["worker", "start", "--count", "-1"],
    "too many workers": ["worker", "start", "--count", "99999999999"],
    "half a worker": ["worker", "start", "--count", "1.5"],
    "no worker, other word": ["worker-start", "--count", "0"],
    "no worker, third word": ["worker-run", "--count", "0"],
    "a queue outside": ["worker", "start", "--queue", "../q"],
    "an unknown state": ["list", "--state", "finished"],
    "no jobs to list": ["list", "--limit", "0"],
    "a range that ends first": ["list", "9-5"],
    "superscript in a selection": ["list", "last-²"],
    "which jobs": ["cancel"],
    "which jobs to clean": ["clean"],
    "which jobs to await": ["wait"],
    "which dead job": ["dlq", "retry"],
    "one dead job and all": ["dlq", "retry", "1", "--all"],
    "a retry limit below zero": ["config", "set", "max_retries", "-1"],
    "a retry limit in words": ["config", "set", "max_retries", "three"],
    "a base of nothing": ["config", "set", "backoff_base", ""],
    "a base of no number": ["config", "set", "backoff_base", "nan"],
    "an unknown choice": ["config", "set", "capture_env", "some"],
    "a setting without value": ["config", "set", "max_retries"],
    "an unknown shell": ["completion", "tcsh"],
    "an import that is not there": ["import", "nowhere"],
}
MISSING = {
    "show": ["show", "nope"],
    "logs": ["logs", "nope"],
    "wait": ["wait", "nope"],
    "cancel": ["cancel", "nope"],
    "retry": ["retry", "nope"],
    "explain": ["explain", "nope"],
    "dlq retry": ["dlq", "retry", "nope"],
    "list": ["list", "nope"],
    "export": ["export", "nope"],
    "config get": ["config", "get", "nope"],
    "config set": ["config", "set", "nope", "1"],
    "queue resume": ["queue", "resume", "nope"],
    "an id that leaves its folder": ["logs", "../../etc/passwd"],
}


def is_one_clear_line(done: Result) -> bool:
    return done.err.startswith("queuectl: ") and done.err.count("\n") == 1 and len(done.err) < 600


@pytest.mark.parametrize("text", BAD_JOBS.values(), ids=BAD_JOBS)
def test_a_bad_job_is_refused_in_one_line_and_nothing_is_stored(queue: Queuectl, text: str) -> None:
    done = queue("enqueue", text)
    assert (done.rc, done.out) == (2, "") and is_one_clear_line(done), done
    assert queue("list", "--json").out == "[]\n"


@pytest.mark.parametrize("words", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_command_line_of_enqueue_adds_nothing(queue: Queuectl, words: list[str]) -> None:
    done = queue("enqueue", *words)
    assert (done.rc, done.out) == (2, "") and is_one_clear_line(done), done
    assert queue("list", "--json").out == "[]\n"


@pytest.mark.parametrize("words", BAD_USE.values(), ids=BAD_USE)
def test_bad_use_of_any_command_ends_2_with_one_line(queue: Queuectl, words: list[str]) -> None:
    done = queue(*words)
    assert (done.rc, done.out) == (2, "") and is_one_clear_line(done), done


@pytest.mark.parametrize("words", MISSING.values(), ids=MISSING)
def test_what_does_not_exist_ends_3_with_one_line(queue: Queuectl, words: list[str]) -> None:
    done = queue(*words)
    assert (done.rc, done.out) == (3, "") and is_one_clear_line(done), done


@pytest.mark.parametrize("option", ["--command", "--id", "--label", "--queue", "--key", "--cwd", "--env", "--command-file"])
def test_arguments_that_are_not_utf_8_are_refused_by_name(queue: Queuectl, option: str) -> None:
    command: list[str | bytes] = [] if option.startswith("--command") else ["--command", "true"]
    done = queue("enqueue", *command, option, b"A=caf\xe9")
    if option == "--env":
        assert done.rc == 0  # an environment is bytes
        return
    assert (done.rc, done.out) == (2, "") and is_one_clear_line(done), done
    assert queue.json("list") == []


def test_a_program_argument_that_is_not_utf_8_is_refused(queue: Queuectl) -> None:
    done = queue("enqueue", "--", "ls", b"caf\xe9")
    assert done.rc == 2 and "UTF-8" in done.err


@pytest.mark.parametrize("words", [[b"\xff"], ["show", b"\xff"], ["list", b"\xff"], ["list", "--label", b"\xff"]])
def test_no_command_stumbles_over_bytes_that_are_no_text(queue: Queuectl, words: list[str | bytes]) -> None:
    done = queue(*words)
    assert done.rc in (0, 2, 3) and "Traceback" not in done.err


def test_a_longer_command_than_the_system_takes_is_refused_with_the_limit(queue: Queuectl) -> None:
    path = queue.file("long", "x" * 131_072)
    done = queue("enqueue", "--command-file", str(path))
    assert done.rc == 2 and "131071" in done.err and "131072" in done.err
    done = queue("enqueue", "--from", str(path))
    assert done.rc == 2 and "131071" in done.err and "line 1" in done.err
    assert queue.json("list") == []


def test_a_json_job_as_long_as_an_argument_can_be_is_taken(queue: Queuectl) -> None:
    frame = '{"command":""}'
    queue.ok("enqueue", frame[:-2] + "x" * (131_071 - len(frame)) + frame[-2:])
    assert len(queue.json("list")[0]["command"]) == 131_071 - len(frame)


def test_a_file_that_is_not_utf_8_is_refused(queue: Queuectl) -> None:
    path = queue.file("latin", "échec".encode("latin-1"))
    for option in ("--command-file", "--job-file", "--from"):
        done = queue("enqueue", option, str(path))
        assert done.rc == 2 and "UTF-8" in done.err
    assert queue.json("list") == []


def test_an_unknown_command_ends_2_and_names_a_near_one(queue: Queuectl) -> None:
    done = queue("enqeue")
    assert (done.rc, done.out) == (2, "") and "queuectl enqueue" in done.err


def test_no_command_at_all_ends_2_with_the_overview_on_stderr(queue: Queuectl) -> None:
    done = queue()
    assert (done.rc, done.out) == (2, "") and "worker start" in done.err


def test_a_job_that_is_not_dead_cannot_be_retried_from_the_dead_letters(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    done = queue("dlq", "retry", "1")
    assert done.rc == 5 and "pending" in done.err
    assert queue.job("1")["state"] == "pending"


def test_of_several_jobs_named_one_wrong_name_changes_none(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    assert queue("cancel", "1", "nope").rc == 3
    assert queue.states() == {"1": "pending"}


def test_an_ended_job_cannot_be_cancelled(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true")
    queue.drain()
    done = queue("cancel", "1")
    assert done.rc == 5 and is_one_clear_line(done)


def test_a_working_folder_that_is_gone_is_named(queue: Queuectl) -> None:
    gone = queue.folder / "gone"
    gone.mkdir()
    done = queue("enqueue", "--command", "true", cwd=gone, preexec_fn=gone.rmdir)
    assert done.rc == 2 and "folder is gone" in done.err


@pytest.mark.engine("sqlite")
def test_no_id_has_made_a_file_outside_the_logs(queue: Queuectl) -> None:
    for bad in ("../evil", "a/b", "..", "a\\..\\b"):
        queue("enqueue", "--id", bad, "--command", "true")
    queue.ok("enqueue", "--id", "good", "--command", "true")
    queue.drain()
    assert [path.name for path in (queue.folder / "job_logs").iterdir()] == ["good.log"]
    assert not list(Path(queue.folder).parent.glob("evil*"))
