"""A real server with real workers, and a real browser that looks at its page as a person would."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [str(Path(sys.executable).parent / "queuectl")]
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
PATIENCE_S = 60.0
VIEWS = ("", "jobs", "dead", "workers", "queues", "spools", "schedules", "settings", "add")
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}


class Site:
    """A queue in a folder of its own, served by `queuectl serve` or `queuectl dashboard`."""

    def __init__(self, folder: Path, *options: str, command: str = "serve") -> None:
        self.folder = folder
        self.env = {**os.environ, "QUEUECTL_DB_PATH": str(folder / "queuectl.db"), "HOME": str(folder)}
        (folder / "queuectl_config.json").write_text('{"backoff_base": 0.2, "max_retries": 0}')
        self.process: subprocess.Popen[str] | None = None
        self.known_token = ""
        self.session: Any = None  # what a browser keeps once it was let in
        self.options, self.command = options, command
        self.start()

    def start(self, port: int = 0) -> None:
        arguments = [*PROGRAM, self.command, "--port", str(port), *self.options]
        self.process = subprocess.Popen(
            arguments, env=self.env, cwd=self.folder, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stderr is not None
        self.url, up, said = "", False, []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"listening at (http://\S+)", line):
                self.url = found[1]
            up = up or "worker" in line or (self.command == "dashboard" and "once=" in line)
            if up and self.url:  # the one may be said before the other
                break
        assert self.url, said
        self.until(lambda: "200" in self.curl("/healthz", "-o", "/dev/null", "-w", "%{http_code}"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        self.process = None

    def ctl(self, *arguments: str) -> str:
        done = subprocess.run(
            [*PROGRAM, *arguments], env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done
        return done.stdout.strip()

    def add(self, work: str, *options: str) -> str:
        """A job by the options of `queuectl enqueue`, asked of the API: a process for each would cost more than the test."""
        fields: dict[str, Any] = {"command": work}
        for name, value in zip(options[::2], options[1::2], strict=True):
            fields[name.removeprefix("--").replace("-", "_")] = int(value) if value.isdigit() and name != "--id" else value
        return str(self.post("jobs", fields)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api(f"jobs/{job_id}")
        return found

    def curl(self, path: str, *options: str) -> str:
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "10", *options, self.url + path], capture_output=True, text=True, timeout=20
        )
        return done.stdout

    def token(self) -> str:
        self.known_token = self.known_token or self.ctl("token")
        return self.known_token

    def api(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        return self.api(path, body)

    def way_in(self) -> str:
        """A link that lets a browser in, once."""
        return self.url + self.ctl("token", "link")

    def until(self, holds: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if found := holds():
                return found
            time.sleep(0.05)
        raise AssertionError("did not come to hold")

    def ended(self, *ids: str) -> None:
        for job_id in ids:
            self.until(lambda job_id=job_id: self.api(f"jobs/{job_id}?wait=20")["state"] in ("completed", "dead", "cancelled"))

    def close(self) -> None:
        if self.process is not None:
            subprocess.run(
                [*PROGRAM, "cancel", "all", "--state", "processing"],
                env=self.env,
                cwd=self.folder,
                capture_output=True,
                timeout=PATIENCE_S,
            )
        self.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("NOT TESTED: there is no chromium on this machine; on Debian: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="NOT TESTED: playwright is not installed; make setup installs it")
    with sync_api.sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Callable[..., Site]]:
    opened: list[Site] = []

    def open_one(*options: str, command: str = "serve") -> Site:
        opened.append(Site(tmp_path_factory.mktemp("site"), *options, command=command))
        return opened[-1]

    yield open_one
    for site in opened:
        site.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Site]:
    """A queue with four slots, shared by many tests: each looks at jobs of its own."""
    shared = Site(tmp_path_factory.mktemp("shared"), "--count", "4")
    yield shared
    shared.close()


def comes(page: Any, expression: str, patience_s: float = PATIENCE_S, arg: Any = None) -> Any:
    """Wait until a JavaScript expression is true; one about a page that is not drawn yet is not. By looking again and
    again: the page's own policy forbids what `wait_for_function` does."""
    from playwright.sync_api import Error

    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if found := page.evaluate(expression, arg):
                return found
        except Error as fault:
            if "of null" not in str(fault) and "of undefined" not in str(fault):
                raise
        page.wait_for_timeout(40)
    raise AssertionError(f"never came to hold: {expression} {arg or ''}\n{page.inner_text('body')[:3000]}")


BEGUN = """new Promise(go => {
  const look = n => document.querySelector('#nav svg, pre') ? go(true) : n ? setTimeout(look, 50, n - 1) : go(false);
  look(100); })"""
QUIET = """performance.getEntriesByType('resource').every(
  one => one.name.endsWith('/events') || performance.now() - one.responseEnd > 120)"""


def settled(page: Any) -> None:
    """Nothing has been asked for in the last tenth of a second."""
    page.wait_for_selector("main > *")
    comes(page, QUIET)


class Eyes:
    """Opens pages, and remembers what no page may do: fail, run foreign scripts, ask anybody else for anything."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.contexts: list[Any] = []
        self.wrong: list[str] = []
        # Parts of complaints that a test expects. A network that comes or goes, a test's of something else, cuts requests.
        self.allowed = ["ERR_NETWORK_CHANGED"]
        self.sizes: dict[str, int] = {}

    def open(
        self,
        site: Site,
        path: str = "/",
        *,
        size: dict[str, int] = WIDE,
        theme: str = "light",
        let_in: bool = True,
        script: str = "",
    ) -> Any:
        """A page of a browser that remembers nothing but who may come in; `script` runs before its own."""
        context = self.browser.new_context(viewport=size, color_scheme=theme, storage_state=site.session if let_in else None)
        context.set_default_timeout(PATIENCE_S * 1000)
        self.contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
        page = context.new_page()
        if script:
            page.add_init_script(script)
        self.watch(page, site.url)
        if let_in and site.session is None:
            context.request.get(site.way_in(), max_redirects=0)
            site.session = {"cookies": context.cookies(), "origins": []}
        for _ in range(3):  # a network that comes or goes, another test's, cuts what is being loaded
            page.goto(site.url + path)
            if not let_in or page.evaluate(BEGUN):
                break
        return page

    def watch(self, page: Any, url: str) -> None:
        host = urllib.parse.urlsplit(url).netloc
        page.on("pageerror", lambda fault: self.wrong.append(f"fault: {fault} {fault.stack}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda said: self.wrong.append(f"console: {said.text}") if said.type in ("error", "warning") else None)
        page.on("request", lambda request: self.asked(request, host))
        page.on("response", self.answered)

    def asked(self, request: Any, host: str) -> None:
        if not request.url.startswith(("data:", "blob:")) and urllib.parse.urlsplit(request.url).netloc != host:
            self.wrong.append(f"asked elsewhere: {request.url}")

    def answered(self, response: Any) -> None:
        path = urllib.parse.urlsplit(response.url).path
        if response.request.resource_type in ("document", "script", "stylesheet", "image") and response.status == 200:
            self.sizes[path] = int(response.headers.get("content-length", 0))

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        wrong = [line for line in self.wrong if not any(part in line for part in self.allowed)]
        assert not wrong, "\n".join(wrong)


@pytest.fixture
def eyes(browser: Any) -> Iterator[Eyes]:
    opened = Eyes(browser)
    yield opened
    opened.close()
