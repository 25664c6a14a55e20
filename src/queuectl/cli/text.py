"""Text for people: safe on any terminal, tables that line up, colours only where they are wanted."""

from __future__ import annotations

import codecs
import os
import sys

from ..saying import say
from ..schedule import ago as ago

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Controls, DEL, C1 and the bidirectional marks: what could move the cursor, change colours or reorder a line.
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
ESCAPES |= {ord(mark): f"\\u{ord(mark):04x}" for mark in BIDI}
ESCAPES |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}
BODY_ESCAPES = {code: text for code, text in ESCAPES.items() if code not in (0x0A, 0x09)}


def safe(text: str) -> str:
    """The text on one line, with everything that could act on a terminal spelled out.

    >>> safe("a\\x1b[31mb\\nc")
    'a\\\\x1b[31mb\\\\nc'
    """
    return text.translate(ESCAPES).encode("utf-8", "backslashreplace").decode()


class Cleaner:
    r"""Program output for a terminal: lines and tabs stay, what could act on the terminal is spelled out.

    It comes in pieces, cut anywhere: the beginning of a character or of a line's end waits for its rest.

    >>> clean = Cleaner()
    >>> clean(b"\xc3") + clean(b"\xa9 \x1b[2J\r") + clean(b"\n")
    b'\xc3\xa9 \\x1b[2J\n'
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""

    def __call__(self, piece: bytes) -> bytes:
        text = self._held + self._decode(piece)
        self._held = "\r" if text.endswith("\r") else ""
        return text.removesuffix("\r").replace("\r\n", "\n").translate(BODY_ESCAPES).encode()


def short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def is_terminal() -> bool:
    try:
        return os.isatty(1)
    except OSError:
        return False


def out(text: str) -> None:
    """Write to stdout; encodings that cannot show a character get its escape."""
    stream = sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def note(line: str) -> None:
    """A word beside the data: on stderr."""
    say(line)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], styles: dict[str, str] | None = None) -> None:
    """A table: drawn by rich on a terminal, plain aligned columns elsewhere. `styles` colours cells by their text."""
    cells = [["" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    if is_terminal() and cells:
        from .terminal import draw

        draw(headings, cells, styles or {})
        return
    widths = [max([len(heading), *[len(row[i]) for row in cells]]) for i, heading in enumerate(headings)]
    for line in (list(headings), *cells):
        out("  ".join([cell.ljust(width) for cell, width in zip(line, widths, strict=True)]).rstrip() + "\n")


STATE_STYLES = {
    "pending": "yellow",
    "processing": "cyan",
    "completed": "green",
    "failed": "magenta",
    "dead": "red",
    "cancelled": "dim",
}


def took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.3f}s" if seconds < 10 else f"{seconds:.0f}s" if seconds < 600 else ago(seconds)
