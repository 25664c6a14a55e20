"""What others write is never run, and no other site's page can act here."""

from __future__ import annotations

import http.server
import json
import os
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import VIEWS, Eyes, Site, comes

MARK = "window.__run=1"
PAYLOADS = [
    f"<script>{MARK}</script>",
    f"<img src=x onerror={MARK}>",
    f"<svg onload={MARK}>",
    f'"><script>{MARK}</script>',
    f"'><img src=x onerror={MARK}>",
    f"</textarea><script>{MARK}</script>",
    f"</title><script>{MARK}</script>",
    f"</code></td><script>{MARK}</script>",
    f"javascript:{MARK}",
    f"<a href=javascript:{MARK}>x</a>",
    "<iframe srcdoc='<script>parent.__run=1</script>'>",
    f"<math><mtext></mtext><mglyph><style><img src=x onerror={MARK}>",
    f"<details open ontoggle={MARK}>",
    f"<input autofocus onfocus={MARK}>",
    f"<body onload={MARK}>",
    f"<!--><img src=x onerror={MARK}>-->",
    f"{{{{constructor.constructor('{MARK}')()}}}}",
    f"${{{MARK}}}",
    f"<object data=javascript:{MARK}>",
    f"<style>@import 'javascript:{MARK}';</style><base href=//evil.example/>",
]


