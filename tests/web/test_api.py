"""What the API promises: jobs added, looked at, changed, and every refusal with its field and its next step."""

from __future__ import annotations

import pytest

from .conftest import Server

JOBS = "/api/v1/jobs"


def test_a_job_is_added_runs_and_is_shown(server: Server) -> None:
    added = server.add({"command": "echo hello", "label": "greeting", "priority": 3})
    assert added.status == 201
    job = added.json
    assert (job["command"], job["label"], job["priority"]) == ("echo hello", "greeting", 3)
    assert added.headers["location"] == f"{JOBS}/{job['id']}"
    ended = server.ended(job["id"])
    assert (ended["state"], ended["exit_code"]) == ("completed", 0)
    assert server.get(f"{JOBS}/{job['id']}/log?run=1").body == b"hello\n"


def test_an_array_is_added_whole_and_its_ids_come_in_order(server: Server) -> None:
    added = server.add([{"command": "true", "id": f"array-{n}"} for n in range(50)])
    assert added.status == 201
    assert added.json == {"added": 50, "ids": [f"array-{n}" for n in range(50)]}
    assert server.ended("array-49")["state"] == "completed"


def test_an_array_with_one_bad_job_adds_none(server: Server) -> None:
    refused = server.add([{"command": "true", "id": "none-1"}, {"command": "true", "priority": "high"}])
    assert (refused.status, refused.json["field"]) == (400, "1.priority")
    assert server.get(f"{JOBS}/none-1").status == 404


def test_a_partial_array_says_of_each_what_became_of_it(server: Server) -> None:
    found = server.ask(
        "POST", JOBS + "?partial=true", [{"command": "true", "id": "part-1"}, {"command": ""}, {"command": "true", "id": "part-1"}]
    )
    assert found.status == 200
    assert found.json["added"] == 1
    assert [one["status"] for one in found.json["results"]] == [201, 400, 409]


def test_a_chosen_id_is_taken_once(server: Server) -> None:
    assert server.add({"command": "true", "id": "mine"}).status == 201
    assert server.add({"command": "true", "id": "mine"}).status == 409


def test_the_same_idempotency_key_adds_once_and_is_answered_the_same(server: Server) -> None:
    first = server.add({"command": "echo once"}, Idempotency_Key="k-1")
    again = server.add({"command": "echo once"}, Idempotency_Key="k-1")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    other = server.add({"command": "echo other"}, Idempotency_Key="k-1")
    assert (other.status, other.json["field"]) == (409, "Idempotency-Key")


def test_an_array_with_an_idempotency_key_is_added_once(server: Server) -> None:
    body = [{"command": "true", "label": "idem-array"} for _ in range(5)]
    first, again = (server.add(body, Idempotency_Key="k-array") for _ in range(2))
    assert first.body == again.body
    assert len(server.get(JOBS + "?label=idem-array").json["jobs"]) == 5


def test_pages_by_cursor_show_every_job_once(server: Server) -> None:
    server.add([{"command": "true", "label": "paged", "delay": 1000} for _ in range(25)])
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get(f"{JOBS}?label=paged&limit=10" + (f"&after={cursor}" if cursor else "")).json
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 25


@pytest.mark.parametrize("sort", ["newest", "oldest", "updated", "priority"])
def test_every_order_can_be_paged(server: Server, sort: str) -> None:
    server.add([{"command": "true", "label": f"sorted-{sort}", "queue": "unserved", "priority": n % 3} for n in range(7)])
    server.ask("PATCH", "/api/v1/queues/unserved", {"paused": True})
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get(f"{JOBS}?label=sorted-{sort}&sort={sort}&limit=3" + (f"&after={cursor}" if cursor else "")).json
        seen += page["jobs"]
        cursor = page["next"]
    numbers = [job["number"] for job in seen]
    if sort == "priority":
        assert numbers == sorted(numbers, key=lambda n: [(-j["priority"], j["number"]) for j in seen if j["number"] == n])
    elif sort == "oldest":
        assert numbers == sorted(numbers)
    else:
        assert set(numbers) and len(set(numbers)) == len(numbers)


def test_a_search_finds_text_in_id_command_and_label(server: Server) -> None:
    server.add(
        [{"command": "echo needle_one"}, {"command": "true", "id": "needle_two"}, {"command": "true", "label": "a needle_three"}]
    )
    assert len(server.get(JOBS + "?q=needle_").json["jobs"]) == 3
    assert server.get(JOBS + "?q=100%25").json["jobs"] == []


