"""Jobs that are calls: what is sent, what is kept, what counts as success, and what is made of every way to fail."""

from __future__ import annotations

import hmac
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from queuectl import codec, signing, transfer
from queuectl.model import Call
from queuectl.queue import Queue

from .conftest import Target, log_of

Make = Callable[..., None]


def test_an_answer_is_the_output_of_its_job(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add(Call(target.url + "/ok?a=%20b&c=%2F"))
    make_calls()
    ended = queue.get(job.id)
    assert (ended.state, ended.exit_code, ended.reason, ended.attempts) == ("completed", 0, None, 1)
    assert log_of(queue, job).startswith("HTTP/1.1 200 OK\r\n")
    assert log_of(queue, job).endswith("\r\n\r\nhello a= b&c=/")
    assert target.paths() == ["/ok?a=%20b&c=%2F"], "the query as it was written"


def test_method_headers_and_body_are_sent_as_asked(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.add(Call(target.url + "/ok", method="PUT", headers=(("X-Two", "a"), ("Authorization", "Bearer t")), body='{"ä": 1}'))
    make_calls()
    [(method, _, headers, body)] = target.seen
    assert (method, body) == ("PUT", '{"ä": 1}'.encode())
    assert (headers["X-Two"], headers["Authorization"], headers["Content-Type"]) == ("a", "Bearer t", "application/json")


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({"path": "/status/204"}, "completed", None),
        ({"path": "/status/404"}, "dead", "http 404"),
        ({"path": "/status/404", "expect_status": "2xx,404"}, "completed", None),
        ({"path": "/status/201", "expect_status": "200"}, "dead", "http 201"),
        ({"path": "/ok?yes", "expect_body": "hello yes"}, "completed", None),
        ({"path": "/ok?no", "expect_body": "hello yes"}, "dead", "unexpected body"),
        ({"path": "/redirect?to=/ok"}, "completed", None),
        ({"path": "/redirect?to=/ok", "redirects": 0}, "dead", "http 302"),
        ({"path": "/redirect?to=/status/500"}, "dead", "http 500"),
        ({"path": "/redirect?to=file:///etc/passwd"}, "dead", "bad redirect"),
        ({"path": "/redirect?to=http://169.254.169.254/latest/"}, "dead", "address refused"),
        ({"path": "/redirect?to=http://[::ffff:a9fe:a9fe]/"}, "dead", "address refused"),
        ({"path": "/redirect?to=http://2852039166/"}, "dead", "bad url"),
        ({"path": "/round"}, "dead", "too many redirects"),
        ({"path": "/cut"}, "dead", "cut"),
        ({"path": "/nothing"}, "dead", "cut"),
    ],
)
def test_how_a_call_ends(queue: Queue, target: Target, make_calls: Make, fields: dict[str, Any], state: str, reason: str) -> None:
    path = fields.pop("path")
    job = queue.add(Call(target.url + path, **fields), max_retries=0)
    make_calls()
    ended = queue.get(job.id)
    assert (ended.state, ended.reason) == (state, reason)
    assert ended.exit_code == (0 if state == "completed" else 1)
    if reason and not reason.startswith("http"):
        assert f"queuectl: {reason}: " in log_of(queue, job)