class Answers(http.server.BaseHTTPRequestHandler):
    """A target of calls whose every answer is hostile."""

    def do_GET(self) -> None:
        payload = PAYLOADS[int(urllib.parse.urlsplit(self.path).query or 0)]
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("X-Payload", payload)
        self.end_headers()
        self.wfile.write(f"<html><script>{MARK}</script>{payload}".encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def hostile(open_site: Any, target: str) -> Site:
    """A queue in which everything that can be named is named by an enemy: commands, labels, keys, folders, output,
    the answers of calls and their headers."""
    site: Site = open_site("--count", "4")
    jobs = [
        {"argv": ["printf", "%s\\n", text], "label": text, "key": text, "limit_key": text, "max_retries": 0} for text in PAYLOADS
    ]
    jobs += [{"argv": ["sh", "-c", f"echo '{n}'; exit 1", text], "max_retries": 0} for n, text in enumerate(PAYLOADS)]
    jobs += [{"command": f"# {text}", "delay": 3600, "cwd": "/tmp", "label": text} for text in PAYLOADS]
    jobs += [
        {"url": f"{target}/?{n}", "headers": [["X-Sent", text]], "label": text, "max_retries": 0} for n, text in enumerate(PAYLOADS)
    ]
    added = site.post("jobs", jobs)
    assert added["added"] == 4 * len(PAYLOADS)
    site.ended(*added["ids"][: 2 * len(PAYLOADS)])
    site.ended(*added["ids"][3 * len(PAYLOADS) :])
    return site


@pytest.mark.wide
def test_no_payload_in_command_label_key_output_or_answer_is_run(hostile: Site, eyes: Eyes) -> None:
    page = eyes.open(hostile)
    for view in VIEWS:
        page.goto(f"{hostile.url}/#/{view}")
        page.wait_for_selector("main > *")
        page.wait_for_timeout(120)
    n = len(PAYLOADS)
    every = bool(os.environ.get("QUEUECTL_CHAOS"))  # else some: in the table of jobs all of them stand side by side
    for i in range(0, n, 1 if every else 7):
        for kind in range(4):
            job = kind * n + i + 1
            page.goto(f"{hostile.url}/#/job/{job}")
            page.wait_for_selector(f"q-job h1:has-text('Job {job}')")
            comes(page, "document.querySelector('.foot')?.textContent")
    for job in (1, 2 * n + 1):
        page.goto(f"{hostile.url}/#/add?from={job}")
        page.wait_for_selector("form")
        page.goto(f"{hostile.url}/#/jobs?q={urllib.parse.quote(PAYLOADS[job % n])}&label={urllib.parse.quote(PAYLOADS[0])}")
        page.wait_for_timeout(100)
    assert page.evaluate("window.__run") is None
    assert (
        page.evaluate("document.querySelectorAll('main script, main iframe, main img, main object, main style, base').length") == 0
    )


@pytest.mark.wide
def test_an_address_made_by_an_enemy_runs_nothing(hostile: Site, eyes: Eyes) -> None:
    eyes.allowed += ["404", "400", "422"]
    page = eyes.open(hostile)
    for text in PAYLOADS:
        for view in ("job/", "jobs?q=", "dead?reason="):
            page.goto(f"{hostile.url}/#/{view}{urllib.parse.quote(text, safe='')}")
    page.goto(f"{hostile.url}/#/job/%E0%A4%A")
    page.wait_for_timeout(300)
    assert page.evaluate("window.__run") is None


@pytest.mark.wide
def test_a_log_opened_by_itself_is_text_in_a_sandbox(hostile: Site, eyes: Eyes) -> None:
    head = hostile.curl("/api/v1/jobs/1/log", "-I", "-H", f"Authorization: Bearer {hostile.token()}").lower()
    assert "content-type: text/plain" in head and "nosniff" in head and "sandbox" in head
    page = eyes.open(hostile, "/api/v1/jobs/1/log")
    assert page.evaluate("window.__run") is None
    assert "<script>" in page.inner_text("body")


ATTACK = """<!doctype html><title>evil</title><iframe src="URL/"></iframe>
<form id=f method=post action="URL/api/v1/jobs" enctype="text/plain">
  <input name='{"command":"touch PROOF","label":"' value='"}'></form>
<form id=g method=post action="URL/api/v1/jobs/1/retry"></form>
<script>
const body = '{"command": "touch PROOF"}';
const credentials = 'include';
const tries = [
  fetch('URL/api/v1/status', {credentials}).then(one => one.text()),
  fetch('URL/api/v1/jobs', {method: 'POST', mode: 'no-cors', credentials, body}),
  fetch('URL/api/v1/jobs', {method: 'POST', credentials, headers: {'Content-Type': 'application/json'}, body}),
  new Promise((good, bad) => {
    const one = new EventSource('URL/api/v1/events', {withCredentials: true});
    one.onopen = good; one.onerror = bad; }),
  import('URL/static/app.js'),
];
Promise.allSettled(tries).then(all => { document.title = JSON.stringify(all.map(one => one.status)); });
</script>"""


@pytest.mark.wide
def test_another_sites_page_can_neither_read_nor_act_nor_show_this_one(open_site: Any, eyes: Eyes) -> None:
    site = open_site("--count", "1")
    proof = site.folder / "proof"
    site.ended(site.add("exit 1"))

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(ATTACK.replace("URL", site.url).replace("PROOF", str(proof)).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = eyes.open(site)
        comes(page, "document.getElementById('mode').textContent === 'Live'")
        context = page.context
        for evil in (f"http://127.0.0.1:{server.server_port}/", f"http://localhost:{server.server_port}/"):
            other = context.new_page()
            other.goto(evil)
            comes(other, "document.title.startsWith('[')")
            reading, no_cors, posting, streaming, importing = json.loads(other.title())
            assert (reading, posting, streaming, importing) == ("rejected",) * 4, other.title()
            assert no_cors in ("rejected", "fulfilled")  # opaque either way: what counts is that nothing was done
            frame = next(frame for frame in other.frames if frame != other.main_frame)
            assert frame.query_selector("#nav") is None
            for form in ("f", "g"):
                other = context.new_page()
                other.goto(evil)
                with other.expect_response(
                    lambda answer: answer.request.method == "POST" and answer.request.is_navigation_request()
                ) as answer:
                    other.evaluate(f"document.getElementById('{form}').submit()")
                assert answer.value.status in (401, 403), answer.value.url
        assert site.api("status")["dead"] == 1
        assert len(site.api("jobs")["jobs"]) == 1
        assert not proof.exists()
    finally:
        server.shutdown()


def test_the_page_may_load_nothing_but_its_own_files(site: Site) -> None:
    head = site.curl("/", "-I", "-H", f"Authorization: Bearer {site.token()}").lower()
    policy = next(line for line in head.splitlines() if line.startswith("content-security-policy"))
    assert (
        "default-src 'none'" in policy
        and "script-src 'self'" in policy
        and "style-src 'self'" in policy
        and "frame-ancestors 'none'" in policy
    )
    assert "unsafe" not in policy


def test_nothing_is_rendered_from_text() -> None:
    from pathlib import Path

    import queuectl

    assert queuectl.__file__
    for file in (Path(queuectl.__file__).parent / "doors/http/static").iterdir():
        text = file.read_text()
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "DOMParser",
            "style=",
            'onclick="',
        ):
            assert forbidden not in text, f"{file.name} holds {forbidden}"
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), f"{file.name} names another server"
        assert len(text.splitlines()) <= 400, f"{file.name} is too long to be read in one sitting"


def test_a_stranger_is_asked_who_they_are_and_let_in_by_the_token(site: Site, eyes: Eyes) -> None:
    eyes.allowed += ["401"]
    page = eyes.open(site, "/", let_in=False)
    page.get_by_label("token").fill("not the token")
    page.get_by_role("button", name="Enter").click()
    page.wait_for_selector("[role=alert] >> text=this is not the token")
    assert page.evaluate("getComputedStyle(document.querySelector('main')).padding") == "28px", "its policy lets its own style in"
    page.get_by_label("token").fill(site.token())
    page.get_by_role("button", name="Enter").click()
    comes(page, "document.getElementById('mode')?.textContent === 'Live'")
