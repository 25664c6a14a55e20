"""What an answer to a call means: is it a success, may the call be tried again, and when. Pure; no clock, no network."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from .errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ANY_SUCCESS = "2xx"
STATUS_MIN, STATUS_MAX = 100, 599
RETRY_AFTER_S_MAX = 86_400.0
BUSY = frozenset((429, 503))  # the target as a whole asks to be left alone
BUSY_S, BUSY_S_MAX = 1.0, 60.0  # when it does not say for how long: doubled each time
RETRY_HEADER = "X-Queuectl-Retry"
# Why a call failed, in a word; a journal holds their places in this table, so new ones go to its end.
REASONS = (
    *("", "http", "timeout", "connect timeout", "connection refused", "cannot connect", "name not found", "not trusted"),
    *("cut", "bad answer", "bad url", "bad redirect", "too many redirects", "address refused", "unexpected body"),
    *("not signed", "proxy failed", "cancelled"),
)


def status_set(value: Any, field: str = "expect_status") -> str:
    """The statuses that count as success, as text: `200`, `2xx,304`, `200-204`.

    >>> status_set("2XX, 304"), status_set(200), status_set([200, "3xx"])
    ('2xx,304', '200', '200,3xx')
    """
    parts = value if isinstance(value, (list, tuple)) else str(value).replace(",", " ").split()
    found = [str(part).strip().lower() for part in parts if not isinstance(part, bool)]
    if not found or isinstance(value, bool) or not all(_span(part) for part in found):
        hint = "statuses such as 200, 2xx,304 or 200-204"
        raise InvalidInput(f"{field} {str(value)[:60]!r} is not understood", hint=hint, field=field)
    return ",".join(found)


def _span(part: str) -> tuple[int, int] | None:
    if len(part) == 3 and part.endswith("xx") and part[0] in "12345":
        return int(part[0]) * 100, int(part[0]) * 100 + 99
    left, dash, right = part.partition("-")
    ends = (left, right if dash else left)
    if not all(end.isascii() and end.isdigit() and len(end) == 3 for end in ends):
        return None
    low, high = int(ends[0]), int(ends[1])
    return (low, high) if STATUS_MIN <= low <= high <= STATUS_MAX else None


def is_expected(status: int, expected: str) -> bool:
    """
    >>> is_expected(204, "2xx,304"), is_expected(304, "2xx,304"), is_expected(500, "200-204")
    (True, True, False)
    """
    spans = [_span(part) for part in expected.split(",")]
    return any(span is not None and span[0] <= status <= span[1] for span in spans)


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """How long a target asks to be left alone, from its `Retry-After`: seconds, or a date. None: it does not say.

    >>> retry_after_s("120", 0.0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 50.0), retry_after_s("soon", 0.0)
    (120.0, 10.0, None)
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), RETRY_AFTER_S_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return min(max(0.0, moment.timestamp() - now_s), RETRY_AFTER_S_MAX)


def busy_s(times: int) -> float:
    """How long to leave a target alone that does not say for how long.

    >>> [busy_s(times) for times in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 60.0]
    """
    return min(BUSY_S_MAX, BUSY_S * 2.0 ** min(times - 1, 10))


def said(reason: str) -> int:
    """A reason as a number, for a journal.

    >>> reason_of(said("http 503")), reason_of(said("timeout")), said("")
    ('http 503', 'timeout', 0)
    """
    word, _, status = reason.partition(" ")
    if word == "http" and status.isdigit():
        return REASONS.index("http") * 1000 + int(status)
    return REASONS.index(reason) * 1000


def reason_of(said: int) -> str:
    word, status = REASONS[said // 1000], said % 1000
    return f"{word} {status}" if status else word


def forbids_retry(headers: Mapping[str, str]) -> bool:
    """Whether the target says that another attempt is of no use."""
    return headers.get(RETRY_HEADER, "").strip().lower() in ("no", "false", "0", "never")