def test_ten_redirects_are_followed_and_no_more(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.add(Call(target.url + "/round"), max_retries=0)
    make_calls()
    assert len(target.seen) == 11


@pytest.mark.parametrize(("url", "reason"), [
    ("http://127.0.0.1:{closed}/", "connection refused"),
    ("http://no-such-name.invalid/", "name not found"),
    ("http://169.254.169.254/", "address refused"),
    ("http://0xA9FEA9FE/", "address refused"),
    ("https://127.0.0.1:{open}/", "not trusted"),
])  # fmt: skip
def test_a_target_that_cannot_be_reached_is_named_in_a_word(
    queue: Queue, target: Target, make_calls: Make, url: str, reason: str
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        job = queue.add(Call(url.format(closed=closed.getsockname()[1], open=target.port)), max_retries=0)
        make_calls()
    ended = queue.get(job.id)
    assert (ended.state, ended.reason) == ("dead", reason)
    assert "Traceback" not in log_of(queue, job)


def test_a_slow_answer_times_out_and_so_does_one_that_only_drips(queue: Queue, target: Target, make_calls: Make) -> None:
    jobs = [queue.add(Call(target.url + path), max_retries=0, timeout=0.5) for path in ("/slow?s=20", "/drip")]
    make_calls()
    assert [queue.get(job.id).reason for job in jobs] == ["timeout", "timeout"]


def test_a_connection_that_is_never_made_times_out(queue: Queue, make_calls: Make) -> None:
    queue.settings.set("call_connect_timeout", "0.3")
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        job = queue.add(Call(f"http://127.0.0.1:{full.getsockname()[1]}/"), max_retries=0)
        make_calls()
        for each in waiting:
            each.close()
    assert queue.get(job.id).reason == "connect timeout"


def test_an_endless_answer_is_cut_and_marked(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add(Call(target.url + "/endless"), max_output=100_000)
    make_calls()
    text = log_of(queue, job)
    assert queue.get(job.id).state == "completed"
    assert text.endswith("x\n[queuectl: the answer was cut here, after 100000 bytes]\n")
    assert text.count("x") >= 100_000 > len(text) - 1000


def test_what_does_not_speak_http_is_a_bad_answer(queue: Queue, make_calls: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        job = queue.add(Call(f"http://127.0.0.1:{server.getsockname()[1]}/"), max_retries=0)
        make_calls()
    assert queue.get(job.id).reason == "bad answer"


def test_each_attempt_has_the_same_idempotency_key_and_each_job_another(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.settings.set("backoff_base", "0")
    first = queue.add(Call(target.url + "/status/500"), max_retries=2)
    other = queue.add(Call(target.url + "/ok", headers=(("Idempotency-Key", "mine"),)))
    make_calls(lambda: queue.get(first.id).ended and queue.get(other.id).ended)
    keys = [headers["Idempotency-Key"] for _, path, headers, _ in target.seen if path.startswith("/status")]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert [headers["Idempotency-Key"] for _, path, headers, _ in target.seen if path == "/ok"] == ["mine"]


def test_retry_after_keeps_the_whole_target_waiting(queue: Queue, target: Target, make_calls: Make) -> None:
    first = queue.add(Call(target.url + "/once?after=1"), max_retries=1)
    make_calls(lambda: queue.get(first.id).state == "failed")
    other = queue.add(Call(target.url + "/ok"))
    assert queue.get(first.id).due_us is not None
    make_calls()
    assert queue.get(other.id).state == "pending", "the target asked to be left alone"
    make_calls(lambda: queue.get(other.id).ended and queue.get(first.id).ended)
    a, b = (queue.attempts(job) for job in (first, other))
    assert a[1].started_us - (a[0].ended_us or 0) >= 990_000
    assert b[0].started_us - (a[0].ended_us or 0) >= 990_000


def test_a_target_can_forbid_further_attempts(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add(Call(target.url + "/status/500?X-Queuectl-Retry=no"), max_retries=5)
    make_calls()
    ended = queue.get(job.id)
    assert (ended.state, ended.attempts) == ("dead", 1)
    assert queue.history(ended)[-1].note == "the target said not to try again"


def test_a_signed_call_can_be_checked_by_who_knows_the_secret(queue: Queue, target: Target, make_calls: Make) -> None:
    secret = signing.new_secret()
    signing.Secrets(queue.place).put("shop", secret)
    job = queue.add(Call(target.url + "/ok", method="POST", body='{"paid": true}', sign="shop"))
    make_calls()
    assert queue.get(job.id).state == "completed"
    [(_, _, headers, body)] = target.seen
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b64encode(hmac.new(signing.secret_bytes(secret), signed, sha256).digest()).decode()
    assert headers["webhook-signature"] == "v1," + expected
    assert secret not in (queue.store.job(job.number) or job).command + str(queue.store.job(job.number))


def test_a_call_whose_secret_is_missing_is_not_sent(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add(Call(target.url + "/ok", sign="none"), max_retries=0)
    make_calls()
    assert queue.get(job.id).reason == "not signed"
    assert not target.seen


def test_secrets_do_not_follow_a_redirect_to_another_place(queue: Queue, target: Target, make_calls: Make) -> None:
    other = Target()
    try:
        headers = (("Authorization", "Bearer t"), ("Cookie", "a=b"), ("X-Plain", "p"))
        queue.add(Call(target.url + f"/redirect?to={other.url}/ok", headers=headers))
        queue.add(Call(target.url + "/redirect?to=/ok", headers=headers))
        make_calls()
        [(_, _, given, _)] = other.seen
        assert "Authorization" not in given
        assert "Cookie" not in given
        assert given["X-Plain"] == "p"
        [same] = [given for _, path, given, _ in target.seen if path == "/ok"]
        assert same["Authorization"] == "Bearer t"
    finally:
        other.close()


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_a_redirected_post_stays_one_where_the_status_says_so(
    queue: Queue, target: Target, make_calls: Make, status: int, method: str
) -> None:
    queue.add(Call(target.url + f"/redirect?to=/ok&as={status}", method="POST", body="x"))
    make_calls()
    assert [(seen, body) for seen, path, _, body in target.seen if path == "/ok"] == [(method, b"x" if method == "POST" else b"")]


def test_nothing_of_the_callers_environment_is_used(
    queue: Queue, target: Target, make_calls: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    job = queue.add(Call(target.url + "/ok"), max_retries=0)
    asked = queue.add(Call("http://example.invalid/ok", proxy=target.url), max_retries=0)
    make_calls()
    assert queue.get(job.id).state == "completed"
    assert queue.get(asked.id).state == "completed"
    assert sorted(target.paths()) == ["/ok", "http://example.invalid/ok"]


def test_a_denied_network_is_not_called(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.settings.set("call_deny", "private")
    job = queue.add(Call(target.url + "/ok"), max_retries=5)
    make_calls()
    ended = queue.get(job.id)
    assert (ended.state, ended.reason, ended.attempts) == ("dead", "address refused", 1)
    assert not target.seen


def test_a_target_gets_no_more_calls_at_once_than_is_set(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.settings.set("call_parallel", "5")
    jobs = [queue.add(Call(target.url + "/slow?s=0.05")) for _ in range(30)]
    make_calls(lambda: all(queue.get(job.id).ended for job in jobs))
    assert target.most == 5


def test_a_limit_of_its_key_holds_for_a_call_that_waits_already(queue: Queue, target: Target, make_calls: Make) -> None:
    jobs = [queue.add(Call(target.url + "/slow?s=0.05"), limit_key="api") for _ in range(8)]
    with queue.store.transaction():
        queue.store.run("insert into limits (key, parallel) values ('api', 2)")
    make_calls(lambda: all(queue.get(job.id).ended for job in jobs))
    assert target.most == 2


def test_a_running_call_can_be_cancelled(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add(Call(target.url + "/slow?s=30"))
    asked = []

    def cancelled() -> bool:
        if target.now and not asked:
            asked.append(queue.cancel(job.id))
        return queue.get(job.id).ended

    make_calls(cancelled)
    assert (queue.get(job.id).state, queue.get(job.id).reason) == ("cancelled", "cancelled")


def test_a_failed_call_is_tried_again_like_any_job(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.settings.set("backoff_base", "0")
    job = queue.add(Call(target.url + "/once?after=0"), max_retries=3)
    make_calls(lambda: queue.get(job.id).ended)
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("completed", 2)
    assert [attempt.reason for attempt in queue.attempts(job)] == ["http 503", None]


def test_a_call_comes_back_from_an_export_as_it_was(queue: Queue, tmp_path: Any) -> None:
    asked = Call("http://a/x", method="POST", headers=(("Authorization", "t"),), body="b", sign="s", redirects=3)
    job = queue.add(asked, id="one", callback="http://b/")
    line = json.loads(json.dumps(transfer.job_line(queue, job)))
    again = transfer.entry(line)
    assert again.spec.work == asked
    assert again.spec.options == codec.options_from(job.options)
