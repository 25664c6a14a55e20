"""A page that stays open beside a million jobs, while twenty a second run."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import Any

import pytest

from .conftest import PROGRAM, Eyes, Site, comes

LONG = os.environ.get("QUEUECTL_CHAOS") == "long"
WAITING = 1_000_000 if LONG else 20_000
BUSY_S = 60 if LONG else 6
A_SECOND = 20
WATCH = """() => {
  window.longest = 0;
  new PerformanceObserver(list => {
    for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
  }).observe({entryTypes: ['longtask']}); }"""


@pytest.fixture(scope="module")
def large(open_site: Any) -> Site:
    site: Site = open_site("--count", "4")
    site.ctl("queue", "pause", "pile")
    pile = site.folder / "pile"
    with pile.open("w") as file:
        file.writelines(f"echo {n} of a pile\n" for n in range(WAITING))
    done = subprocess.run(
        [*PROGRAM, "enqueue", "--queue", "pile", "--from", str(pile)], env=site.env, capture_output=True, timeout=900
    )
    assert done.returncode == 0, done
    return site


def took_s(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_million_jobs_and_twenty_a_second_do_not_slow_the_page(large: Site, eyes: Eyes) -> None:
    page = eyes.open(large)
    comes(page, f"document.querySelector('.tiles b')?.title.replaceAll(',', '') >= {WAITING}")
    page.evaluate(WATCH)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    stop = threading.Event()
    flow = threading.Thread(target=flowing, args=(large, stop))
    flow.start()
    try:
        memory = heap(page)
        looks = [look(large, page) for _ in range(max(1, BUSY_S // 6))]
    finally:
        stop.set()
        flow.join()
    slowest = {name: max(one[name] for one in looks) for name in looks[0]}
    grown = heap(page) - memory
    longest = page.evaluate("window.longest")
    rest = f"longest task {longest:.0f} ms, {len(requests)} requests, heap +{grown / 1e6:.1f} MB"
    print(f"{WAITING} jobs: {slowest}; {rest}")
    assert all(took < 3 for took in slowest.values()), slowest
    assert longest < 400
    assert grown < 15e6
    page.goto(f"{large.url}/#/")
    comes(page, "document.querySelector('.tiles li:nth-child(3) b').textContent !== '0'")


def flowing(site: Site, stop: threading.Event) -> None:
    """Twenty jobs a second."""
    token = site.token()
    body = "[" + ", ".join(['{"command": "true"}'] * A_SECOND) + "]"
    while not stop.wait(1):
        site.curl("/api/v1/jobs", "-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json", "-d", body)


def look(site: Site, page: Any) -> dict[str, float]:
    """Walk through the pages as somebody who wants to know; how long each took to show."""

    def at(view: str, shows: str) -> float:
        return took_s(lambda: (page.evaluate(f"location.hash = '#/{view}'"), page.wait_for_selector(shows)))

    found = {
        "overview": at("", "q-overview .facts dd"),
        "newest": at("jobs", "q-jobs tbody tr:nth-child(50)"),
        "oldest": at("jobs?sort=oldest&queue=pile", "q-jobs tbody tr:nth-child(50)"),
        "search": at(f"jobs?q={WAITING // 2}+of+a", "q-jobs tbody tr, q-jobs .nothing:visible"),
        "queues": at("queues", "q-queues tbody tr"),
        "job": at("job/7", "q-job .facts dd"),
    }
    page.evaluate("location.hash = '#/'")
    page.wait_for_timeout(3000)
    return found


def heap(page: Any) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])