def test_a_waiting_job_is_edited_held_released_and_cancelled(server: Server) -> None:
    job = server.add({"command": "true", "delay": 1000}).json["id"]
    edited = server.ask("PATCH", f"{JOBS}/{job}", {"command": "echo edited", "priority": 9, "label": "new"}).json
    assert (edited["command"], edited["priority"], edited["label"]) == ("echo edited", 9, "new")
    assert server.ask("POST", f"{JOBS}/{job}/hold").json["waiting_for"] == "release"
    assert server.ask("POST", f"{JOBS}/{job}/release").json["waiting_for"] == "time"
    now = server.ask("PATCH", f"{JOBS}/{job}", {"delay": 0})
    assert now.status == 200
    assert server.ended(job)["state"] == "completed"
    assert server.get(f"{JOBS}/{job}/log?run=1").body == b"edited\n"
    late = server.ask("PATCH", f"{JOBS}/{job}", {"priority": 1})
    assert (late.status, late.json["title"]) == (409, "conflict")


def test_a_call_is_edited_field_by_field_and_keeps_the_secrets_that_nobody_is_shown(server: Server) -> None:
    call = {"url": "http://me:secret@127.0.0.1:1/a", "headers": [["X-Api-Key", "k3y"]], "body": "one", "delay": 1000}
    job = server.add(call).json["id"]
    shown = server.get(f"{JOBS}/{job}").json["call"]
    changes = {"url": shown["url"], "headers": [*shown["headers"], ["X-Two", "2"]], "method": "PUT"}
    edited = server.ask("PATCH", f"{JOBS}/{job}", changes)
    assert edited.status == 200 and "k3y" not in edited.body.decode() and "secret@" not in edited.body.decode()
    exported = server.queuectl("export").stdout
    assert all(text in exported for text in ("me:secret@127.0.0.1", "k3y", "X-Two", '"one"', "PUT"))
    wrong = server.ask("PATCH", f"{JOBS}/{job}", {"method": "NO SUCH"})
    assert (wrong.status, wrong.json["field"]) == (400, "method")


def test_a_job_is_run_again_as_a_copy_and_removed(server: Server) -> None:
    job = server.add({"command": "exit 3", "max_retries": 0}).json["id"]
    assert server.ended(job)["state"] == "dead"
    copy = server.ask("POST", f"{JOBS}/{job}/rerun")
    assert copy.status == 201
    assert server.ended(copy.json["id"])["exit_code"] == 3
    assert server.ask("POST", f"{JOBS}/{job}/retry").json["attempts"] == 0
    assert server.ended(job)["state"] == "dead"
    assert server.ask("DELETE", f"{JOBS}/{job}").status == 200
    assert server.get(f"{JOBS}/{job}").status == 404


def test_many_jobs_are_changed_at_once_and_those_that_do_not_allow_it_are_passed_over(server: Server) -> None:
    server.add([{"command": "true", "label": "many", "delay": 1000} for _ in range(10)])
    which = {"action": "cancel", "where": {"label": "many"}}
    assert server.ask("POST", JOBS + "/actions", {**which, "dry_run": True}).json["changed"] == 10
    assert server.ask("POST", JOBS + "/actions", which).json == {"matched": 10, "changed": 10, "next": None}
    assert server.ask("POST", JOBS + "/actions", which).json == {"matched": 10, "changed": 0, "next": None}


def test_the_history_and_the_runs_of_a_job_are_told(server: Server) -> None:
    job = server.add({"command": "true"}).json["id"]
    server.ended(job)
    assert [entry["event"] for entry in server.get(f"{JOBS}/{job}/history").json["history"]][-1] == "finish"
    assert [run["exit_code"] for run in server.get(f"{JOBS}/{job}/attempts").json["attempts"]] == [0]
    assert "completed" in server.get(f"{JOBS}/{job}/explain").json["reasons"][0]
    assert server.get(f"{JOBS}/{job}/dependants").json == {"dependants": []}


@pytest.mark.parametrize(
    "path", ["queues", "limits", "workers", "status", "metrics", "dead", "schedule", "config", "series?span=day"]
)
def test_the_queue_as_a_whole_is_told(server: Server, path: str) -> None:
    found = server.get(f"/api/v1/{path}")
    assert found.status == 200
    assert found.headers["content-type"] == "application/json"


def test_queues_keys_and_settings_are_changed(server: Server) -> None:
    found = server.ask("PATCH", "/api/v1/queues/slow", {"paused": True, "parallel": 2, "rate": "10/s"}).json
    assert (found["paused"], found["parallel"], found["rate"]) == (True, 2, "10/s")
    assert server.ask("PUT", "/api/v1/limits/api.example.org:443", {"parallel": 3, "rate": None}).json["parallel"] == 3
    assert [limit["key"] for limit in server.get("/api/v1/limits").json["limits"]] == ["api.example.org:443"]
    assert server.ask("DELETE", "/api/v1/limits/api.example.org:443").status == 200
    settings = server.ask("PATCH", "/api/v1/config", {"job_timeout": "90"}).json["settings"]
    assert next(one for one in settings if one["name"] == "job_timeout")["value"] == 90
    server.ask("PATCH", "/api/v1/config", {"job_timeout": None})
    refused = server.ask("PATCH", "/api/v1/config", {"max_retries": -1, "job_timeout": 5})
    assert (refused.status, refused.json["field"]) == (400, "max_retries")


