"""Many rows in one statement: a column of them is an array, which the server takes apart, or one value for all."""

from __future__ import annotations

import re

from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

FORMS_MAX = 20  # of one statement: each is prepared on the server
PIECE_ROWS = 250  # of a copy
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
ESCAPED = frozenset("\\\t\n\r")

INSERT = re.compile(r"\s*insert into (\w+) \(([\w, ]+)\)\s+values \((?:\?, )*\?\)(.*)", re.DOTALL)
TYPES = "select attname, format_type(atttypid, null) from pg_attribute where attrelid = to_regclass(?) and attnum > 0"


def table_of(statement: str) -> str:
    """The table whose rows are given; empty when there is no statement for many of them.

    >>> table_of("insert into t (a) values (?)"), table_of("select 1")
    ('t', '')
    """
    found = INSERT.fullmatch(statement)
    return "jobs" if statement == sql.UPDATE_JOB else found[1] if found else ""


class Many:
    """A statement for any number of rows at once. A column in which all rows are alike is given once, not as an array: of
    most columns of a worker's turn that is so, and the server takes arrays apart slowly. Which columns those are decides
    the form of the statement."""

    def __init__(self, statement: str, types: dict[str, str]) -> None:
        self._statement = statement
        self._types = types
        self._forms: dict[tuple[bool, ...], str] = {}

    def put(self, rows: list[tuple[Any, ...]]) -> tuple[str, tuple[Any, ...]]:
        """The statement and what to bind to it."""
        columns = [[*column] for column in zip(*rows, strict=True)]
        must = {len(columns) - 1, len(columns) - 2} if self._statement == sql.UPDATE_JOB else {0}
        differ = tuple(at in must or column.count(column[0]) < len(column) for at, column in enumerate(columns))
        if differ not in self._forms and len(self._forms) >= FORMS_MAX:
            differ = (True,) * len(columns)
        text = self._forms.get(differ)
        if text is None:
            text = self._forms[differ] = for_many(self._statement, self._types, differ)
        alike = [column[0] for column, own in zip(columns, differ, strict=True) if not own]
        return text, (*alike, *[column for column, own in zip(columns, differ, strict=True) if own])


def by_column(columns: Sequence[str], rows: list[tuple[Any, ...]]) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """What is the same in all rows, and the columns of what is not.

    >>> by_column(("a", "b"), [(1, "x"), (2, "x")])
    ({'b': 'x'}, {'a': (1, 2)})
    """
    alike: dict[str, Any] = {}
    own: dict[str, Sequence[Any]] = {}
    for name, column in zip(columns, zip(*rows, strict=True), strict=True):
        if own and column.count(column[0]) == len(column):
            alike[name] = column[0]
        else:
            own[name] = column
    return alike, own


def copy_text(table: str, alike: dict[str, Any], own: dict[str, Sequence[Any]]) -> tuple[str, Iterator[str]]:
    r"""A COPY and its rows, in pieces, so that the server has something to do meanwhile. What is the same in all of them is
    written once, into a form for the others, and what is null in all is left out: no column that may be null has a default.

    >>> text, pieces = copy_text("t", {"b": "a b", "c": None}, {"a": [1, 2], "d": ["", "tab\t"]})
    >>> text, list(pieces)
    ('copy t (b, a, d) from stdin', ['a b\t1\t\na b\t2\ttab\\t\n'])
    """
    alike = {name: value for name, value in alike.items() if value is not None}
    line = "\t".join([*[_field(value).replace("%", "%%") for value in alike.values()], *["%s"] * len(own)]) + "\n"

    def pieces() -> Iterator[str]:
        for at in range(0, len(next(iter(own.values()))), PIECE_ROWS):
            given = zip(*[map(_field, column[at : at + PIECE_ROWS]) for column in own.values()], strict=True)
            yield "".join([line % values for values in given])

    return f"copy {table} ({', '.join([*alike, *own])}) from stdin", pieces()


def _field(value: Any) -> str:
    if isinstance(value, str):
        return value if ESCAPED.isdisjoint(value) else value.translate(ESCAPES)
    if value is None:
        return r"\N"
    return rf"\\x{value.hex()}" if isinstance(value, bytes) else repr(value)


def for_many(statement: str, types: dict[str, str], differ: tuple[bool, ...]) -> str:
    """Its places: what is the same in all rows, column by column, then the arrays of what is not.

    >>> for_many("insert into t (a, b) values (?, ?)", {"a": "bigint", "b": "text"}, (True, True))
    'insert into t (a, b) select given.a, given.b from unnest(?::bigint[], ?::text[]) as given (a, b)'
    >>> for_many("insert into t (a, b) values (?, ?)", {"a": "bigint", "b": "text"}, (True, False))
    'insert into t (a, b) select given.a, ?::text from unnest(?::bigint[]) as given (a)'
    """
    if statement == sql.UPDATE_JOB:
        columns = (*sql.MUTABLE, "number", "version")
        names = (*sql.MUTABLE, "number", "decided_on")
    else:
        found = INSERT.fullmatch(statement)
        assert found is not None
        columns = names = tuple(found[2].split(", "))
    given = [f"given.{name}" if own else f"?::{types[c]}" for name, c, own in zip(names, columns, differ, strict=True)]
    arrays = ", ".join([f"?::{types[column]}[]" for column, own in zip(columns, differ, strict=True) if own])
    own_names = ", ".join([name for name, own in zip(names, differ, strict=True) if own])
    rows = f"from unnest({arrays}) as given ({own_names})"
    if statement == sql.UPDATE_JOB:
        written = ", ".join([f"{column} = {value}" for column, value in zip(sql.MUTABLE, given, strict=False)])
        return f"update jobs set {written} {rows} where jobs.number = given.number and jobs.version = given.decided_on"
    assert found is not None
    return f"insert into {found[1]} ({found[2]}) select {', '.join(given)} {rows}{found[3]}"
