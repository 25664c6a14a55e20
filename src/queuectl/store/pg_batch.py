"""Many rows in one statement: a column of them is an array, which the server takes apart."""

from __future__ import annotations

import re

from . import sql

INSERT = re.compile(r"\s*insert into (\w+) \(([\w, ]+)\)\s+values \((?:\?, )*\?\)(.*)", re.DOTALL)
TYPES = "select attname, format_type(atttypid, null) from pg_attribute where attrelid = to_regclass(?) and attnum > 0"


def table_of(statement: str) -> str:
    """The table whose rows are given; empty when there is no statement for many of them.

    >>> table_of("insert into t (a) values (?)"), table_of("select 1")
    ('t', '')
    """
    found = INSERT.fullmatch(statement)
    return "jobs" if statement == sql.UPDATE_JOB else found[1] if found else ""


def for_many(statement: str, types: dict[str, str]) -> str:
    """The statement for any number of rows: for each place of the one for a single row it takes an array.

    >>> for_many("insert into t (a, b) values (?, ?)", {"a": "bigint", "b": "text"})
    'insert into t (a, b) select * from unnest(?::bigint[], ?::text[])'
    """
    if statement == sql.UPDATE_JOB:
        columns = (*sql.MUTABLE, "number", "version")
        names = (*sql.MUTABLE, "number", "decided_on")
        written = ", ".join(f"{column} = given.{column}" for column in sql.MUTABLE)
        where = "jobs.number = given.number and jobs.version = given.decided_on"
        return f"update jobs set {written} from {_rows(columns, types)} as given ({', '.join(names)}) where {where}"
    found = INSERT.fullmatch(statement)
    assert found is not None
    table, columns, rest = found[1], tuple(found[2].split(", ")), found[3]
    return f"insert into {table} ({found[2]}) select * from {_rows(columns, types)}{rest}"


def _rows(columns: tuple[str, ...], types: dict[str, str]) -> str:
    return f"unnest({', '.join(f'?::{types[column]}[]' for column in columns)})"
