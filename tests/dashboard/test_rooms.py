"""Dead letters, workers, queues, spools, settings, and the form that adds a job."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from behaviour import postgres

import queuectl

from .conftest import PROGRAM, Eyes, Site, comes

pytestmark = pytest.mark.wide


def test_dead_letters_are_grouped_by_reason_and_tried_again_one_some_or_all(open_site: Any, eyes: Eyes) -> None:
    site = open_site("--count", "4")
    flag = site.folder / "mended"
    sick = [site.add(f"test -e {flag} || exit 9") for _ in range(4)]
    slow = site.add("sleep 60", "--timeout", "0.2")
    site.ended(*sick, slow)
    page = eyes.open(site, "/#/dead")
    page.wait_for_selector(".group >> nth=1")
    groups = page.locator(".group")
    assert "exit 9" in groups.first.inner_text() and "4 ×" in groups.first.inner_text()
    assert "timeout" in groups.nth(1).inner_text()
    flag.touch()
    groups.first.get_by_role("button", name="Retry this one").click()
    comes(page, "document.querySelector('.group').textContent.includes('3 ×')")
    page.get_by_role("link", name="Choose among them").first.click()
    comes(page, "document.querySelectorAll('q-jobs tbody tr').length === 3")
    for n in (0, 1):
        page.locator("q-jobs tbody tr").nth(n).get_by_role("checkbox").check()
    page.locator(".chosen").get_by_role("button", name="Retry").click()
    page.locator("dialog").get_by_role("button", name="Retry 2").click()
    page.wait_for_selector("#said >> text=2 jobs asked to run again")
    page.goto(f"{site.url}/#/dead")
    page.locator(".group", has_text="exit 9").get_by_role("button", name="Retry it").click()
    page.locator("dialog").get_by_role("button", name="Retry 1").click()
    comes(page, "document.querySelectorAll('.group').length === 1")
    page.get_by_role("button", name="Retry all 1").click()
    page.locator("dialog").get_by_role("button", name="Retry 1").click()
    site.until(lambda: {site.job(job)["state"] for job in sick} == {"completed"})


def test_queues_are_paused_served_and_limited(site: Site, eyes: Eyes) -> None:
    site.ctl("queue", "limit", "media", "3")
    page = eyes.open(site, "/#/queues")
    row = page.locator("tr", has_text="media").first
    switch = row.get_by_role("switch")
    assert switch.is_checked()
    switch.click()
    page.wait_for_selector("#said >> text=Queue media is paused")
    assert [q["paused"] for q in site.api("queues")["queues"] if q["queue"] == "media"] == [True]
    row.get_by_role("switch").click()
    page.wait_for_selector("#said >> text=Queue media is served again")
    row.get_by_role("button", name="3 at once").click()
    page.locator("dialog").get_by_label("At once").fill("5")
    page.locator("dialog").get_by_label("Rate").fill("10/s")
    page.locator("dialog").get_by_role("button", name="Set").click()
    page.wait_for_selector("tr:has-text('media') >> text=5 at once")
    page.get_by_role("button", name="Set a limit").click()
    page.locator("dialog").get_by_label("Key").fill("api.example.org:443")
    page.locator("dialog").get_by_label("At once").fill("2")
    page.locator("dialog").get_by_role("button", name="Set").click()
    page.wait_for_selector("tr:has-text('api.example.org:443') >> text=2 at once")
    page.locator("tr", has_text="api.example.org:443").get_by_role("button", name="Remove").click()
    page.wait_for_selector("tr:has-text('api.example.org:443')", state="detached")


def test_a_wrong_value_is_refused_with_the_reason(site: Site, eyes: Eyes) -> None:
    eyes.allowed += ["400", "422"]
    page = eyes.open(site, "/#/settings")
    field = page.get_by_label("kill_grace")
    field.fill("soon")
    page.locator("tr", has_text="kill_grace").get_by_role("button", name="Save").click()
    page.wait_for_selector("#said >> text=kill_grace")
    field.fill("7")
    page.locator("tr", has_text="kill_grace").get_by_role("button", name="Save").click()
    page.wait_for_selector("#said >> text=kill_grace is set")
    assert site.ctl("config", "get", "kill_grace") == "7"


def test_workers_show_what_they_run_and_are_stopped(open_site: Any, eyes: Eyes) -> None:
    site = open_site("--count", "3")
    site.add("sleep 100", "--id", "nap")
    page = eyes.open(site, "/#/workers")
    page.wait_for_selector(".card >> text=sleep 100")
    assert "1 of 3 of its slots are busy" in page.locator("q-workers").inner_text()
    page.get_by_role("button", name="Stop").click()
    page.get_by_label("End its jobs now").check()
    page.locator("dialog").get_by_role("button", name="Stop it").click()
    page.wait_for_selector("#said >> text=was asked to stop")
    site.until(lambda: site.job("nap")["state"] != "processing")


KINDS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("command", {"Command": "echo one && echo two"}, {"command": "echo one && echo two", "argv": None}),
    ("argv", {"Program and arguments": "printf\n%s\na b"}, {"argv": ["printf", "%s", "a b"]}),
    ("url", {"URL": "http://127.0.0.1:1/hook", "Headers": "X-One: 1"}, {"command": "POST http://127.0.0.1:1/hook"}),
]


def test_jobs_of_each_kind_are_added_by_the_form(site: Site, eyes: Eyes) -> None:
    page = eyes.open(site, "/#/jobs")
    for kind, fields, expected in KINDS:
        page.goto(f"{site.url}/#/add")
        page.get_by_label("What runs").select_option(kind)
        if kind == "url":
            page.get_by_label("Method").select_option("POST")
        for label, text in fields.items():
            page.get_by_label(label, exact=True).fill(text)
        page.get_by_label("Not before").fill("1h")
        page.get_by_label("Label", exact=True).fill("by form")
        page.get_by_role("button", name="Add the job").click()
        page.wait_for_selector("q-job h1")
        job = site.job(page.url.rpartition("/")[2])
        assert job["label"] == "by form" and job["waiting_for"] == "time"
        assert {name: job[name] for name in expected} == expected


def test_the_form_says_which_field_is_wrong(site: Site, eyes: Eyes) -> None:
    eyes.allowed += ["400", "422"]
    page = eyes.open(site, "/#/add")
    page.get_by_label("Command", exact=True).fill("true")
    page.get_by_label("Time limit").fill("-5")
    page.get_by_role("button", name="Add the job").click()
    page.wait_for_selector(".wrong >> text=timeout")
    assert page.get_by_label("Time limit").get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"


def test_schedules_are_added_paused_run_and_removed(site: Site, eyes: Eyes) -> None:
    page = eyes.open(site, "/#/schedules")
    page.get_by_role("button", name="New schedule").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_label("When").fill("30 2 * * *")
    dialog.get_by_label("Command").fill("echo by schedule")
    dialog.get_by_role("button", name="Add").click()
    page.wait_for_selector("tr:has-text('nightly') >> text=30 2 * * *")
    page.get_by_role("switch").click()
    comes(page, "!document.querySelector('[role=switch]').checked")
    assert [one["paused"] for one in site.api("schedules")["schedules"]] == [True]
    page.get_by_role("button", name="Run now").click()
    site.until(lambda: [job for job in site.api("jobs?q=by+schedule")["jobs"] if job["state"] == "completed"])
    page.get_by_role("button", name="Remove").click()
    dialog.get_by_role("button", name="Remove").click()
    page.wait_for_selector("text=Nothing is added again and again")


def test_spools_show_which_packet_they_wait_for(site: Site, eyes: Eyes) -> None:
    folder = site.folder / "packets"
    subprocess.run([*PROGRAM, "fspl", "queue-init", "-q", str(folder)], check=True, env=site.env, timeout=20)
    page = eyes.open(site, "/#/spools")
    page.get_by_role("button", name="Attach a folder").click()
    page.locator("dialog").get_by_label("Folder").fill(str(folder))
    page.locator("dialog").get_by_label("Command").fill("cat")
    page.locator("dialog").get_by_role("button", name="Attach").click()
    page.wait_for_selector("tr:has-text('packets')")
    assert [spool["name"] for spool in json.loads(site.ctl("spool", "list", "--json"))] == ["packets"]
    page.locator("tr", has_text="packets").get_by_role("button", name="Detach").click()
    page.locator("dialog").get_by_role("button", name="Detach").click()
    page.wait_for_selector("text=No folder of packets is attached")


@pytest.fixture
def shared(open_site: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A queue of several machines."""
    if why := postgres.missing():
        pytest.skip(why)
    url = postgres.url()
    with tempfile.TemporaryDirectory() as state:  # short: the path of a socket is
        monkeypatch.setenv("QUEUECTL_URL", url)
        monkeypatch.setenv("XDG_STATE_HOME", state)
        site: Site = open_site("--count", "1")
        yield site
        site.close()
    postgres.drop(url)


