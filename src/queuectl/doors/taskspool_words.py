"""The words of TaskSpooler's protocol: what a request means, and how its job numbers stand in the store."""

from __future__ import annotations

from ..record import Record

QUEUE = "taskspool"
PREFIX = "ts-"


class Enqueue(Record):
    command: str


class Overview(Record):
    pass


class Look(Record):
    number: str  # as it was written, digits perhaps with a sign


class Refusal(Record):
    why: str


def understood(request: bytes) -> Enqueue | Overview | Look | Refusal:
    """What a request means.

    >>> understood(b"queue: ls -lh /var"), understood(b"status:all"), understood(b"status: 3")
    (Enqueue(command='ls -lh /var'), Overview(), Look(number='3'))
    >>> understood(b"status: three").why, understood(b"Status: 3").why
    ('Invalid job ID', 'Unknown command')
    """
    try:
        text = request.decode()
    except UnicodeDecodeError:
        return Refusal("Unknown command")
    word, colon, rest = text.partition(":")
    rest = rest.strip()
    if word == "queue" and colon:
        return Enqueue(rest) if rest else Refusal("No command given")
    if word == "status" and colon:
        digits = rest[1:] if rest[:1] in ("-", "+") else rest
        if rest == "all":
            return Overview()
        return Look(rest) if digits.isascii() and digits.isdigit() else Refusal("Invalid job ID")
    return Refusal("Unknown command")


def id_of(number: int) -> str:
    return f"{PREFIX}{number}"


def number_of(name: str | None) -> int | None:
    """
    >>> number_of("ts-7"), number_of("ts-x"), number_of(None)
    (7, None, None)
    """
    digits = (name or "").removeprefix(PREFIX)
    return int(digits) if digits.isascii() and digits.isdigit() and name == f"{PREFIX}{int(digits)}" else None