def test_bytes_of_a_log_come_in_ranges(server: Server) -> None:
    job = server.add({"argv": ["printf", "0123456789"]}).json["id"]
    server.ended(job)
    path = f"{JOBS}/{job}/log?run=1"
    found = server.ask("GET", path, headers={"Range": "bytes=2-4"})
    assert (found.status, found.body, found.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert server.ask("GET", path, headers={"Range": "bytes=-3"}).body == b"789"
    assert server.ask("GET", path, headers={"Range": "bytes=10-"}).status == 416
    whole = server.get(path + "&download=1")
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert "attachment" in whole.headers["content-disposition"]
    assert "sandbox" in whole.headers["content-security-policy"]


BAD = [
    ("POST", JOBS, {"command": ""}, 400, "command"),
    ("POST", JOBS, {"command": "true", "nonsense": 1}, 400, "nonsense"),
    ("POST", JOBS, {"command": "true", "priority": 2**40}, 400, "priority"),
    ("POST", JOBS, b"{", 400, None),
    ("POST", JOBS, b"[[1]]", 400, "0"),
    ("POST", JOBS, b'"text"', 400, None),
    ("POST", JOBS, b'{"command": "a", "command": "b"}', 400, "command"),
    ("POST", JOBS, b'{"command": "\\ud800"}', 400, "command"),
    ("POST", JOBS, b"\xff\xfe", 400, None),
    ("GET", JOBS + "?limit=0", None, 400, "limit"),
    ("GET", JOBS + "?limit=501", None, 400, "limit"),
    ("GET", JOBS + "?state=sleeping", None, 400, "state"),
    ("GET", JOBS + "?after=xyz", None, 400, "after"),
    ("GET", JOBS + "?after=99999999999999999999", None, 400, "after"),
    ("GET", JOBS + "?colour=red", None, 400, "colour"),
    ("GET", JOBS + "?limit=1&limit=2", None, 400, "limit"),
    ("GET", JOBS + "?q=%ff", None, 400, None),
    ("GET", JOBS + "/nobody", None, 404, None),
    ("GET", "/api/v1/nothing", None, 404, None),
    ("GET", "/api/v2/jobs", None, 404, None),
    ("GET", "/static/../app.py", None, 404, None),
    ("GET", "/static/%2e%2e/app.py", None, 404, None),
    ("PUT", JOBS, {}, 405, None),
    ("POST", "/", {}, 405, None),
    ("POST", JOBS + "/actions", {"action": "explode", "ids": []}, 400, "action"),
    ("POST", JOBS + "/actions", {"action": "hold"}, 400, "ids"),
    ("PATCH", "/api/v1/config", {"colour": 1}, 400, "colour"),
    ("PUT", "/api/v1/limits/x", {}, 400, "parallel"),
    ("POST", "/api/v1/workers/999999/stop", {}, 404, None),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), BAD)
def test_what_is_wrong_is_refused_with_a_problem(
    server: Server, method: str, path: str, body: object, status: int, field: str | None
) -> None:
    found = server.ask(method, path, body)
    assert found.status == status, found
    assert found.headers["content-type"] == "application/problem+json"
    problem = found.json
    assert problem["status"] == status
    assert problem["detail"]
    assert problem.get("field") == field


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    found = server.ask("POST", JOBS + "/actions", b" " * 1_000_001)
    assert found.status == 413


def test_a_method_that_is_not_for_the_path_is_told_which_are(server: Server) -> None:
    assert server.ask("DELETE", JOBS).headers["allow"] == "GET, POST, HEAD"


def test_schedules_are_added_paused_run_and_removed(server: Server) -> None:
    path = "/api/v1/schedules"
    asked = {"name": "nightly", "cron": "30 2 * * *", "zone": "Europe/Berlin", "job": {"command": "true", "priority": 3}}
    made = server.ask("POST", path, asked)
    assert made.status == 201
    assert [made.json[name] for name in ("name", "cron", "zone", "paused")] == ["nightly", "30 2 * * *", "Europe/Berlin", False]
    assert server.ask("POST", path + "/nightly/pause", {}).json["paused"] is True
    assert server.ask("POST", path + "/nightly/resume", {}).json["next_at"]
    job = server.ask("POST", path + "/nightly/run", {}).json
    assert (job["command"], job["priority"], job["label"]) == ("true", 3, "nightly")
    assert [one["name"] for one in server.get(path).json["schedules"]] == ["nightly"]
    assert server.ask("POST", path, asked).status == 409
    refused = server.ask("POST", path, {**asked, "name": "b", "cron": "x"})
    assert (refused.status, refused.json["field"]) == (400, "cron")
    assert server.ask("DELETE", path + "/nightly").status == 200
    assert server.get(path).json == {"schedules": []}
