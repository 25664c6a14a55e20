"""Jobs of the TaskSpooler door: run by a shell, never too many, seen while they run, kept whatever is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from behaviour.harness import EACH_ENGINE

from .conftest import Spooler, eventually

WIDE = {"postgres": (pytest.mark.wide,)}  # every day on one engine
ENGINES = [pytest.param(*row.values, marks=(*row.marks, *WIDE.get(str(row.values[0]), ()))) for row in EACH_ENGINE]
pytestmark = pytest.mark.parametrize("place", ENGINES, indirect=True)
UNTIL_TOLD = "until [ -e go ]; do sleep 0.02; done"


def test_a_shell_runs_a_job_in_the_servers_folder_and_environment_with_nothing_on_its_input(place: Spooler) -> None:
    place.start(FLAVOUR="sour")
    place.queue("pwd; echo $FLAVOUR; cat; umask > mask; for i in 1 2; do printf $i; done")
    assert place.ended(1)["stdout"] == f"{place.folder}\nsour\n12"


def test_six_sleeps_are_three_that_run_and_three_that_wait(server: Spooler) -> None:
    said = [server.queue("sleep 0.4") for _ in range(6)]
    assert said == ["Job started: sleep 0.4"] * 3 + ["Job queued: sleep 0.4"] * 3
    found = server.all()
    assert (found["queue_length"], found["active_workers"], found["max_concurrent_jobs"]) == (3, 3, 3)
    assert [job["status"] for job in found["jobs"]] == ["running"] * 3 + ["queued"] * 3
    server.ended(6)
    found = eventually(lambda: (all := server.all())["active_workers"] == 0 and all)
    assert (found["queue_length"], found["last_job_id"]) == (0, 6)
    assert [job["job_id"] for job in found["jobs"]] == [1, 2, 3, 4, 5, 6]


def test_never_do_more_jobs_run_at_once_than_the_limit(place: Spooler) -> None:
    place.start(TASKSPOOL_MAX_JOBS="2")
    for _ in range(14):
        place.queue("echo + >> tally; sleep 0.05; echo - >> tally")
    eventually(lambda: place.all()["queue_length"] == place.all()["active_workers"] == 0)
    level = highest = 0
    for sign in (place.folder / "tally").read_text().split():
        level += 1 if sign == "+" else -1
        highest = max(highest, level)
    assert highest == 2


def test_a_running_job_is_seen_in_both_forms_with_its_output_so_far(server: Spooler) -> None:
    server.queue("echo so far; echo oops >&2; exec sleep 30")
    job = eventually(lambda: (job := server.job(1))["stderr"] and job)
    assert (job["status"], job["exit_code"], job["stdout"], job["stderr"]) == ("running", None, "so far\n", "oops\n")
    assert server.all()["jobs"] == [{name: job[name] for name in ("job_id", "status", "exit_code", "command")}]
    copy = server.temp / "job-1.out"
    eventually(lambda: copy.read_bytes() == b"so far\n")


def test_a_command_of_a_mebibyte_is_run_whole(server: Spooler) -> None:
    command = "cat; printf %s '" + "ab" * 524_288 + "' | md5sum; exit 5"
    assert server.queue(command) == f"Job started: {command}"
    job = server.ended(1)
    assert (job["exit_code"], job["stdout"], job["stderr"]) == (5, "4f1491dec4fc16fa14b5e2b7e231d327  -\n", "")
    assert job["command"] == command


def test_a_program_that_is_not_there_fails_as_in_a_shell_with_the_reason_on_stderr(server: Spooler) -> None:
    server.queue("no-such-program here")
    job = server.ended(1)
    assert (job["status"], job["exit_code"], job["stdout"]) == ("failed", 127, "")
    assert "no-such-program" in job["stderr"]


def test_ten_mebibytes_of_output_come_whole(server: Spooler) -> None:
    server.queue("yes 0123456789abcde | head -c 10485760; yes e | head -c 3000000 >&2")
    job = server.ended(1)
    assert job["stdout"] == "0123456789abcde\n" * 655_360
    assert job["stderr"] == "e\n" * 1_500_000
    assert (server.temp / "job-1.out").read_text() == job["stdout"]
    assert (server.temp / "job-1.err").stat().st_size == 3_000_000


def test_output_that_is_not_utf8_comes_with_replacement_characters_and_is_kept_as_it_was(server: Spooler) -> None:
    server.queue("printf 'a\\377b\\n'; printf '\\303' >&2")
    job = server.ended(1)
    assert (job["stdout"], job["stderr"]) == ("a\ufffdb\n", "\ufffd")
    assert (server.temp / "job-1.out").read_bytes() == b"a\xffb\n"


def test_jobs_numbers_and_outputs_go_on_after_a_restart(server: Spooler) -> None:
    server.queue("echo one")
    server.queue("false")
    server.ended(2)
    assert server.stop() == 0
    server.start()
    assert server.queue("echo three") == "Job started: echo three"
    assert server.ended(3)["stdout"] == "three\n"
    assert [(job["job_id"], job["status"]) for job in server.all()["jobs"]] == [(1, "completed"), (2, "failed"), (3, "completed")]
    assert server.job(1)["stdout"] == "one\n"
    assert (server.temp / "job-1.out").read_text() == "one\n"


def test_a_signal_ends_the_server_at_once_while_what_runs_is_kept_and_what_waits_is_run_by_the_next(server: Spooler) -> None:
    for n in (1, 2, 3, 4):
        server.queue(f"echo begun {n}; until test -e go; do sleep 0.05; done; echo done {n}; exit {n}")
    eventually(lambda: (server.temp / "job-3.out").read_text() == "begun 3\n")
    assert server.stop() == 0
    assert not server.path.exists()
    server.start()
    (server.folder / "go").touch()
    ends = [server.ended(n) for n in (1, 2, 3, 4)]
    assert [(job["exit_code"], job["stdout"]) for job in ends] == [(n, f"begun {n}\ndone {n}\n") for n in (1, 2, 3, 4)]
    assert [(server.temp / f"job-{n}.out").read_text() for n in (1, 4)] == ["begun 1\ndone 1\n", "begun 4\ndone 4\n"]


def test_what_ended_while_no_server_was_there_is_known_to_the_next(server: Spooler) -> None:
    server.queue(f"echo x >> runs; {UNTIL_TOLD}; echo late; exit 4")
    eventually((server.folder / "runs").exists)
    assert server.stop() == 0
    (server.folder / "go").touch()
    eventually(lambda: not server.processes())
    with server.store() as queue:
        assert (queue.get("ts-1").state, queue.get("ts-1").exit_code) == ("dead", 4)
    server.start()
    job = server.job(1)
    assert (job["status"], job["exit_code"], job["stdout"]) == ("failed", 4, "late\n")
    eventually(lambda: (server.temp / "job-1.out").read_text() == "late\n")


ELSEWHERE = pytest.mark.chaos  # tests of the engine kill these every day


@pytest.mark.parametrize(
    "victims",
    [["server"], ["server", "worker"], pytest.param(["worker"], marks=ELSEWHERE), pytest.param(["keeper"], marks=ELSEWHERE)],
)
def test_nothing_is_lost_and_nothing_runs_twice_when_processes_are_killed(server: Spooler, victims: list[str]) -> None:
    for n in (1, 2, 3, 4, 5):
        server.queue(f"echo {n} >> runs; sleep 0.7; echo out {n}; exit {n}")
    eventually(lambda: (server.folder / "runs").exists() and len((server.folder / "runs").read_text().split()) == 3)
    modules = {"worker": "queuectl.run.process", "keeper": "queuectl.run.keeper"}
    pids = [server.processes(modules[victim])[0] for victim in victims if victim in modules]
    if "server" in victims:
        server.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    if "server" in victims:
        server.start()
    ends = [server.ended(n) for n in (1, 2, 3, 4, 5)]
    assert [(job["exit_code"], job["stdout"]) for job in ends] == [(n, f"out {n}\n") for n in (1, 2, 3, 4, 5)]
    assert sorted((server.folder / "runs").read_text().split()) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("how", [{}, {"NOHUP": "1"}], ids=["plain", "nohup"])
def test_a_server_that_was_killed_leaves_no_worker_behind_that_would_start_more(place: Spooler, how: dict[str, str]) -> None:
    server = place.start(**how)
    for _ in range(4):
        server.queue(f"echo x >> runs; {UNTIL_TOLD}")
    eventually(lambda: (server.folder / "runs").exists() and (server.folder / "runs").read_text() == "x\n" * 3)
    server.kill()
    (server.folder / "go").touch()
    eventually(lambda: not server.processes())
    assert (server.folder / "runs").read_text() == "x\n" * 3
    assert server.start().ended(4)["status"] == "completed"


def test_a_run_that_no_process_saw_the_end_of_has_failed_and_is_not_run_again(server: Spooler) -> None:
    server.queue("echo x >> runs; exec sleep 60")
    eventually(lambda: (server.folder / "runs").exists())
    server.end_all()
    server.start()
    job = server.ended(1)
    assert job["status"] == "failed"
    assert job["exit_code"] in (None, -9)  # a kernel that remembers tells how it ended
    assert (server.folder / "runs").read_text() == "x\n"


def test_the_jobs_are_jobs_of_the_store_and_their_numbers_their_own(place: Spooler) -> None:
    with place.store() as queue:
        queue.add("echo a job of another door")
        place.start()
        place.queue("echo mine")
        assert place.ended(1)["stdout"] == "mine\n"
        job = queue.get("ts-1")
        assert (job.queue, job.number, job.command, job.state, job.max_retries) == ("taskspool", 2, "echo mine", "completed", 0)
        assert b"".join(queue.logs("ts-1")) == b"mine\n"
        assert [job["job_id"] for job in place.all()["jobs"]] == [1]
        queue.prune(queuectl_query("ts-1"))
        place.queue("echo next")
        assert place.all()["last_job_id"] == 2
        assert queue.get(1).state == "pending"  # other queues are other workers'


def queuectl_query(job_id: str):  # type: ignore[no-untyped-def]
    import queuectl

    return queuectl.Query(ids=(job_id,))


def test_explain_says_whose_server_is_missing(place: Spooler) -> None:
    place.start(TASKSPOOL_MAX_JOBS="1")
    place.queue("sleep 0.4")
    place.queue("true")
    assert place.stop() == 0
    eventually(lambda: not place.processes())
    explain = [sys.executable, "-m", "queuectl", "explain", "ts-2"]
    said = subprocess.run(explain, env=place.env, capture_output=True, text=True, timeout=20).stdout
    assert "only a server runs queue taskspool, and none does; 'taskspoold' starts it" in said


def test_a_job_cancelled_through_another_door_has_failed(server: Spooler) -> None:
    server.queue("exec sleep 60")
    eventually(lambda: server.processes("sleep", "60"))
    with server.store() as queue:
        queue.cancel("ts-1")
    job = server.ended(1)
    assert (job["status"], job["exit_code"]) == ("failed", -15)


def test_a_job_that_is_retried_shows_its_latest_run_alone(server: Spooler) -> None:
    server.queue("echo x >> runs; echo run $(wc -l < runs) of a job; echo err $(wc -l < runs) >&2; exit 1")
    assert server.ended(1)["stdout"] == "run 1 of a job\n"
    with server.store() as queue:
        queue.retry("ts-1")
        queue.wait("ts-1", timeout=10)
    job = server.ended(1)
    assert (job["stdout"], job["stderr"]) == ("run 2 of a job\n", "err 2\n")
    assert (server.temp / "job-1.out").read_text() == "run 2 of a job\n"
    assert server.stop() == 0
    server.start().all()
    assert (server.temp / "job-1.err").read_text() == "err 2\n"


def test_with_a_zone_jobs_carry_their_times(place: Spooler) -> None:
    place.start(TASKSPOOL_TZ="Asia/Tokyo")
    place.queue("true")
    job = place.ended(1)
    assert list(job) == ["job_id", "status", "exit_code", "command", "stdout", "stderr", "queued_time", "run_time"]
    for name in ("queued_time", "run_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d JST", job[name])
    assert place.all()["jobs"][0]["run_time"] == job["run_time"]
