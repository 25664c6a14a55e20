"""A job's page: everything known of it, its output live, and what can be done about it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .conftest import Eyes, Site, comes


def output(page: Any, text: str) -> None:
    comes(page, "text => document.querySelector('.output')?.textContent.includes(text)", arg=text)


def test_a_job_shows_what_is_known_of_it(site: Site, eyes: Eyes) -> None:
    job = site.add("echo first; exit 3", "--label", "nightly", "--max-retries", "1", "--priority", "4")
    site.ended(job)
    page = eyes.open(site, f"/#/job/{job}")
    output(page, "--- run 2 started")
    assert "dead" in page.locator(".title").inner_text()
    assert "failed 2 times, at last with exit status 3" in page.locator(".why").inner_text()
    facts = page.locator(".facts").inner_text()
    assert re.search(r"Label\s+nightly", facts) and re.search(r"Priority\s+4", facts) and re.search(r"Exit status\s+3", facts)
    attempts = page.locator("section.card:has(> h2:text-is('Runs')) tbody tr")
    page.wait_for_selector("section.card:has(> h2:text-is('Runs')) tbody tr >> nth=1")
    assert "exit 3" in attempts.first.inner_text() and "ms" in attempts.first.inner_text()
    history = page.locator(".card", has_text="History").last.inner_text()
    assert all(event in history for event in ("add", "start" if "start" in history else "claim", "finish"))


@pytest.mark.wide
def test_a_waiting_job_says_why(site: Site, eyes: Eyes) -> None:
    site.ctl("queue", "pause", "stopped")
    page = eyes.open(site, f"/#/job/{site.add('true', '--queue', 'stopped')}")
    page.wait_for_selector(".why >> text=queue stopped is paused")


@pytest.mark.wide
def test_output_comes_as_it_is_written_and_the_state_with_it(site: Site, eyes: Eyes) -> None:
    job = site.add("for n in 1 2 3 4 5 6; do echo step $n; sleep 0.9; done")
    page = eyes.open(site, f"/#/job/{job}")
    output(page, "step 1")
    assert "step 6" not in page.locator(".output").inner_text()
    assert "still being written" in page.locator(".foot").inner_text()
    output(page, "step 6")
    page.wait_for_selector(".title .state:has-text('completed')")
    page.wait_for_selector(".foot:has-text('complete')")
    assert page.locator(".output").inner_text().count("step 1") == 1


def test_colours_are_kept_and_nothing_else_of_a_terminal_is_obeyed(site: Site, eyes: Eyes) -> None:
    text = (
        r"\033[1;31mred\033[0m \033[38;5;208morange\033[0m \033[38;2;1;2;3mtrue\033[m "
        r"\033]0;title\007\033[2J<b>b</b>\n12%%\r100%%\n"
    )
    job = site.add(f"printf '{text}'; printf '\\342\\200\\256evil\\n'")
    site.ended(job)
    page = eyes.open(site, f"/#/job/{job}")
    output(page, "evil")
    shown = page.locator(".output").inner_text()
    assert "<b>b</b>" in shown and "\x1b" not in shown and "title" not in shown and "\u202e" not in shown and "⟨202E⟩" in shown
    assert "100%" in shown and "12%" not in shown
    red = page.locator(".output span", has_text="red")
    assert red.evaluate("one => getComputedStyle(one).fontWeight") == "700"
    assert red.evaluate("one => one.style.color") == "var(--dead)"
    assert page.locator(".output span", has_text="orange").evaluate("one => getComputedStyle(one).color") == "rgb(255, 135, 0)"
    assert page.locator(".output span", has_text="true").last.evaluate("one => getComputedStyle(one).color") == "rgb(1, 2, 3)"


@pytest.mark.wide
def test_twenty_megabytes_of_output_stay_smooth_and_can_be_searched(site: Site, eyes: Eyes) -> None:
    job = site.add(
        "echo the very beginning; seq -f 'line %.0f of a long story that goes on and on and on' 1 330000; echo the very end"
    )
    site.ended(job)
    page = eyes.open(site, f"/#/job/{job}")
    page.evaluate("""() => { window.longest = 0; new PerformanceObserver(list => {
      for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
    }).observe({entryTypes: ['longtask']}); }""")
    output(page, "the very end")
    assert page.evaluate("document.querySelector('.output').textContent.length") < 1_000_000
    find = page.get_by_label("Find in the output")
    find.fill("line 329999 of")
    page.wait_for_selector(".tools:has-text('1 of 1')")
    find.fill("the very beginning")
    page.wait_for_selector(".tools:has-text('not found')")
    page.get_by_role("button", name=re.compile("look in .* before")).click()
    page.wait_for_selector(".tools:has-text('1 of 1')", timeout=25_000)
    spot = "document.querySelector('.output').scrollTop"
    comes(page, f"{spot} < 3000")
    page.evaluate("document.querySelector('.output').scrollTop = document.querySelector('.output').scrollHeight / 2")
    page.wait_for_timeout(200)
    print(f"the longest task took {page.evaluate('window.longest'):.0f} ms")
    assert page.evaluate("window.longest") < 1500
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == f"{job}.log"
    with open(saved.value.path(), "rb") as file:
        assert file.read().rstrip().endswith(b"the very end")


@pytest.mark.wide
def test_wrapping_following_and_choosing_a_run(site: Site, eyes: Eyes) -> None:
    job = site.add(f"echo {'x' * 600}; echo run $QUEUECTL_RUN; exit 1", "--max-retries", "1")
    site.ended(job)
    page = eyes.open(site, f"/#/job/{job}")
    output(page, "--- run 2")
    wide = "(one => one.scrollWidth > one.clientWidth)(document.querySelector('.output'))"
    assert not page.evaluate(wide)
    page.get_by_role("button", name="Wrap").click()
    assert page.evaluate(wide)
    page.get_by_label("Which run").select_option(label="Run 1")
    comes(page, "!document.querySelector('.output').textContent.includes('--- run 2')")
    output(page, "xxx")


def test_the_buttons_are_those_that_the_state_allows(site: Site, eyes: Eyes) -> None:
    eyes.allowed += ["404"]  # of the job, once it is deleted: its page may ask for it a last time before it is left
    job = site.add("sleep 300", "--delay", "1h")
    page = eyes.open(site, f"/#/job/{job}")

    def button(name: str) -> Any:
        return page.locator(".title").get_by_role("button", name=name, exact=True)

    button("Hold").click()
    page.wait_for_selector(".title .state:has-text('held')")
    assert button("Hold").count() == 0
    button("Release").click()
    page.wait_for_selector(".title .state:has-text('scheduled')")
    button("Cancel").click()
    page.wait_for_selector(".title .state:has-text('cancelled')")
    button("Retry").click()
    page.wait_for_selector(".title .state:has-text('processing')")
    button("Cancel").click()
    page.locator("dialog").get_by_role("button", name="Leave it").click()
    assert site.job(job)["state"] == "processing"
    button("Cancel").click()
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".title .state:has-text('cancelled')")
    button("Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector("q-jobs")
    assert job not in [one["id"] for one in site.api("jobs")["jobs"]]


@pytest.mark.wide
def test_a_job_can_be_run_again_edited_and_copied_as_a_command(site: Site, eyes: Eyes) -> None:
    job = site.add("echo 'it''s me'", "--label", "two words", "--priority", "2")
    site.ended(job)
    page = eyes.open(site, f"/#/job/{job}")
    page.get_by_role("button", name="Copy as command").click()
    page.wait_for_selector("#said >> text=Copied")
    line = page.evaluate("navigator.clipboard.readText()")
    assert line.startswith("queuectl enqueue ") and "--label 'two words'" in line and "--priority 2" in line
    page.get_by_role("button", name="Run again", exact=True).click()
    comes(page, f"!location.hash.endsWith('/{job}')")
    again = page.url.rpartition("/")[2]
    assert site.job(again)["command"] == site.job(job)["command"]
    page.get_by_role("link", name="Edit and run again").click()
    page.get_by_label("Command").fill("echo changed")
    page.get_by_role("button", name="Add the job").click()
    output(page, "changed")
    third = page.url.rpartition("/")[2]
    assert site.job(third)["label"] == "two words"


@pytest.mark.wide
def test_what_waits_can_be_edited(site: Site, eyes: Eyes) -> None:
    job = site.add("echo old", "--delay", "1h")
    page = eyes.open(site, f"/#/job/{job}")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Command").fill("echo new")
    page.get_by_label("Priority").fill("9")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("q-job .command >> text=echo new")
    assert (site.job(job)["command"], site.job(job)["priority"], site.job(job)["waiting_for"]) == ("echo new", 9, "time")


@pytest.mark.wide
def test_a_call_that_waits_is_edited_and_keeps_its_secrets(site: Site, eyes: Eyes) -> None:
    headers = [["Authorization", "Bearer s3cret"], ["X-One", "1"]]
    job = site.post("jobs", {"url": "http://127.0.0.1:1/old", "method": "POST", "headers": headers, "body": "{}", "delay": 3600})[
        "id"
    ]
    page = eyes.open(site, f"/#/job/{job}")
    page.get_by_role("link", name="Edit", exact=True).click()
    assert page.get_by_label("Headers").input_value() == "Authorization: ***\nX-One: 1"
    page.get_by_label("URL").fill("http://127.0.0.1:1/new")
    page.get_by_label("Headers").fill("Authorization: ***\nX-Two: 2")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("q-job .command >> text=POST http://127.0.0.1:1/new")
    exported = json.loads(next(line for line in site.ctl("export").splitlines() if f'"id":"{job}"' in line.replace(" ", "")))
    assert "Bearer s3cret" in json.dumps(exported) and "X-Two" in json.dumps(exported) and "X-One" not in json.dumps(exported)


@pytest.mark.wide
def test_a_job_names_those_that_wait_for_it(site: Site, eyes: Eyes) -> None:
    first = site.add("true", "--delay", "1h")
    second = site.post("jobs", {"command": "echo after it", "after": first})["id"]
    page = eyes.open(site, f"/#/job/{first}")
    waiting = page.locator("section.card:has(> h2:text-is('What waits for it'))")
    waiting.get_by_role("link", name=second, exact=True).click()
    page.wait_for_selector(f"h1:has-text('Job {second}')")
    page.wait_for_selector(".title .state:has-text('blocked')")
    page.wait_for_selector(f".why >> text={first}")


@pytest.mark.wide
def test_a_job_that_does_not_exist_is_said_to(site: Site, eyes: Eyes) -> None:
    eyes.allowed += ["404"]
    page = eyes.open(site, "/#/job/nobody")
    page.wait_for_selector("text=There is no job nobody")
