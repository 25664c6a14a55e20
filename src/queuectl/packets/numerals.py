"""Numbers as Filespooler reads them."""

from __future__ import annotations

from queuectl.packet import NUMBER_MAX


def number(text: bytes) -> int:
    """A whole number from 0 to 2**64 - 1: decimal digits, a plus sign if one likes.

    >>> number(b"+007")
    7
    """
    digits = text[1:] if text[:1] == b"+" else text
    if not text:
        raise ValueError("cannot parse integer from empty string")
    if not digits.isdigit():
        raise ValueError("invalid digit found in string")
    # int() refuses thousands of digits, so the leading zeros go first
    digits = digits.lstrip(b"0")
    if len(digits) > 20 or int(digits or b"0") > NUMBER_MAX:
        raise ValueError("number too large to fit in target type")
    return int(digits or b"0")
