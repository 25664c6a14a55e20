"""When something is due: backoff, delays, points in time. Pure: the present moment is always an argument."""

from __future__ import annotations

from .errors import InvalidInput
from .record import Record

SECONDS_MAX = 10**10  # some three centuries; keeps every time inside what a calendar can show
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Backoff(Record):
    """The wait before run n+1 after n failed runs: `base ** n` seconds, at most `ceiling_s`, widened by jitter."""

    base: float = 2.0
    ceiling_s: float = 0.0  # 0: none
    jitter: float = 0.0  # 0.1 = up to ten percent longer

    def delay_s(self, attempts: int, draw: float = 0.0) -> float:
        """Seconds to wait; `draw` (0…1) picks the place inside the jitter.

        >>> [Backoff(2.0).delay_s(n) for n in (1, 2, 3)]
        [2.0, 4.0, 8.0]
        >>> Backoff(2.0, ceiling_s=5.0).delay_s(9)
        5.0
        """
        try:
            delay = float(self.base**attempts)
        except OverflowError:
            delay = float(SECONDS_MAX)
        delay = min(delay, self.ceiling_s or SECONDS_MAX, SECONDS_MAX)
        return delay * (1.0 + self.jitter * draw)


def duration_s(text: str, field: str = "duration") -> float:
    """Seconds from `90`, `1.5`, `10m`, `2h30m`, `1d`.

    >>> duration_s("90"), duration_s("2h30m"), duration_s("0.5s")
    (90.0, 9000.0, 0.5)
    """
    total, number, seen = 0.0, "", ""
    for char in text.strip().lower():
        if char.isascii() and (char.isdigit() or char == "."):
            number += char
        elif char in UNITS and number and char not in seen:
            total += _number(number, text, field) * UNITS[char]
            number, seen = "", seen + char
        else:
            raise _not_a_duration(text, field)
    if number:
        if seen:
            raise _not_a_duration(text, field)
        total = _number(number, text, field)
    elif not seen:
        raise _not_a_duration(text, field)
    if total > SECONDS_MAX:
        raise InvalidInput(f"{field} {text!r} is too long", hint=f"at most {SECONDS_MAX} seconds", field=field)
    return total


def _number(digits: str, text: str, field: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise _not_a_duration(text, field) from None


def _not_a_duration(text: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"{field} {text!r} is not a duration", hint="write seconds, or 10m, 2h30m, 1d", field=field
    )


def instant_us(text: str, field: str = "run_at") -> int:
    """Microseconds since 1970 from an ISO-8601 time; without an offset it is UTC.

    >>> instant_us("2025-11-08T14:00:00Z") == instant_us("2025-11-08T16:00:00+02:00") == instant_us("2025-11-08 14:00")
    True
    """
    from datetime import UTC, datetime  # only commands that name a time pay for the calendar

    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        whole = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{field} {text!r} is not a time",
            hint="write ISO-8601, for example 2025-11-08T14:00:00Z or 2025-11-08T15:00:00+01:00",
            field=field,
        ) from None
    return (whole.days * 86400 + whole.seconds) * 1_000_000 + whole.microseconds


RATE_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
RATE_MAX = 100_000  # a second


def interval_us(rate: str, field: str = "rate") -> int | None:
    """Microseconds between two starts, from `10/s`, `30/min`, `100/h`; None for `none`.

    >>> interval_us("10/s"), interval_us("30/min"), interval_us("none")
    (100000, 2000000, None)
    """
    if rate == "none":
        return None
    count, _, unit = rate.partition("/")
    if not count.isascii() or not count.isdigit() or len(count) > 9 or unit not in RATE_UNITS or int(count) == 0:
        raise InvalidInput(f"{field} {rate!r} is not understood", hint="write 10/s, 30/min, 100/h or none", field=field)
    if int(count) > RATE_MAX * RATE_UNITS[unit]:
        raise InvalidInput(f"{field} {rate!r} is out of range", hint=f"at most {RATE_MAX}/s", field=field)
    return max(1, round(RATE_UNITS[unit] * 1_000_000 / int(count)))


def rate_text(interval: int | None) -> str | None:
    """The rate that an interval means, in the largest unit that makes it whole.

    >>> rate_text(100_000), rate_text(2_000_000), rate_text(36_000_000), rate_text(None)
    ('10/s', '30/min', '100/h', None)
    """
    if interval is None:
        return None
    for unit in ("s", "min", "h"):
        count = RATE_UNITS[unit] * 1_000_000 / interval
        if count >= 1 and abs(count - round(count)) < 0.001 * count:
            return f"{round(count)}/{unit}"
    return f"{86_400_000_000 / interval:.4g}/d"


def ago(seconds: float) -> str:
    """A span of time in its largest unit.

    >>> ago(5), ago(125), ago(7300), ago(200000)
    ('5s', '2m', '2h', '2d')
    """
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
