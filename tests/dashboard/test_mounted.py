"""The page under a prefix of somebody else's site: the same page, its addresses included."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Eyes, Site, comes

SITE = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
import queuectl, queuectl.http

queue = queuectl.http.app(queuectl.open(sys.argv[1]))
site = Starlette(routes=[Route("/", lambda request: PlainTextResponse("somebody else's")), Mount("/ops/queue", app=queue)])
uvicorn.run(site, host="127.0.0.1", port=0, log_level="info")
"""


@pytest.fixture(scope="module")
def mounted(site: Site) -> Iterator[str]:
    arguments = [sys.executable, "-c", SITE, str(site.folder / "queuectl.db")]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=site.env, cwd=site.folder)
    assert process.stderr is not None
    port = next(found[1] for line in process.stderr if (found := re.search(r"running on http://127.0.0.1:(\d+)", line)))
    yield f"http://127.0.0.1:{port}/ops/queue"
    process.terminate()
    try:
        process.wait(10)
    finally:
        process.kill()
        process.stderr.close()


@pytest.mark.wide
@pytest.mark.parametrize("end", ["/", "", "/tasks"])
def test_the_page_works_where_it_is_mounted(site: Site, mounted: str, eyes: Eyes, end: str) -> None:
    job = site.add("echo from the mounted page; exit 6")
    site.ended(job)
    context = eyes.browser.new_context()
    eyes.contexts.append(context)
    page: Any = context.new_page()
    eyes.watch(page, mounted)
    context.request.get(mounted + site.ctl("token", "link"), max_redirects=0)
    page.goto(f"{mounted}{end}#/jobs?state=dead")
    page.wait_for_selector(f"q-jobs tr:has-text('{job}')")
    page.click(f"q-jobs a.id >> text='{job}'")
    page.wait_for_selector(".output >> text=from the mounted page")
    assert page.url.startswith(mounted)
    comes(page, "document.getElementById('mode').textContent === 'Live'")
