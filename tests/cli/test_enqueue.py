"""Adding jobs: every way to say one, and what it is then."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from .conftest import Queuectl

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def test_a_json_object_becomes_a_pending_job_with_the_documented_fields(queue: Queuectl) -> None:
    assert queue.ok("enqueue", '{"id":"job1","command":"sleep 2"}') == "job1\n"
    [job] = queue.json("list")
    assert (job["id"], job["command"], job["state"], job["attempts"], job["max_retries"]) == ("job1", "sleep 2", "pending", 0, 3)
    assert TIME.fullmatch(job["created_at"]) and TIME.fullmatch(job["updated_at"])
    assert job["next_run_at"] is None


def test_every_key_of_the_job_model_is_taken_from_json(queue: Queuectl) -> None:
    asked = {
        "id": "a.b_c-1",
        "command": "true",
        "priority": -3,
        "timeout": 1.5,
        "run_at": "2031-01-01T02:00:00+02:00",
        "max_retries": 0,
        "queue": "slow",
        "label": "night",
        "key": "once",
        "cwd": "/",
    }
    queue.ok("enqueue", json.dumps(asked))
    job = queue.job("a.b_c-1")
    assert {name: job[name] for name in asked} == asked | {"run_at": "2031-01-01T00:00:00Z"}
    assert job["next_run_at"] == "2031-01-01T00:00:00Z"


def test_every_option_says_the_same_as_its_json_key(queue: Queuectl) -> None:
    options = ["--max-retries", "0", "--priority", "-3", "--timeout", "1m30s", "--label", "night", "--cwd", "/", "--queue", "slow"]
    queue.ok("enqueue", "--id", "x", "--command", "true", *options, "--run-at", "2031-01-01T00:00:00", "--key", "once")
    job = queue.job("x")
    assert (job["max_retries"], job["priority"], job["timeout"], job["label"]) == (0, -3, 90.0, "night")
    assert (job["cwd"], job["queue"], job["run_at"], job["key"]) == ("/", "slow", "2031-01-01T00:00:00Z", "once")


def test_a_delay_is_a_time_not_before_which_it_runs(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true", "--delay", "3600")
    queue.ok("enqueue", '{"command":"true","delay":3600}')
    assert all(job["next_run_at"] for job in queue.json("list"))


def test_add_is_short_for_enqueue(queue: Queuectl) -> None:
    assert queue.ok("add", "--command", "true") == "1\n"


def test_a_command_file_is_stripped_and_may_begin_with_a_byte_order_mark(queue: Queuectl) -> None:
    path = queue.file("cmd.txt", b"\xef\xbb\xbf\r\n  python -c 'print(\"hi\")'\r\n\r\n")
    queue.ok("enqueue", "--id", "demo-1", "--command-file", str(path))
    assert queue.job("demo-1")["command"] == "python -c 'print(\"hi\")'"


def test_a_job_file_holds_the_whole_job(queue: Queuectl) -> None:
    path = queue.file("job.json", b'\xef\xbb\xbf{"id": "filed", "command": "true", "priority": 4}\n')
    queue.ok("enqueue", "--job-file", str(path))
    assert queue.job("filed")["priority"] == 4


def test_words_after_two_dashes_stay_a_list_of_arguments(queue: Queuectl) -> None:
    queue.ok("enqueue", "--", "printf", "[%s]", "a b", "$HOME", "it's", "", "--json")
    queue.drain()
    assert queue.ok("logs", "1") == "[a b][$HOME][it's][][--json]"


def test_shell_text_is_run_by_the_shell(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "echo one; echo $((1 + 1)) >&2")
    queue.drain()
    assert queue.ok("logs", "1") == "one\n2\n"


def test_standard_input_of_any_size_is_kept_for_the_job(queue: Queuectl) -> None:
    payload = bytes(range(256)) * 20_000
    queue.ok("enqueue", "--stdin", "--command", "cksum", stdin=payload)
    queue.drain()
    assert queue.ok("logs", "1") == subprocess.run(["cksum"], input=payload, capture_output=True, timeout=20).stdout.decode()


def test_a_job_without_stored_input_reads_an_empty_one(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "wc -c", stdin=b"not for the job")
    queue.drain()
    assert queue.ok("logs", "1").strip() == "0"


def test_a_file_of_commands_adds_one_job_a_line(queue: Queuectl) -> None:
    path = queue.file("commands", "echo 1\n\n  echo 2  \r\necho é\n")
    assert queue.ok("enqueue", "--from", str(path), "--priority", "7", "--label", "pile") == "3\n"
    jobs = queue.json("list", "--label", "pile")
    assert [(job["command"], job["priority"]) for job in jobs] == [("echo é", 7), ("echo 2", 7), ("echo 1", 7)]


def test_standard_input_can_bring_json_jobs_a_line(queue: Queuectl) -> None:
    lines = b'{"id": "a", "command": "true"}\n{"argv": ["echo", "b c"]}\n'
    assert queue.ok("enqueue", "--from", "-", "--jsonl", stdin=lines) == "2\n"
    assert [job["argv"] for job in queue.json("list")] == [["echo", "b c"], None]


@pytest.mark.parametrize("last", [b'{"id": "a", "command": "true"}', b'{"command": ""}', b"{", b'{"command": "\xff"}'])
def test_a_pile_with_one_bad_line_adds_nothing_and_names_what_is_wrong(queue: Queuectl, last: bytes) -> None:
    good = b"".join(b'{"command": "echo %d"}\n' % n for n in range(300))
    done = queue("enqueue", "--from", "-", "--jsonl", stdin=b'{"id": "a", "command": "true"}\n' + good + last)
    assert done.rc in (2, 5) and done.out == ""
    assert "302" in done.err or "job a" in done.err
    assert queue.json("list") == [] and queue.json("status")["pending"] == 0


def test_unicode_and_long_commands_come_back_unchanged(queue: Queuectl) -> None:
    text = "echo 'żółć 漢字 🎉 \u202e' " + "x" * 5000
    queue.ok("enqueue", json.dumps({"id": "u", "command": text}))
    queue.ok("enqueue", "--id", "v", "--command", text)
    assert [job["command"] for job in queue.json("list")] == [text, text]


def test_the_longest_command_that_the_system_takes_is_stored_and_runs(queue: Queuectl) -> None:
    path = queue.file("long", "true " + "x" * (131_071 - 5))
    queue.ok("enqueue", "--command-file", str(path))
    queue.drain()
    assert queue.states() == {"1": "completed"}


def test_a_number_is_taken_as_an_id_and_later_numbers_skip_it(queue: Queuectl) -> None:
    assert queue.ok("enqueue", '{"id": 2, "command": "true"}') == "2\n"
    assert [queue.ok("enqueue", "--command", "true") for _ in range(2)] == ["3\n", "4\n"]
    assert len(queue.states()) == 3


def test_a_second_job_of_the_same_id_is_refused_and_the_first_stays(queue: Queuectl) -> None:
    queue.ok("enqueue", '{"id":"a","command":"first"}')
    done = queue("enqueue", '{"id":"a","command":"second"}')
    assert (done.rc, done.out) == (5, "") and "job a exists" in done.err
    assert [job["command"] for job in queue.json("list")] == ["first"]


def test_of_twenty_processes_with_one_id_exactly_one_adds_it(queue: Queuectl) -> None:
    adding = [queue.start("enqueue", '{"id":"same","command":"true"}') for _ in range(20)]
    codes = sorted(process.wait(timeout=40) for process in adding)
    assert codes == [0] + [5] * 19
    assert list(queue.states()) == ["same"]


def test_twenty_parallel_adds_while_a_worker_runs_lose_nothing(queue: Queuectl) -> None:
    queue.ok("worker-start", "--count", "2")
    adding = [queue.start("enqueue", "--id", f"p{n}", "--command", f"echo {n} >> {queue.folder}/ran") for n in range(20)]
    assert [process.wait(timeout=40) for process in adding] == [0] * 20
    queue.ok("wait", "all", "--timeout", "30")
    assert queue.states() == {f"p{n}": "completed" for n in range(20)}
    assert sorted(map(int, (queue.folder / "ran").read_text().split())) == list(range(20))


def test_a_key_adds_its_job_once(queue: Queuectl) -> None:
    first = queue.ok("enqueue", "--key", "nightly", "--command", "true")
    assert queue.ok("enqueue", "--key", "nightly", "--command", "true") == first
    assert queue("enqueue", "--key", "nightly", "--command", "false").rc == 5
    assert len(queue.states()) == 1


def test_of_an_option_given_twice_the_last_counts(queue: Queuectl) -> None:
    queue.ok("enqueue", "--priority", "1", "--command", "true", "--priority", "2")
    assert queue.job("1")["priority"] == 2


def test_json_prints_the_added_job(queue: Queuectl) -> None:
    assert queue.json("enqueue", "--command", "true")["state"] == "pending"


def test_the_job_has_the_environment_folder_and_mask_of_whoever_added_it(queue: Queuectl) -> None:
    there = queue.folder / "there"
    there.mkdir()
    given = ["--env", "B=2", "--env", "C=x=y"]
    queue.ok("enqueue", "--command", "pwd; umask; echo $A$B$C", *given, env={"A": "1"}, cwd=there, umask=0o027)
    queue.drain()
    assert queue.ok("logs", "1").split() == [str(there), "0027", "12x=y"]


def test_an_env_file_adds_variables(queue: Queuectl) -> None:
    path = queue.file("vars", "# comment\nA=from file\n\n B=2\n")
    queue.ok("enqueue", "--command", 'echo "$A$B"', "--env-file", str(path))
    queue.drain()
    assert queue.ok("logs", "1") == "from file2\n"


def test_secrets_are_masked_where_the_environment_is_shown(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "true", env={"API_TOKEN": "hunter2", "PLAIN": "seen"})
    shown = queue.ok("show", "1", "--env") + queue.ok("show", "1", "--env", "--json")
    assert "hunter2" not in shown and "seen" in shown and "API_TOKEN" in shown


def test_capture_env_none_gives_the_job_nothing_of_the_submitter(queue: Queuectl) -> None:
    queue.ok("config", "set", "capture-env", "none")
    queue.ok("enqueue", "--command", "echo [$SOMETHING]", env={"SOMETHING": "x"})
    queue.drain()
    assert queue.ok("logs", "1") == "[]\n"


def test_who_adds_while_nothing_runs_is_told_how_to_start_a_worker(queue: Queuectl) -> None:
    assert "queuectl worker start" in queue("enqueue", "--command", "true").err
    queue.ok("worker-start")
    assert queue("enqueue", "--command", "true").err == ""
