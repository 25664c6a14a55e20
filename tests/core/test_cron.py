"""When a schedule is due: expressions, zones, both changes of summer time, what is made up for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from queuectl import InvalidInput, cron

HOUR = 3_600_000_000


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def shown(us: int | None) -> str | None:
    return None if us is None else datetime.fromtimestamp(us / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("expression", "after", "following"),
    [
        ("*/15 * * * *", "2026-01-01 00:00", "2026-01-01 00:15"),
        ("0 3 * * mon-fri", "2026-01-02 12:00", "2026-01-05 03:00"),
        ("30 2 29 2 *", "2026-01-01 00:00", "2028-02-29 02:30"),
        ("0 0 13 * 5", "2026-01-01 00:00", "2026-01-02 00:00"),  # either day, as cron has always had it
        ("@daily", "2026-01-01 00:00", "2026-01-02 00:00"),
    ],
)
def test_the_next_instant(expression: str, after: str, following: str) -> None:
    assert shown(cron.next_after(cron.expression(expression), "UTC", at(after))) == following


@pytest.mark.parametrize(
    ("zone", "expression", "day", "instants"),
    [
        # The hour from two to three is left out: what stands in it runs when the clock has jumped, once.
        ("Europe/Berlin", "30 2 * * *", "2026-03-29", ["2026-03-29 01:00"]),
        ("America/New_York", "30 2 * * *", "2026-03-08", ["2026-03-08 07:00"]),
        # It comes twice: what stands in it runs once, what runs all the time goes on through it.
        ("Europe/Berlin", "30 2 * * *", "2026-10-25", ["2026-10-25 00:30"]),
        ("Europe/Berlin", "0 * * * *", "2026-10-25", [f"2026-10-25 {h:02}:00" for h in range(24)]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04", ["2026-04-04 14:45"]),
    ],
)
def test_the_changes_of_summer_time(zone: str, expression: str, day: str, instants: list[str]) -> None:
    found, moment = [], at(f"{day} 00:00") - 1_000_000
    while (following := cron.next_after(expression, zone, moment)) is not None and following < at(f"{day} 00:00") + 24 * HOUR:
        found.append(shown(following))
        moment = following
    assert found == instants


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Africa/Casablanca"]
WRONG = ["", "* * * *", "* * * * * *", "61 * * * *", "a b c d e", "0 0 31 2 *", "@sometimes", "* * * * *\0"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "45 1 * * 0"])
def test_a_year_of_days_has_an_instant_each_and_none_twice(zone: str, expression: str) -> None:
    days: list[str] = []
    moment, end = at("2026-01-01 12:00"), at("2027-01-01 12:00")
    while (following := cron.next_after(expression, zone, moment)) is not None and following < end:
        assert following > moment
        moment = following
        days.append(datetime.fromtimestamp(moment / 1e6, tz=cron.timezone(zone)).strftime("%Y-%m-%d"))
    assert len(days) == len(set(days))
    assert len(days) in ((365,) if expression[-1] == "*" else (52,))


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_expression_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        cron.expression(wrong)
    assert refusal.value.field == "cron"


@pytest.mark.parametrize("wrong", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "Europe/Berlin\0"])
def test_what_is_no_zone_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        cron.timezone(wrong)
    assert refusal.value.field == "zone"


def test_what_was_missed_is_made_up_for_as_asked() -> None:
    hourly, now = "0 * * * *", 10 * HOUR + 5 * 60_000_000
    assert cron.due(hourly, "UTC", 7 * HOUR, now, "one") == ([7 * HOUR], 11 * HOUR)
    assert cron.due(hourly, "UTC", 7 * HOUR, now, "none") == ([], 11 * HOUR)
    assert cron.due(hourly, "UTC", 7 * HOUR, now, "all") == ([7 * HOUR, 8 * HOUR, 9 * HOUR, 10 * HOUR], 11 * HOUR)


@pytest.mark.parametrize("catch_up", cron.CATCH_UPS)
def test_what_is_due_in_this_second_runs_whatever_was_missed(catch_up: str) -> None:
    instants, following = cron.due("0 * * * *", "UTC", 7 * HOUR, 10 * HOUR, catch_up)
    assert instants
    assert following == 11 * HOUR


@pytest.mark.parametrize("catch_up", cron.CATCH_UPS)
def test_a_clock_that_is_set_back_runs_nothing_twice(catch_up: str) -> None:
    instants, following = cron.due("0 * * * *", "UTC", 7 * HOUR, 7 * HOUR, catch_up)
    assert instants == [7 * HOUR]
    assert following == 8 * HOUR
    for now in (5 * HOUR, 7 * HOUR, 8 * HOUR - 1):
        assert cron.due("0 * * * *", "UTC", following, now, catch_up) == ([], following)


def test_ten_years_of_minutes_are_not_made_up_for_in_one_go() -> None:
    instants, following = cron.due("* * * * *", "UTC", 60_000_000, at("2026-01-01 00:00"), "all")
    assert len(instants) == cron.ALL_AT_ONCE
    assert following == (cron.ALL_AT_ONCE + 1) * 60_000_000
