"""TaskPusher's promises, against the real program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest
from behaviour.harness import ENGINES, WHY_NOT

from tests.calls.conftest import Target

from .conftest import Tasker, until

Start = Callable[..., Tasker]
PATHS = ["/add", "/job/1", "/task/1", "/jobs/waiting", "/jobs/runing", "/jobs/running", "/jobs/completed", "/jobs/errors", "/tasks"]
PATHS += ["/", "/nothing", "/api/v1/jobs", "/healthz", "/login"]


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("auth", ["", "test:wrong", "wrong:test", "test:", "tést:täst", "test:test2"])
def test_every_path_wants_the_credentials(shared: Tasker, auth: str) -> None:
    shared.auth = auth
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = shared.ask(method, path)
            assert answer.status == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Basic ")


def test_without_credentials_only_loopback_is_served(tmp_path: Path) -> None:
    for address in (":9900", "0.0.0.0:9900", "192.0.2.1:9900", "[::]:9900"):
        command = [sys.executable, "-m", "queuectl.compat.tasker", f"-address={address}", f"-backend={tmp_path}/q.db"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 4
        assert "-basicauth is missing" in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_credentials_the_same_user_may(unlocked: Tasker, target: Target) -> None:
    uid = unlocked.push(target.url + "/ok")
    until(lambda: unlocked.status(uid) == 2)
    assert unlocked.get("/jobs/waiting", X_Forwarded_For="1.2.3.4").status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9900", "127.0.0.1.evil.example", "localhost.evil.example:80"])
def test_a_foreign_host_is_refused(shared: Tasker, host: str) -> None:
    assert shared.get("/tasks", Host=host).status == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}],
)
def test_a_page_elsewhere_cannot_drive_it(shared: Tasker, unlocked: Tasker, headers: dict[str, str]) -> None:
    for tasker in (shared, unlocked):
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
            answer = tasker.ask("POST", "/add", "url=http://127.0.0.1:1/never", Content_Type=kind, **headers)
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
        assert "http://127.0.0.1:1/never" not in tasker.urls()


# ---------------------------------------------------------------- pushing


def test_what_is_pushed_is_called_and_its_result_is_kept(shared: Tasker, target: Target) -> None:
    uid = shared.push(target.url + "/ok?a=b%20c&d")
    until(lambda: shared.status(uid) == 2)
    task = shared.task(uid)
    assert {"ID", "Type", "Status", "Response", "URL", "Duration", "Error", "State"} <= set(task)
    assert (task["ID"], task["Type"], task["State"], task["Error"]) == (uid, "WebTask", "completed", "")
    assert (task["URL"], task["Response"]) == (target.url + "/ok?a=b%20c&d", "hello a=b c&d")
    assert task["Duration"] > 0
    assert shared.get(f"/task/{uid}").json == task
    assert target.seen[0][:2] == ("GET", "/ok?a=b%20c&d")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"url": "URL"}'),
        ("application/json; charset=utf-8", '{"type": "WebTask", "cmd": "URL", "extra": ""}'),
        ("application/x-www-form-urlencoded", "url=URL"),
        ("multipart/form-data; boundary=xYz", '--xYz\r\nContent-Disposition: form-data; name="url"\r\n\r\nURL\r\n--xYz--\r\n'),
    ],
)
def test_a_push_is_a_form_or_json(shared: Tasker, target: Target, kind: str, body: str) -> None:
    answer = shared.ask("POST", "/add", body.replace("URL", target.url + "/ok"), Content_Type=kind)
    assert (answer.status, list(answer.json)) == (201, ["uid"])
    assert answer.headers["location"] == f"/job/{answer.json['uid']}"


def test_the_uid_comes_as_plain_text_to_who_prefers_it(shared: Tasker, target: Target) -> None:
    body, kind = '{"url": "' + target.url + '/ok"}', "application/json"
    answer = shared.ask("POST", "/add", body, Content_Type=kind, Accept="text/plain")
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.fullmatch(r"\d{16}\n", answer.body.decode())


def test_a_push_may_say_more(start: Start, target: Target) -> None:
    tasker = start()
    headers = "X-One: 1\nX-Two: 2"
    uid = tasker.push(target.url + "/ok", method="POST", headers=headers, body="hello", priority="5", timeout="9", max_retries="2")
    until(lambda: tasker.status(uid) == 2)
    [(method, _, seen, body)] = target.seen
    assert (method, seen["X-One"], seen["X-Two"], body) == ("POST", "1", "2", b"hello")
    later = tasker.push(target.url + "/ok", delay="1h")
    assert tasker.task(later)["Status"] == 0
    assert tasker.push(target.url + "/ok", key="once") == tasker.push(target.url + "/ok", key="once")


@pytest.mark.parametrize(
    ("kind", "body", "status", "field"),
    [
        ("application/json", "{}", 400, "url"),
        ("application/json", "[]", 400, ""),
        ("application/json", "{", 400, ""),
        ("application/json", '{"url": 5}', 400, "url"),
        ("application/json", '{"url": "ftp://a/"}', 400, "url"),
        ("application/json", '{"url": "file:///etc/passwd"}', 400, "url"),
        ("application/json", '{"url": "http://a/", "command": "rm -rf /"}', 400, "command"),
        ("application/json", '{"url": "http://a/", "env": {}}', 400, "env"),
        ("application/json", '{"url": "http://a/", "typo": 1}', 400, "typo"),
        ("application/json", '{"type": "Shell", "cmd": "true"}', 400, "type"),
        ("application/x-www-form-urlencoded", "", 400, "url"),
        ("application/x-www-form-urlencoded", "url=http://a/&url=http://b/", 400, ""),
        ("application/x-www-form-urlencoded", "url=http://a/&priority=high", 400, "priority"),
        ("application/x-www-form-urlencoded", b"url=\xff", 400, ""),
        ("text/plain", "url=http://a/", 400, ""),
        ("multipart/form-data", "nothing", 400, "url"),
    ],
)
def test_a_push_that_makes_no_sense_is_refused_with_the_field(
    shared: Tasker, kind: str, body: str, status: int, field: str
) -> None:
    answer = shared.ask("POST", "/add", body, Content_Type=kind)
    assert (answer.status, answer.json.get("field", "")) == (status, field)
    assert not {url for url in shared.urls() if not url.startswith("http://127.0.0.1:")}


def test_other_paths_are_not_there_and_other_methods_not_allowed(shared: Tasker) -> None:
    for path in ("/", "/adds", "/add/", "/job/", "/job/1/2", "/jobs", "/jobs/all", "/tasks/x", "/api/v1/jobs", "/healthz"):
        assert shared.get(path).status == 404, path
    assert shared.get("/job/9999999999999999").status == 404
    assert shared.get("/job/no-such").status == 404
    for method, path in (("GET", "/add"), ("POST", "/tasks"), ("DELETE", "/job/1"), ("POST", "/jobs/waiting"), ("PUT", "/add")):
        assert shared.ask(method, path).status == 405, (method, path)


# ---------------------------------------------------------------- running


def test_exactly_four_run_at_once_and_a_push_never_waits(start: Start, target: Target) -> None:
    tasker = start()
    target.may_answer.clear()
    began = monotonic()
    uids = [tasker.push(target.url + "/gate") for _ in range(9)]
    assert monotonic() - began < 20, "the target answers none of them"
    until(lambda: target.now == 4)
    sleep(0.3)
    assert target.now == 4
    assert len(tasker.get("/jobs/runing").json["jobs"]) == len(tasker.get("/jobs/running").json["jobs"]) == 4
    assert len(tasker.get("/jobs/waiting").json["jobs"]) == 5
    target.may_answer.set()
    until(lambda: all(tasker.status(uid) == 2 for uid in uids))
    assert target.most == 4


def test_concurrency_is_what_was_asked_for(start: Start, target: Target) -> None:
    tasker = start("-concurrency", "2")
    target.may_answer.clear()
    for _ in range(5):
        tasker.push(target.url + "/gate")
    until(lambda: target.now == 2)
    sleep(0.3)
    assert target.most == 2


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/status/201", "status 201"),
        ("/status/404", "status 404"),
        ("/status/500", "status 500"),
        ("/cut", "cut"),
        ("/nothing", "cut"),
        ("/slow?s=30", "timeout"),
        ("/round", "too many redirects"),
        ("/redirect?to=http://169.254.169.254/", "address refused"),
    ],
)
def test_whatever_is_not_exactly_200_is_an_error(shared: Tasker, target: Target, path: str, error: str) -> None:
    uid = shared.push(target.url + path, timeout="1" if error == "timeout" else "20")
    until(lambda: shared.status(uid) == 3)
    assert shared.task(uid)["Error"].startswith(error)
    assert uid in [task["ID"] for task in shared.get("/jobs/errors").json["jobs"]]
    assert len(target.seen) == (11 if path == "/round" else 1), "not retried unless asked"


@pytest.mark.wide
def test_250_tasks_are_read_in_three_pages_while_others_finish(start: Start, target: Target) -> None:
    tasker = start("-concurrency=16")
    uids = [tasker.push(target.url + "/ok") for _ in range(250)]
    until(lambda: tasker.status(uids[-1]) == 2 and not tasker.get("/jobs/running").json["jobs"])
    seen, last_uid, pages = [], "", 0
    while last_uid is not None:
        for _ in range(5):
            tasker.push(target.url + "/ok")
        answer = tasker.get("/jobs/completed" + f"?last_uid={last_uid}" * bool(last_uid)).json
        assert len(answer["jobs"]) <= 100
        seen += [task["ID"] for task in answer["jobs"]]
        last_uid, pages = answer["last_uid"], pages + 1
    assert seen[:250] == uids
    assert len(seen) == len(set(seen))
    assert pages == 3
    assert tasker.get("/jobs/completed?last_uid=x").status == 400


@pytest.mark.wide
def test_uids_sort_as_tasks_were_pushed_across_restarts(start: Start, target: Target) -> None:
    uids = []
    for _ in range(3):
        tasker = start()
        uids += [tasker.push(target.url + "/ok") for _ in range(7)]
        assert tasker.end() == 0
    assert uids == sorted(set(uids))


def test_the_page_tells_status_and_health_and_runs_nothing(shared: Tasker) -> None:
    uid = shared.push("http://127.0.0.1:1/<script>alert(1)</script>")
    until(lambda: shared.status(uid) == 3)
    answer = shared.get("/tasks")
    text = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert uid in text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


# ---------------------------------------------------------------- stopping, dying


STOPS = [
    pytest.param("sqlite", signal.SIGTERM),
    pytest.param("sqlite", signal.SIGINT),
    pytest.param("postgres", signal.SIGTERM, marks=pytest.mark.skipif(bool(WHY_NOT["postgres"]), reason=WHY_NOT["postgres"])),
]


@pytest.mark.parametrize(("engine", "number"), STOPS)
def test_a_stop_runs_what_was_accepted_and_stores_what_comes(
    start: Start, target: Target, tmp_path: Path, engine: str, number: int
) -> None:
    backend = ENGINES[engine](tmp_path) if engine == "postgres" else ""
    tasker = start(backend=backend)
    target.may_answer.clear()
    accepted = [tasker.push(target.url + f"/gate?{n}") for n in range(6)]
    next_year = tasker.push(target.url + "/ok?later", run_at="2099-01-01T00:00:00Z")
    until(lambda: target.now == 4)
    tasker.signal(number)
    until(lambda: "draining" in tasker.log())
    late = tasker.push(target.url + "/ok?late", priority="9")
    assert tasker.status(late) == 0
    target.may_answer.set()
    assert tasker.process.wait(20) == 0
    assert sorted(target.paths()) == [f"/gate?{n}" for n in range(6)]
    again = start(backend=backend)
    until(lambda: again.status(late) == 2)
    assert [again.status(uid) for uid in accepted] == [2] * 6
    assert again.status(next_year) == 0
    assert target.paths().count("/ok?late") == 1


def test_a_second_stop_ends_what_is_under_way(start: Start, target: Target) -> None:
    tasker = start()
    target.may_answer.clear()
    uid = tasker.push(target.url + "/gate")
    until(lambda: target.now)
    tasker.signal()
    until(lambda: "draining" in tasker.log())
    tasker.signal()
    assert tasker.process.wait(10) == 0
    target.may_answer.set()
    again = start()
    until(lambda: again.status(uid) == 2)


@pytest.mark.wide
def test_killed_under_load_nothing_is_lost_and_nothing_reported_twice(start: Start, target: Target) -> None:
    uids: list[str] = []
    for round_ in range(4):
        tasker = start()
        uids += [tasker.push(target.url + f"/slow?s=0.05&n={round_}-{n}") for n in range(15)]
        sleep(0.15)
        tasker.kill()
    tasker = start()
    until(lambda: all(tasker.status(uid) == 2 for uid in uids))
    with tasker.queue() as queue:
        succeeded = [job for (job,) in queue.store.run("select job from attempts where exit_code = 0")]
    assert sorted(succeeded) == sorted(set(succeeded))
    assert len(succeeded) == len(uids) == len(set(uids))
    assert {path.rpartition("=")[2] for path in target.paths()} == {f"{r}-{n}" for r in range(4) for n in range(15)}


@pytest.mark.wide
def test_a_store_that_fails_is_told_to_the_caller(start: Start, tmp_path: Path) -> None:
    tasker = start()
    code = (
        "import apsw, sys, time; db = apsw.Connection(sys.argv[1]); db.execute('begin exclusive'); "
        "print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "tasks.db")], stdout=subprocess.PIPE)
    try:
        assert other.stdout
        other.stdout.readline()
        answer = tasker.ask("POST", "/add", '{"url": "http://127.0.0.1:1/"}', Content_Type="application/json")
        assert answer.status == 503
        assert "hint" in answer.json
    finally:
        other.kill()
        other.wait()
        assert other.stdout
        other.stdout.close()


@pytest.mark.wide
def test_idle_it_uses_no_measurable_processor_time(start: Start) -> None:
    tasker = start()

    def used() -> float:
        fields = Path(f"/proc/{tasker.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def used_in_three_seconds() -> float:
        before = used()
        sleep(3)
        return used() - before

    until(lambda: used_in_three_seconds() < 0.015)  # a tick of the clock


# ---------------------------------------------------------------- flags


@pytest.mark.parametrize(
    "flags",
    [["-nothing=1"], ["-address"], ["-address=9900"], ["-concurrency=0"], ["-concurrency=x"], ["-loglevel=loud"],
     ["-basicauth=alone"], ["word"], ["-address=localhost:99999"], ["-backend=ftp://x/y"]],
)  # fmt: skip
@pytest.mark.wide
def test_flags_that_make_no_sense_are_refused_in_one_line(flags: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "queuectl.compat.tasker", *flags], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("tasker: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["-m", "queuectl", "tasker"], ["compat/tasker"]])
@pytest.mark.wide
def test_it_goes_by_all_its_names(command: list[str]) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, timeout=30, cwd=root)
    assert done.returncode == 0
    assert "-basicauth" in done.stdout
