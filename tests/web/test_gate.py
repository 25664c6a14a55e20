"""Who may: every path and method, without and with each way of showing who one is, from here and from elsewhere."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour.harness import eventually

from queuectl import ops, tokens
from queuectl.doors.http import statics
from queuectl.doors.http.auth import Allowed, Terms, judge, shown_by
from queuectl.doors.http.peers import Peer
from queuectl.doors.http.problems import Refused

from .conftest import PATIENCE_S, Server

EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = sorted(
    {
        ops.BASE + operation.path.replace("{id}", "1").replace("{name}", "default").replace("{key}", "k")
        for operation in ops.OPERATIONS
    }
)
PATHS += [*statics.PAGES, "/static/app.js", "/metrics", "/openapi.json", "/nothing", ops.BASE]
WALK = [(method, path) for path in PATHS for method in EVERY_METHOD]
JOBS = f"{ops.BASE}/jobs"
SOME = [("GET", "/"), ("GET", "/metrics"), ("GET", JOBS), ("POST", JOBS), ("DELETE", f"{JOBS}/1")]


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    return server.token


def strangers(token: str) -> dict[str, dict[str, str]]:
    """What requests show that must not get in."""
    return {
        "nothing": {},
        "a wrong token": {"Authorization": "Bearer qt_wrong"},
        "a token that is not ASCII": {"Authorization": "Bearer t\u00f6ken"},
        "a password nobody set": {"Authorization": "Basic " + base64.b64encode(b"root:root").decode()},
        "a session of one's own making": {"Cookie": "queuectl_session=9999999999.abc.def"},
        "the token and a foreign host": {"Authorization": f"Bearer {token}", "Host": "evil.example"},
        "the token and another site's page": {"Authorization": f"Bearer {token}", "Origin": "http://evil.example"},
        "the token and no origin at all": {"Authorization": f"Bearer {token}", "Origin": "null"},
        "the token and a foreign frame": {"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "cross-site"},
        "the token and a neighbour's page": {"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "same-site"},
    }


def is_refused(server: Server, method: str, path: str, what: str, headers: dict[str, str]) -> None:
    found = server.ask(method, path, headers=headers, tcp=True)
    assert found.status in (401, 403, 421), (what, found)
    assert b"jobs" not in found.body
    if found.status == 401:
        assert found.headers["www-authenticate"]


@pytest.mark.parametrize(("method", "path"), WALK)
def test_nobody_gets_in_anywhere_who_shows_nothing(server: Server, method: str, path: str) -> None:
    is_refused(server, method, path, "nothing", {})


@pytest.mark.parametrize(("method", "path"), SOME)
def test_nobody_gets_in_who_does_not_show_who_they_are(server: Server, token: str, method: str, path: str) -> None:
    for what, headers in strangers(token).items():
        is_refused(server, method, path, what, headers)


@pytest.mark.wide
@pytest.mark.parametrize(("method", "path"), WALK)
def test_nobody_gets_in_anywhere_who_does_not_show_who_they_are(server: Server, token: str, method: str, path: str) -> None:
    for what, headers in strangers(token).items():
        is_refused(server, method, path, what, headers)


@pytest.mark.wide
@pytest.mark.parametrize(("method", "path"), WALK)
def test_the_token_gets_in_everywhere(server: Server, token: str, method: str, path: str) -> None:
    if path.endswith(("/stream", "/events")) and method == "GET":
        return  # never ends: `test_streams_want_the_token_too`
    found = server.ask(method, path, headers={"Authorization": f"Bearer {token}"}, tcp=True)
    assert found.status not in (401, 403, 421, 500), found


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/jobs/s/log/stream"])
def test_streams_want_the_token_too(server: Server, token: str, path: str) -> None:
    server.add({"command": "true", "id": "s", "delay": 1000})
    assert server.get(path, tcp=True).status == 401
    connection = server.connection(tcp=True)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.wide
@pytest.mark.parametrize(("method", "path"), WALK)
def test_every_answer_forbids_what_a_browser_could_be_made_to_do(server: Server, method: str, path: str) -> None:
    if path.endswith(("/stream", "/events")) and method == "GET":
        return
    headers = server.ask(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert not [name for name in headers if name.startswith("access-control-")]


def test_health_is_told_to_anybody_and_says_nothing(server: Server) -> None:
    for path in ("/healthz", "/readyz"):
        found = server.get(path, tcp=True, headers={"Host": "10.0.0.7:5000"})
        assert found.status == 200
        assert set(found.json) == {"status"}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html"]
)
@pytest.mark.parametrize("operation", [one for one in ops.OPERATIONS if one.writes], ids=lambda one: one.name)
def test_only_json_is_taken_on_writes(server: Server, operation: ops.Operation, kind: str) -> None:
    """What a form, or a script that may not ask first, can send."""
    path = ops.BASE + operation.path.replace("{id}", "1").replace("{name}", "default").replace("{key}", "k")
    assert server.ask(operation.method, path, b'{"command": "true"}', {"Content-Type": kind}).status == 415


def test_a_link_lets_a_browser_in_once(server: Server) -> None:
    link = server.queuectl("token", "link").stdout.strip()
    first = server.get(link, tcp=True, headers={"Sec-Fetch-Site": "cross-site"})
    assert (first.status, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert server.get("/api/v1/status", tcp=True, headers=session).status == 200
    assert server.get("/api/v1/status", tcp=True, headers={**session, "Origin": "http://evil.example"}).status == 403
    assert server.get(link, tcp=True).status == 401


def test_a_session_outlives_the_web_process_and_not_the_token(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "0")
    cookie = server.get(server.queuectl("token", "link").stdout.strip(), tcp=True).headers["set-cookie"].partition(";")[0]
    os.kill(server.web, 9)
    assert server.get("/api/v1/status", tcp=True, headers={"Cookie": cookie}).status == 200
    old = server.token
    new = server.queuectl("token", "rotate").stdout.strip()
    eventually(lambda: server.get("/api/v1/status", tcp=True, headers={"Cookie": cookie}).status == 401)
    assert server.get("/api/v1/status", tcp=True, headers={"Authorization": f"Bearer {old}"}).status == 401
    assert server.get("/api/v1/status", tcp=True, headers={"Authorization": f"Bearer {new}"}).status == 200


def test_the_token_can_be_typed_in(server: Server, token: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.ask("POST", "/login", f"token={token}".encode(), form, tcp=True).status == 303
    assert server.ask("POST", "/login", b"token=wrong", form, tcp=True).status == 401
    assert (
        server.ask("POST", "/login", f"token={token}".encode(), {**form, "Origin": "http://evil.example"}, tcp=True).status == 403
    )
    page = server.get("/", tcp=True, headers={"Accept": "text/html"})
    assert (page.status, page.headers["content-type"]) == (401, "text/html; charset=utf-8")


def test_with_passwords_every_path_wants_one(open_server: Callable[..., Server]) -> None:
    server = open_server(command="")
    listed = server.folder / "people"
    listed.write_text("ann:s3cret\nbj\u00f6rn:l\u00f6sen\n")
    listed.chmod(0o644)
    server.command = "serve"
    refused = server.queuectl("serve", "--port", "0", "--basic-auth", str(listed))
    assert refused.returncode == 4
    listed.chmod(0o600)
    server.start("--count", "0", "--basic-auth", str(listed))
    for path in PATHS:
        found = server.get(path, tcp=True)
        assert (found.status, found.headers["www-authenticate"].split()[0]) == (401, "Basic")
    for pair, status in {
        "ann:s3cret": 200,
        "bj\u00f6rn:l\u00f6sen": 200,
        "ann:wrong": 401,
        "ann": 401,
        "\u00fc:\u00fc": 401,
    }.items():
        given = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        assert server.get("/api/v1/status", tcp=True, headers=given).status == status
    for broken in ("Basic", "Basic ***", "Basic " + base64.b64encode(b"\xff\xfe").decode()):
        assert server.get("/api/v1/status", tcp=True, headers={"Authorization": broken}).status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_others_reach_is_refused_without_credentials(open_server: Callable[..., Server], host: str) -> None:
    refused = open_server(command="").queuectl("serve", "--host", host, "--port", "0")
    assert refused.returncode == 4
    assert "--require-token" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


# ---------------------------------------------------------------- being the same user


TERMS = Terms(uid=1000, token=lambda: tokens.digest("good"), session_key=lambda: b"k", now_s=lambda: 0.0)
SAME = Peer(loopback=True, uid=1000)


def judged(
    headers: tuple[tuple[bytes, bytes], ...] = ((b"host", b"localhost"),),
    peer: Peer = SAME,
    terms: Terms = TERMS,
    method: str = "GET",
) -> int:
    verdict = judge(shown_by(method, "/api/v1/jobs", list(headers), peer), terms)
    return 200 if isinstance(verdict, Allowed) else verdict.http_status


def test_the_same_user_over_loopback_is_that_user() -> None:
    assert judged() == 200


@pytest.mark.parametrize(
    "more",
    [
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"forwarded", b"for=10.0.0.1"),
        (b"via", b"1.1 proxy"),
        (b"x-real-ip", b"127.0.0.1"),
        (b"origin", b"http://evil.example"),
        (b"origin", b"null"),
        (b"origin", b"http://localhost:1234"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"same-site"),
        (b"host", b"evil.example"),
    ],
    ids=lambda pair: (pair[0] + b"=" + pair[1]).decode(),
)
def test_what_comes_from_elsewhere_is_nobody(more: tuple[bytes, bytes]) -> None:
    assert judged(((b"host", b"localhost"), more)) != 200


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example", b"", b"localhost:evil", b"2130706433", b"127.1"]
)
def test_a_foreign_host_is_refused(host: bytes) -> None:
    assert judged(((b"host", host),)) == 421


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:5000", b"127.0.0.1:5000", b"[::1]:5000", b"localhost."])
def test_our_own_names_are_known(host: bytes) -> None:
    assert judged(((b"host", host),)) == 200


@pytest.mark.parametrize(
    "peer", [Peer(loopback=True, uid=1001), Peer(loopback=True, uid=None), Peer(), Peer(unix=True, loopback=True, uid=1001)]
)
def test_another_user_is_nobody(peer: Peer) -> None:
    assert judged(peer=peer) == 401


def test_root_is_never_known_by_its_number_alone_over_loopback() -> None:
    root = TERMS.but(uid=0)
    assert judged(peer=Peer(loopback=True, uid=0), terms=root) == 401
    assert judged(peer=Peer(unix=True, loopback=True, uid=0), terms=root) == 200


def test_where_credentials_are_asked_for_being_the_same_user_is_not_enough() -> None:
    assert judged(terms=TERMS.but(strict=True)) == 401
    assert judged(terms=TERMS.but(basic=(tokens.digest("a:b"),))) == 401


def test_a_verdict_is_one_of_two() -> None:
    assert isinstance(judge(shown_by("GET", "/", [], Peer()), TERMS), Refused)


@pytest.fixture
def as_nobody() -> Iterator[list[str]]:
    """A command that runs another as a user who owns nothing; skips where that cannot be."""
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if (
        os.geteuid() != 0
        or subprocess.run([*command, sys.executable, "--version"], capture_output=True, timeout=PATIENCE_S).returncode
    ):
        pytest.skip("NOT TESTED: needs root, and a Python that another user can run")
    yield command


ASK = """
import http.client, sys
asking = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
asking.request("GET", "/api/v1/status")
print(asking.getresponse().status)
"""


def ask_as(user: list[str], port: int) -> int:
    done = subprocess.run([*user, sys.executable, "-c", ASK, str(port)], capture_output=True, text=True, timeout=PATIENCE_S)
    return int(done.stdout or 0)


def test_the_system_itself_tells_who_is_at_the_other_end(
    open_server: Callable[..., Server], as_nobody: list[str], tmp_path: Path
) -> None:
    """A server of an ordinary user: that user is let in over bare loopback, another (root too) is not."""
    folder = tmp_path / "nobody"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    for parent in folder.parents:
        if parent.stat().st_mode & 0o001 == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    server = open_server(name="nobody", user=as_nobody, command="")
    with socket.create_server(("127.0.0.1", 0)) as free:
        server.port = free.getsockname()[1]
    wanted = json.dumps({"host": "127.0.0.1", "port": server.port, "socket": server.socket})
    # The part itself, without its keeper: that would have to be executed by a user who may not be allowed to.
    web = [*as_nobody, sys.executable, "-m", "queuectl.doors.http.process", str(server.database), wanted]
    with open(server.log, "ab") as log:
        server.process = subprocess.Popen(web, env=server.env, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    eventually(lambda: ask_as([], server.port) > 0, PATIENCE_S)
    assert ask_as(as_nobody, server.port) == 200
    assert ask_as([], server.port) == 401
    with pytest.raises((PermissionError, ConnectionError, http.client.HTTPException)):
        as_other = ["setpriv", "--reuid", "65533", "--clear-groups"]
        code = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
        done = subprocess.run([*as_other, sys.executable, "-c", code, server.socket], capture_output=True, text=True)
        raise PermissionError(done.stderr) if done.returncode else AssertionError("another user could connect")


def test_what_the_token_and_the_socket_are_kept_in_is_private(server: Server) -> None:
    assert server.token
    run = Path(server.socket).parent
    assert run.stat().st_mode & 0o777 == 0o700
    for name in ("token", "session.key", "http.sock"):
        assert (run / name).stat().st_mode & 0o777 == 0o600, name


# ---------------------------------------------------------------- limits


def raw(server: Server, content: bytes, patience_s: float = PATIENCE_S) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=patience_s) as sock:
        sock.sendall(content)
        found = b""
        try:
            while piece := sock.recv(65536):
                found += piece
        except ConnectionResetError:
            pass  # refused while it still sent
        return found


def test_a_head_without_end_is_cut_off(server: Server) -> None:
    assert b" 200 " not in raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 100_000)


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_the_server_lives(server: Server, content: bytes) -> None:
    assert raw(server, content).startswith((b"HTTP/1.1 400", b""))
    assert server.get("/healthz").status == 200


def test_a_smuggled_second_length_is_refused(server: Server) -> None:
    answer = raw(
        server, b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert b" 200 " not in answer
    assert b" 201 " not in answer
