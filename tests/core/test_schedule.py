"""Durations, moments, backoff: exact, in UTC, strict in what is read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.errors import InvalidInput
from queuectl.schedule import SECONDS_MAX, Backoff, duration_s, instant_us
from queuectl.shown import iso, iso_exact


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("0.5s", 0.5),
        ("10m", 600),
        ("2h30m", 9000),
        ("1d", 86400),
        ("1w2d", 777600),
        (" 5m ", 300),
        ("5M", 300),
        ("30m2h", 9000),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "m",
        "5x",
        "-5",
        "+5",
        "5m5",
        "5m5m",
        "1..2",
        ".",
        "1e3",
        "٣",
        "²",
        "inf",
        "nan",
        "5 m",
        "1h 2m",
        "0x10",
        "5\n6",
        "\0",
    ],
)
def test_what_is_no_duration_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        duration_s(text, "delay")
    assert refusal.value.field == "delay"
    assert refusal.value.hint


@pytest.mark.parametrize("text", [str(SECONDS_MAX + 1), "9" * 400, "9" * 30 + "w"])
def test_a_duration_beyond_any_calendar_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        duration_s(text)


@given(st.integers(0, 9999), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_units_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    assert duration_s(f"{days}d{hours}h{minutes}m{seconds}s") == days * 86400 + hours * 3600 + minutes * 60 + seconds


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_any_offset_means_the_same_moment(at: datetime, offset_minutes: int) -> None:
    utc = at.replace(tzinfo=UTC)
    elsewhere = utc.astimezone(timezone(timedelta(minutes=offset_minutes)))
    assert instant_us(elsewhere.isoformat()) == instant_us(utc.isoformat()) == instant_us(at.isoformat())


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_a_moment_is_exact_to_the_microsecond(at: datetime) -> None:
    us = instant_us(at.isoformat())
    assert datetime(1970, 1, 1) + timedelta(microseconds=us) == at


@given(st.integers(0, 253_402_300_799_999_999))
def test_a_shown_moment_reads_back(us: int) -> None:
    assert instant_us(iso_exact(us) or "") == us
    assert instant_us(iso(us) or "") == us // 1_000_000 * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2025-11-08T14:00:00Z",
        "2025-11-08T14:00Z",
        "2025-11-08 14:00",
        "20251108T140000Z",
        "2025-11-08T16:00:00+02:00",
        "2025-W45-6T14:00",
    ],
)
def test_the_ways_to_write_a_moment_agree(text: str) -> None:
    assert instant_us(text) == 1762610400_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "14:00",
        "2025-02-30",
        "2025-13-01T00:00",
        "2025-11-08T25:00",
        "2025-11-08T14:00:00+25:00",
        "0000-01-01",
        "12345",
    ],
)
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        instant_us(text)
    assert (refusal.value.field, refusal.value.exit_code) == ("run_at", 2)
    assert "2025-11-08T14:00:00Z" in refusal.value.hint


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_no_calendar_has_in_utc_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        instant_us(text)


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_the_zone_of_the_machine_and_its_summer_time_change_nothing(zone: str) -> None:
    hours = [f"2025-{month:02}-{day:02}T{hour:02}:30" for month, day in ((3, 30), (10, 26), (3, 9), (4, 6)) for hour in range(24)]
    moments = [instant_us(text) for text in hours]
    assert all(
        b - a == 3600_000_000 for day in range(4) for a, b in zip(moments[day * 24 :][:23], moments[day * 24 :][1:24], strict=True)
    )
    assert iso(moments[2]) == "2025-03-30T02:30:00Z"


@pytest.mark.parametrize(
    ("base", "waits"), [(2, [2, 4, 8, 16]), (1, [1, 1, 1, 1]), (0, [0, 0, 0, 0]), (1.5, [1.5, 2.25, 3.375, 5.0625])]
)
def test_the_wait_is_base_to_the_power_of_attempts(base: float, waits: list[float]) -> None:
    assert [Backoff(base).delay_s(n) for n in (1, 2, 3, 4)] == waits


@given(st.floats(0, 1000), st.integers(1, 1_000_000))
def test_no_wait_is_without_end(base: float, attempts: int) -> None:
    assert 0 <= Backoff(base).delay_s(attempts) <= SECONDS_MAX


@given(st.floats(0, 1000), st.integers(1, 50), st.floats(0.001, 10_000))
def test_no_wait_is_above_the_ceiling(base: float, attempts: int, ceiling: float) -> None:
    assert Backoff(base, ceiling).delay_s(attempts) == min(Backoff(base).delay_s(attempts), ceiling)
