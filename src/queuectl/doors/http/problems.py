"""Errors as problem documents (RFC 9457): what, why, what to do next, and which field."""

from __future__ import annotations

import json

from ...errors import QueueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLES = {
    400: "not understood",
    401: "who are you?",
    403: "not allowed",
    404: "not found",
    405: "not this way",
    408: "too slow",
    409: "conflict",
    413: "too large",
    415: "not as JSON",
    416: "no such range",
    421: "another host is meant",
    429: "too many",
    500: "internal fault",
    503: "not now",
    504: "not in time",
}
PROBLEM = "application/problem+json"


class Refused(QueueError):
    """What the web alone refuses, with a status of its own."""

    def __init__(self, status: int, what: str, *, why: str = "", hint: str = "", field: str = "") -> None:
        super().__init__(what, why=why, hint=hint, field=field)
        self.http_status = status


def document(fault: QueueError) -> dict[str, Any]:
    """
    >>> document(Refused(404, "there is no job '9'", hint="'queuectl list' shows what there is"))["title"]
    'not found'
    """
    found = {
        "type": "about:blank",
        "title": TITLES.get(fault.http_status, "refused"),
        "status": fault.http_status,
        "detail": fault.what,
    }
    more = {"field": fault.field, "reason": fault.why, "hint": fault.hint}
    return found | {name: text for name, text in more.items() if text}


def body(fault: QueueError) -> bytes:
    return json.dumps(document(fault)).encode()
