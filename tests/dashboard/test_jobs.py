"""The table of jobs: found, chosen, acted on; the address holds the view."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Eyes, Site, comes

pytestmark = pytest.mark.wide


@pytest.fixture(scope="module")
def many(open_site: Any) -> Site:
    """120 waiting jobs in a paused queue, a few others."""
    site: Site = open_site("--count", "2")
    site.ctl("queue", "pause", "later")
    site.post(
        "jobs",
        [{"command": f"echo number {n}", "queue": "later", "label": "odd" if n % 2 else "even", "priority": n} for n in range(120)],
    )
    site.ended(site.add("exit 1", "--id", "broken"), site.add("echo fine", "--id", "fine"))
    return site


def rows(page: Any) -> Any:
    return page.locator("q-jobs tbody tr")


def expect_rows(page: Any, n: int) -> None:
    comes(page, f"document.querySelectorAll('q-jobs tbody tr').length === {n}")


def test_filters_and_search_narrow_the_table_and_stand_in_the_address(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs")
    expect_rows(page, 50)
    page.get_by_role("button", name="dead").click()
    expect_rows(page, 1)
    assert "state=dead" in page.url and rows(page).locator(".id").inner_text() == "broken"
    page.get_by_role("button", name="dead").click()
    expect_rows(page, 50)
    page.get_by_label("Search").fill("number 77")
    expect_rows(page, 1)
    assert "q=number+77" in page.url
    page.get_by_label("Search").fill("")
    page.get_by_label("Queue", exact=True).select_option("default")
    expect_rows(page, 2)
    page.get_by_label("Queue", exact=True).select_option("later")
    page.wait_for_selector("q-jobs .job code >> text='echo number 119'")
    page.locator("q-jobs a.chip", has_text="odd").first.click()
    page.wait_for_selector("text=label odd")
    page.get_by_label("Queue", exact=True).select_option("later")
    page.get_by_label("Order").select_option("oldest")
    comes(page, "document.querySelector('q-jobs .job code')?.textContent === 'echo number 1'")
    shared = eyes.open(many, page.url.removeprefix(many.url))
    comes(shared, "document.querySelector('q-jobs .job code')?.textContent === 'echo number 1'")
    assert shared.get_by_role("button", name="label odd").count() == 1
    assert shared.get_by_label("Order").input_value() == "oldest"


def test_pages_go_on_where_the_last_one_ended_and_back(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs?queue=later&sort=oldest")
    expect_rows(page, 50)
    page.get_by_role("button", name="Next").click()
    comes(page, "document.querySelector('q-jobs .job code')?.textContent === 'echo number 50'")
    page.get_by_role("button", name="Next").click()
    expect_rows(page, 20)
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_role("button", name="Previous").click()
    comes(page, "document.querySelector('q-jobs .job code')?.textContent === 'echo number 50'")
    page.go_back()
    expect_rows(page, 20)


def test_an_order_by_priority_shows_what_starts_next(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs?queue=later&sort=priority")
    expect_rows(page, 50)
    assert rows(page).first.locator("code").inner_text() == "echo number 119"


def test_chosen_jobs_are_acted_on_together_and_the_page_says_how_many_that_are(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs?queue=later&sort=oldest")
    expect_rows(page, 50)
    for n in range(3):
        rows(page).nth(n).get_by_role("checkbox").check()
    assert "3 jobs chosen" in page.locator(".chosen").inner_text()
    page.locator(".chosen").get_by_role("button", name="Hold").click()
    page.wait_for_selector("dialog >> text=Hold 3 jobs?")
    page.locator("dialog").get_by_role("button", name="Hold 3").click()
    page.wait_for_selector("#said >> text=3 jobs held")
    comes(page, "[...document.querySelectorAll('q-jobs .state')].filter(one => one.textContent === 'held').length === 3")
    assert [many.job(str(n))["waiting_for"] for n in (1, 3)] == ["release", "release"]
    assert page.locator(".chosen").is_hidden()


def test_a_whole_filter_can_be_chosen_and_what_does_not_allow_it_is_passed_over(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs?queue=later&label=even&since=24")
    expect_rows(page, 50)
    page.get_by_label("Choose all on this page").check()
    page.get_by_role("button", name="choose all of this filter").click()
    assert "All jobs of this filter are chosen" in page.locator(".chosen").inner_text()
    page.locator(".chosen").get_by_role("button", name="Cancel").click()
    page.wait_for_selector("dialog >> text=Cancel 60 jobs?")
    page.locator("dialog").get_by_role("button", name="Leave it").click()
    page.wait_for_selector("dialog", state="detached")
    assert many.api("status")["cancelled"] == 0
    page.locator(".chosen").get_by_role("button", name="Retry").click()
    page.wait_for_selector("#said >> text=None of these 60 jobs")
    page.locator(".chosen").get_by_role("button", name="Priority").click()
    page.locator("dialog").get_by_label("Priority").fill("7")
    page.locator("dialog").get_by_role("button", name="Next").click()
    page.locator("dialog").get_by_role("button", name="Priority 60").click()
    page.wait_for_selector("#said >> text=60 jobs given another priority")
    assert {job["priority"] for job in many.api("jobs?queue=later&label=even")["jobs"]} == {7}


def test_rows_change_in_place_and_new_jobs_come_in_by_themselves(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs?queue=default")
    expect_rows(page, 2)
    job = many.add("sleep 1.5; exit 1", "--max-retries", "0")
    page.wait_for_selector(f"q-jobs tr:has-text('{job}') .state:has-text('processing')")
    page.wait_for_selector(f"q-jobs tr:has-text('{job}') .state:has-text('dead')")


def test_new_jobs_do_not_push_away_what_somebody_works_on(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs")
    expect_rows(page, 50)
    rows(page).nth(1).get_by_role("checkbox").check()
    before = rows(page).locator(".id").all_inner_texts()
    many.add("true", "--queue", "later", "--delay", "1h")
    second = many.add("true", "--queue", "later", "--delay", "1h")
    page.wait_for_selector("text=2 new jobs: show")
    waits = page.locator("q-jobs tbody tr", has_text="pending").first.locator(".id").inner_text()
    many.post(f"jobs/{waits}/cancel", {})  # a change of what is seen, and no other
    page.wait_for_selector(f"q-jobs tr:has-text('{waits}') .state:has-text('cancelled')")
    page.wait_for_timeout(1000)  # in which it may have been read again
    assert rows(page).locator(".id").all_inner_texts() == before
    later = {"command": "true", "queue": "later", "delay": "1h"}
    many.post("jobs", [later] * 300)  # too many to be told one by one
    page.wait_for_selector("text=at least 50 new jobs: show")
    page.context.set_offline(True)
    page.wait_for_timeout(300)
    page.context.set_offline(False)
    comes(page, "document.getElementById('mode').dataset.mode === 'live'")
    assert rows(page).locator(".id").all_inner_texts() == before
    assert rows(page).nth(1).get_by_role("checkbox").is_checked()
    page.get_by_role("button", name="new jobs: show").click()
    comes(page, f"document.querySelector('q-jobs .id').textContent > '{second}'")


def test_nothing_found_says_so_and_leads_back(many: Site, eyes: Eyes) -> None:
    page = eyes.open(many, "/#/jobs?q=no+such+thing")
    page.get_by_role("link", name="Show all jobs").click()
    expect_rows(page, 50)
