"""Many rows in one statement: as one JSON text, which the server takes apart by the columns of the table itself."""

from __future__ import annotations

import json
import re

from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INSERT = re.compile(r"\s*insert into (\w+) \(([\w, ]+)\)\s+values \((?:\?, )*\?\)(.*)", re.DOTALL)
ROWS = "json_populate_recordset(null::{table}, %s::json)"


def for_many(statement: str) -> tuple[str, tuple[str, ...]] | None:
    """The statement for any number of rows, and the names of what each of them has; None when there is none such.

    >>> for_many("insert into t (a, b) values (?, ?)")
    ('insert into t (a, b) select a, b from json_populate_recordset(null::t, %s::json)', ('a', 'b'))
    """
    if statement == sql.UPDATE_JOB:
        written = ", ".join(f"{column} = given.{column}" for column in sql.MUTABLE)
        rows = ROWS.format(table="jobs")
        # The version that was read is one less than the one that is written.
        where = "jobs.number = given.number and jobs.version = given.version - 1"
        return f"update jobs set {written} from {rows} as given where {where}", (*sql.MUTABLE, "number", "")
    found = INSERT.fullmatch(statement)
    if not found:
        return None
    table, columns, rest = found.groups()
    return f"insert into {table} ({columns}) select {columns} from {ROWS.format(table=table)}{rest}", tuple(columns.split(", "))


def as_json(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    kept = [(place, name) for place, name in enumerate(names) if name]
    return json.dumps([{name: row[place] for place, name in kept if row[place] is not None} for row in rows])
