"""Prints the promises' table with the figures that the last run reached: `python -m tests.chaos.report`."""

from __future__ import annotations

import json
from pathlib import Path

FIGURES = Path(__file__).resolve().parents[2] / "build" / "chaos" / "figures.jsonl"
HEADER = ("promise", "to be shown", "reached", "form", "")


def table(path: Path = FIGURES) -> str:
    """One line a figure; empty when nothing has been run."""
    try:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return ""
    rows = [HEADER]
    rows += [(r["promise"], r["wanted"], r["reached"], r["form"], "holds" if r["holds"] else "BROKEN") for r in found]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADER))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]]) + "\n"


if __name__ == "__main__":
    print(table() or "no figures yet: run 'make chaos', or 'make check' for the short form", end="")
