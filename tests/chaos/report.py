"""Prints the promises' table with the figures reached: `python -m tests.chaos.report [--write PAGE]`.

`make chaos` leaves `build/chaos/full.jsonl`, a line a figure; of several for one promise the last counts. With `--write`
the table takes the place of the one in that page, between its two marks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "chaos"
HEADER = ("promise", "to be shown", "reached", "")
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->"


def figures(path: Path) -> list[tuple[str, str, str, str]]:
    """The newest figure of each promise, by group; empty when nothing has been run."""
    try:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    newest = {r["promise"]: (r["promise"], r["wanted"], r["reached"], "holds" if r["holds"] else "BROKEN") for r in found}
    return sorted(newest.values(), key=lambda row: row[0].split()[0] if row[0][:1].strip() else "~")


def table(path: Path) -> str:
    rows = figures(path)
    if not rows:
        return ""
    rows = [HEADER, *rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADER))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]]) + "\n"


def markdown(path: Path) -> str:
    rows = [HEADER, ("---",) * len(HEADER), *figures(path)]
    return "".join("| " + " | ".join(cell.strip().replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def write(page: Path, path: Path) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page} has no place for figures: the lines {BEGIN.strip()} and {END}")
    page.write_text(before + BEGIN + markdown(path) + END + after)


def main(words: list[str]) -> None:
    full = FOLDER / "full.jsonl"
    if words[:1] == ["--write"] and len(words) == 2:
        write(Path(words[1]), full)
    print(table(full) or table(FOLDER / "short.jsonl") or "no figures yet: run 'make chaos', or 'make check' for the short form")


if __name__ == "__main__":
    main(sys.argv[1:])
