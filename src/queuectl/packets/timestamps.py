"""Times as packets show them: RFC 3339, whole seconds, any year the original can show."""

from __future__ import annotations

from time import gmtime, localtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from time import struct_time

_EARLIEST, _LATEST = -8334632851200, 8210298412799


class NoSuchTime(ValueError):
    """A time that no calendar here can show."""


def utc(secs: int, nanos: int) -> str:
    """The time in UTC.

    >>> utc(1700000000, 70000), utc(-62167219201, 0), utc(59, 10**9)
    ('2023-11-14T22:13:20Z', '-0001-12-31T23:59:59Z', '1970-01-01T00:00:60Z')
    """
    _check(secs, nanos)
    fields = gmtime(secs)
    return _text(fields, gmtime(secs + 1) if nanos >= 10**9 else None) + "Z"


def local(secs: int, nanos: int) -> str:
    """The time in the zone of TZ or the machine, with a numeric offset whose seconds are cut."""
    _check(secs, nanos)
    fields = localtime(secs)
    minutes = abs(fields.tm_gmtoff) // 60
    text = _text(fields, localtime(secs + 1) if nanos >= 10**9 else None)
    return f"{text}{'-' if fields.tm_gmtoff < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _check(secs: int, nanos: int) -> None:
    if not (_EARLIEST <= secs <= _LATEST and nanos < 2 * 10**9):
        raise NoSuchTime(f"time out of range: {secs} seconds and {nanos} nanoseconds")


def _text(fields: struct_time, leap: struct_time | None) -> str:
    """A second of 10**9 nanoseconds and more is a leap second where it is the last of its minute, else the next."""
    year, month, day, hour, minute, second = fields[:6]
    if leap is not None:
        if second == 59:
            second = 60
        else:
            year, month, day, hour, minute, second = leap[:6]
    form = "%04d-%02d-%02dT%02d:%02d:%02d" if 0 <= year <= 9999 else "%+05d-%02d-%02dT%02d:%02d:%02d"
    return form % (year, month, day, hour, minute, second)