def test_the_folder_of_a_spool_is_named_with_its_machine_where_the_queue_has_several(shared: Site, eyes: Eyes) -> None:
    for name in ("near", "far"):
        folder = shared.folder / name
        subprocess.run([*PROGRAM, "fspl", "queue-init", "-q", str(folder)], check=True, env=shared.env, timeout=20)
        shared.ctl("spool", "attach", str(folder), "--", "cat")
    with queuectl.open(shared.env["QUEUECTL_URL"]) as queue:  # as if it had been attached there
        queue.store.run("update spools set folder = ? where name = 'far'", (f"north:{shared.folder}/far",))
    page = eyes.open(shared, "/#/spools")
    near, far = (page.locator("tr", has=page.locator(f"th:has-text('{name}')")) for name in ("near", "far"))
    far.get_by_text("north watches it").wait_for()
    assert f"north:{shared.folder}/far" in far.inner_text()
    assert f"{os.uname().nodename}:{shared.folder}/near" in near.inner_text()
    assert far.locator("[data-tone=dead]").count() == 0
    assert near.get_by_role("button", name="Skip").count() == 1
    assert far.get_by_role("button", name="Skip").count() == 0, "the number of its next packet is in its folder, over there"


def test_a_queue_of_several_machines_lets_a_browser_in_and_shows_output_as_it_is_written(shared: Site, eyes: Eyes) -> None:
    go_on = shared.folder / "go-on"
    job = shared.add(f"echo first; until test -e {go_on}; do sleep 0.1; done; echo second")
    page = eyes.open(shared, f"/#/job/{job}")
    page.wait_for_selector(".output >> text=first")
    go_on.touch()
    page.wait_for_selector(".output >> text=second")
    assert {file.name for file in shared.folder.iterdir()} == {"queuectl_config.json", "go-on"}, "keys lie beside the state"
