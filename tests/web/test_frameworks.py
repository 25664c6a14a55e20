"""The examples of docs/http.md, mounted in FastAPI and beside Django, served by uvicorn as their users would."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour.harness import eventually

import queuectl
from queuectl import tokens

from .conftest import PATIENCE_S, ROOT

pytestmark = pytest.mark.wide

FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", (ROOT / "docs/http.md").read_text(), re.DOTALL))
SETTINGS = """
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["localhost"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
ROOT_URLCONF = "mysite.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("theirs")), path("queues", lambda request: HttpResponse("theirs too"))]
"""
LOG_IN = """
import django
django.setup()
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, BACKEND_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command

call_command("migrate", verbosity=0)
for name in ("ann", "bob"):
    user = User.objects.create_user(name, is_staff=name == "ann")
    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.save()
    print(session.session_key)
"""


class Site:
    """A site's own server."""

    def __init__(self, folder: Path, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        options = ("--port", str(self.port), "--timeout-graceful-shutdown", "1", "--log-level", "warning")
        self.log = folder / "site.log"
        with open(self.log, "wb") as log:
            argv = [sys.executable, "-m", "uvicorn", *options, name]
            self.process = subprocess.Popen(argv, cwd=folder, env=environment(folder), stdout=log, stderr=log)
        eventually(self._answers, PATIENCE_S)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Host": "localhost", "Content-Type": "application/json", **given})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


def environment(folder: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("QUEUECTL")}
    return {**known, "PYTHONPATH": f"{ROOT / 'src'}:{folder}", "HOME": str(folder), "DJANGO_SETTINGS_MODULE": "mysite.settings"}


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    sites: list[Site] = []

    def open_one(name: str) -> Site:
        for file, text in FILES.items():
            (tmp_path / file).write_text(text)
        sites.append(Site(tmp_path, name))
        return sites[-1]

    yield open_one
    for site in sites:
        site.process.kill()
        site.process.wait()


def test_in_fastapi_it_stands_under_its_prefix_and_ends_with_the_site(tmp_path: Path, open_site: Callable[[str], Site]) -> None:
    with queuectl.open(f"sqlite://{tmp_path}/queuectl.db") as queue:
        token = tokens.ensure(queue)
        site = open_site("shop:site")
        status, body = site.ask("POST", "/orders/7")
        assert (status, json.loads(body)) == (200, {"job": "1"})
        assert site.ask("GET", "/queue/api/v1/jobs/1")[0] == 401
        queuectl.Worker(queue).run(until_idle=True)
    show = {"Authorization": f"Bearer {token}"}
    assert json.loads(site.ask("GET", "/queue/api/v1/jobs/1", **show)[1])["state"] == "completed"
    assert site.ask("GET", "/queue/api/v1/jobs/1/log?run=1", **show) == (200, b"order 7\n")
    assert b"/queue/" in site.ask("GET", "/queue/", Accept="text/html")[1]
    assert json.loads(site.ask("GET", "/openapi.json")[1])["info"]["title"] == "FastAPI"
    assert site.ask("GET", "/queuesomething", **show)[0] == 404
    listening = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE_S)
    listening.request("GET", "/queue/api/v1/events", headers={"Host": "localhost", **show})
    assert listening.getresponse().readline() == b"retry: 2000\n"
    site.stop()
    listening.close()
    assert "Traceback" not in site.log.read_text()


def test_beside_django_whoever_is_of_its_staff_is_in(tmp_path: Path, open_site: Callable[[str], Site]) -> None:
    (tmp_path / "mysite").mkdir()
    for name, text in (("__init__", ""), ("settings", SETTINGS), ("urls", URLS)):
        (tmp_path / "mysite" / f"{name}.py").write_text(text)
    made = subprocess.run([sys.executable, "-c", LOG_IN], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    ann, bob = (f"sessionid={key}" for key in made.stdout.split())
    site = open_site("asgi:application")
    assert site.ask("GET", "/") == (200, b"theirs")
    assert site.ask("GET", "/queues") == (200, b"theirs too")
    status, body = site.ask("POST", "/queue/api/v1/jobs", {"command": "true", "id": "by-ann"}, Cookie=ann)
    assert (status, json.loads(body)["id"]) == (201, "by-ann")
    assert site.ask("GET", "/queue/api/v1/jobs/by-ann", Cookie=bob)[0] == 401
    assert site.ask("GET", "/queue/api/v1/jobs/by-ann")[0] == 401
    assert site.ask("GET", "/queue", Cookie=ann)[0] == 200
    elsewhere = {"Cookie": ann, "Origin": "https://evil.example"}
    assert site.ask("POST", "/queue/api/v1/jobs", {"command": "true"}, **elsewhere)[0] == 403
    site.stop()
    assert "Traceback" not in site.log.read_text()
