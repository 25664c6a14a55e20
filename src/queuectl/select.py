"""The selection syntax that every verb shares: which jobs are meant.

    5  build-7        a job by number or chosen id        last  last-3    the newest, the three newest
    5-9  1,3,8-10     ranges and lists of numbers         all             every job
    %label  @queue    by label, by queue                  --state --queue --label narrow further
"""

from __future__ import annotations

from .errors import InvalidInput
from .model import STATES, Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def query(words: Iterable[str], states: Iterable[str] = (), queue: str | None = None, label: str | None = None) -> Query:
    """The query that these words and options mean. No word at all means every job.

    >>> query(["5-7,9", "build-1"]).ranges, query(["5-7,9", "build-1"]).ids
    (((5, 7),), ('9', 'build-1'))
    """
    ids: list[str] = []
    ranges: list[tuple[int, int]] = []
    last = 0
    for word in [part for text in words for part in text.split(",") if part]:
        if word.startswith("@") and len(word) > 1:
            queue = word[1:]
        elif word.startswith("%") and len(word) > 1:
            label = word[1:]
        elif word == "last" or word.startswith("last-"):
            last = max(last, _last(word))
        elif word == "all":
            pass
        elif (span := _range(word)) is not None:
            ranges.append(span)
        else:
            ids.append(word)
    return Query(
        ids=tuple(ids), ranges=tuple(ranges), last=last, states=checked_states(states), queue=queue, label=label
    )


def _last(word: str) -> int:
    digits = word[5:] or "1"
    if not _digits(digits) or not 0 < int(digits) < 10**9:
        raise InvalidInput(f"selection {word!r} is not understood", hint="write last or last-3")
    return int(digits)


def _range(word: str) -> tuple[int, int] | None:
    left, dash, right = word.partition("-")
    if not (dash and _digits(left) and _digits(right)):
        return None
    if int(left) > int(right):
        raise InvalidInput(f"range {word} is empty", why="it ends before it begins", hint=f"write {right}-{left}")
    return int(left), int(right)


def _digits(text: str) -> bool:
    """A number that the store can hold. Superscripts and the like are digits to Python, and to nobody else."""
    return text.isascii() and text.isdigit() and len(text) < 19


def checked_states(states: Iterable[str]) -> tuple[str, ...]:
    found = tuple(part for text in states for part in text.split(",") if part)
    for state in found:
        if state not in STATES:
            raise InvalidInput(f"unknown state {state!r}", hint="one of " + ", ".join(STATES), field="state")
    return found
