"""When a recurring schedule is due: cron expressions as Debian's cron reads them, in a time zone. Pure, but for the zones'
own rules; the library behind it is imported when a schedule is looked at.

At the changes of summer time it does what Debian's cron does: what stands at a fixed time in an hour that is left out
runs when the clock has jumped; what stands in an hour that comes twice runs once; what runs every so many minutes goes on.
"""

from __future__ import annotations

from .errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import tzinfo

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
ON_TIME_US = 60_000_000  # an instant this long ago was not missed: somebody is just busy
ALL_AT_ONCE = 100  # missed instants made up for in one turn
CATCH_UPS = ("one", "none", "all")


def expression(text: str) -> str:
    """A cron expression of five fields, or a nickname such as `@daily`. Raises InvalidInput."""
    fields = NICKNAMES.get(text.strip().lower(), " ".join(text.split()))
    hint = "five fields: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly"
    if len(fields.split()) != 5:
        raise InvalidInput(f"cron expression {text[:60]!r} is not understood", hint=hint, field="cron")
    next_after(fields, "UTC", 0)
    return fields


def next_after(cron: str, zone: str, after_us: int) -> int | None:
    """The first instant after this one, in microseconds since 1970; None when there is none. Raises InvalidInput.

    >>> next_after("30 2 * * *", "UTC", 0)
    9000000000
    """
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    try:
        after = datetime.fromtimestamp(after_us // 1_000_000, tz=timezone(zone))
        return round(next(CronSim(cron, after)).timestamp()) * 1_000_000
    except CronSimError as fault:
        raise InvalidInput(f"cron expression {cron[:60]!r} is not understood", why=str(fault), field="cron") from None
    except (StopIteration, OverflowError, ValueError):
        return None  # no such day in the years to come


def timezone(name: str) -> tzinfo:
    """Raises InvalidInput."""
    from datetime import UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "a name such as Europe/Berlin or UTC; where the system has none, install tzdata"
        raise InvalidInput(f"time zone {name[:60]!r} is not known", hint=hint, field="zone") from None


def due(cron: str, zone: str, next_us: int, now_us: int, catch_up: str) -> tuple[list[int], int | None]:
    """(the instants to run for, the next one) when the next one was `next_us` and it is now `now_us`.

    Of instants that nobody was there to see `one` is made up for, or `none`, or `all` of them. A clock that is set back
    changes nothing: what has run lies before the next instant.

    >>> hour = 3_600_000_000
    >>> due("0 * * * *", "UTC", hour, 3 * hour + 1, "one"), due("0 * * * *", "UTC", hour, 3 * hour + 1, "all")[0]
    (([3600000000], 14400000000), [3600000000, 7200000000, 10800000000])
    >>> due("0 * * * *", "UTC", hour, 2 * hour - 1, "none")
    ([], 7200000000)
    """
    if next_us > now_us:
        return [], next_us
    if catch_up == "one":
        return [next_us], next_after(cron, zone, now_us)
    if catch_up == "none":
        newest = next_after(cron, zone, max(next_us - 1_000_000, now_us - ON_TIME_US))
        return ([newest] if newest is not None and newest <= now_us else []), next_after(cron, zone, now_us)
    instants: list[int] = []
    at: int | None = next_us
    while at is not None and at <= now_us and len(instants) < ALL_AT_ONCE:
        instants.append(at)
        at = next_after(cron, zone, at)
    return instants, at
