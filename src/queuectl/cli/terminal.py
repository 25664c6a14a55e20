"""Tables on a terminal, by rich; imported only there."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]], styles: dict[str, str]) -> None:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        # Only the last column gives way on a narrow terminal: an id that is cut off is no use.
        drawn.add_column(heading, no_wrap=heading is not headings[-1])
    for row in rows:
        drawn.add_row(*[Text(cell, style=styles.get(cell, ""), no_wrap=True, overflow="ellipsis") for cell in row])
    Console(highlight=False).print(drawn)
