"""The wire to a server: statements sent together, their answers read when they are wanted, nobody kept waiting without end.

A queue's statements are few and short, and a cursor of the driver costs several times what such a statement does. So they
go through libpq's pipeline as they are: what is sent waits in a buffer until an answer is wanted or the pipeline is synced,
so that many statements are one trip. The driver still makes the connection, and knows its types and errors.

Whoever waits and hears nothing for some seconds gives the connection up: a server whose processes are frozen answers the
kernel's probes for ever.
"""

from __future__ import annotations

from collections import deque
from select import POLLIN, POLLOUT, poll
from time import monotonic

from . import pg_link
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PREPARED_MAX = 300
PREPARED_FROM = 2  # uses of a statement on one connection
USES_MAX = 2000  # statements whose uses are counted
PIPELINE_OFF = 0
BEHIND_S = 1.0  # how long an answer is waited for that tells nothing of importance
TRIPS = 15  # of which the usual one is known
TUPLES_OK = 2  # of what libpq calls the status of a result; looking it up by name takes longer than to compare it


class Answer:
    """What is to come for one statement."""

    __slots__ = ("key", "result")

    def __init__(self, key: tuple[str, tuple[int, ...]] | None = None) -> None:
        self.key = key  # of what it prepares
        self.result: Any = None


class Wire:
    """A connection in libpq's pipeline mode, between `open` and `close`; not for several threads at once."""

    def __init__(self, db: pg_link.Connection, prepares: bool, patience_s: Callable[[], float]) -> None:
        """`patience_s`: how long whoever asks now hears nothing before the connection is given up."""
        self._patience_s = patience_s
        self._db = db
        self._pg = db.pgconn
        self._prepares = prepares
        self._names: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._uses: dict[tuple[str, tuple[int, ...]], int] = {}
        self._named = 0
        self._sent: deque[Answer] = deque()
        self._trips_s: deque[float] = deque([0.0], TRIPS)
        self._unasked = False  # something was sent behind the last request for answers
        self._fault: psycopg.Error | None = None
        self._poll = poll()
        self._poll.register(self._pg.socket, POLLIN)

    def open(self) -> None:
        if self._pg.pipeline_status == PIPELINE_OFF:
            self._pg.enter_pipeline_mode()

    def close(self) -> None:
        """All that was sent has been read: the connection is the driver's again."""
        if self._pg.pipeline_status != PIPELINE_OFF:
            self._pg.exit_pipeline_mode()

    def close_or_break(self) -> None:
        """After a fault; a connection that cannot be the driver's again is closed."""
        try:
            self.close()
        except psycopg.Error:
            self._db.close()

    # ------------------------------------------------------------ sending

    def send(self, text: str, bindings: tuple[Any, ...] = ()) -> Answer:
        """One statement, its places written $1, $2 …; it leaves with the next answer that is wanted."""
        values, types, formats = encoded(bindings)
        answer, key = Answer(), (text, types)
        name = self._names.get(key) or self._prepared(key)
        if name:
            self._pg.send_query_prepared(name, values, formats)
        else:
            self._pg.send_query_params(text.encode(), values, types, formats)
        self._sent.append(answer)
        self._unasked = True
        return answer

    def _prepared(self, key: tuple[str, tuple[int, ...]]) -> bytes | None:
        """Its name on the server, from the second use on."""
        if not self._prepares or len(self._names) >= PREPARED_MAX:
            return None
        if len(self._uses) > USES_MAX:
            self._uses.clear()
        uses = self._uses[key] = self._uses.get(key, 0) + 1
        if uses < PREPARED_FROM:
            return None
        self._named += 1
        name = self._names[key] = b"q%d" % self._named
        self._pg.send_prepare(name, key[0].encode(), key[1])
        self._sent.append(Answer(key))
        return name

    def catch_up(self) -> None:
        """Wait until all that was sent has been answered."""
        if self._sent:
            self._ask()
            self._read(self._sent[-1])

    def _ask(self) -> None:
        """For the answers to all that was sent: without that the server keeps them until it has many."""
        if self._unasked:
            self._pg.send_flush_request()
            self._unasked = False

    # ------------------------------------------------------------ answers

    def rows(self, answer: Answer) -> list[tuple[Any, ...]]:
        """What a statement has brought. Raises psycopg.Error, of the first that has failed since the last sync."""
        if answer.result is None:
            self._ask()
            self._read(answer)
        result = answer.result
        if result.status == TUPLES_OK:
            loader = psycopg.adapt.Transformer(self._db)
            loader.set_pgresult(result)
            return loader.load_rows(0, result.ntuples, tuple)
        if self._fault is not None:
            raise self._fault
        return []

    def alone(
        self,
        text: str,
        bindings: tuple[Any, ...],
        meanwhile: Callable[[], Any] = tuple,
        behind: tuple[str, tuple[Any, ...]] | None = None,
    ) -> list[tuple[Any, ...]]:
        """One statement outside of any transaction: it is one by itself, with the one that it comes behind. `meanwhile` is called
        while the server is at it."""
        self.open()
        if behind:
            self.send(*behind)
        answer = self.send(text, bindings)
        self.sync(meanwhile)
        self.close()
        return self.rows(answer)

    def alone_before(
        self,
        text: str,
        bindings: tuple[Any, ...],
        behind: tuple[str, tuple[Any, ...]],
        meanwhile: Callable[[], Any],
        between: Callable[[], Any],
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The same with another in the same trip, a transaction of its own that begins when the first is committed; `between` is
        called then. Returns the rows of both; nothing is said about a failure of the second."""
        self.open()
        answer = self.send(text, bindings)
        committed = self._end_of_transaction()
        also = self.send(*behind)
        ended = self._end_of_transaction()
        meanwhile()
        self._read(committed)
        fault, self._fault = self._fault, None
        if fault is None:
            between()
        try:
            self._read(ended, BEHIND_S)
            told = self.rows(also)
        except psycopg.Error:
            told = []
        self._fault = None
        self.close_or_break()
        if fault is not None:
            raise fault
        return self.rows(answer), told

    def _end_of_transaction(self) -> Answer:
        self._pg.pipeline_sync()
        self._unasked = False
        answer = Answer()
        self._sent.append(answer)
        return answer

    def sync(self, meanwhile: Callable[[], Any] = tuple) -> None:
        """Wait for all that was sent; without a transaction that commits it. Raises the first fault."""
        ended = self._end_of_transaction()
        meanwhile()
        self._read(ended)
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def usual_trip_s(self) -> float:
        """What half of the last trips took no longer than: it tells how busy the server, the link and this machine are."""
        return sorted(self._trips_s)[len(self._trips_s) // 2]

    def _read(self, wanted: Answer, patience_s: float | None = None) -> None:
        pg, began, waited = self._pg, monotonic(), False
        patience_s = self._patience_s() if patience_s is None else patience_s
        until = began + patience_s
        unsent = bool(pg.flush())
        while wanted.result is None:
            while pg.is_busy():
                unsent, waited = self._wait(unsent, until), True
                until = monotonic() + patience_s
            result = pg.get_result()
            if result is not None:
                self._take(result)
            elif pg.status != psycopg.pq.ConnStatus.OK:
                raise psycopg.OperationalError("the link to the server is gone")
        if waited:
            self._trips_s.append(monotonic() - began)

    def _take(self, result: Any) -> None:
        status, of = result.status, psycopg.pq.ExecStatus
        answer = self._sent.popleft()
        answer.result = result
        if status == of.FATAL_ERROR:
            if self._fault is None:
                self._fault = psycopg.errors.error_from_result(result)
            if self._pg.status != psycopg.pq.ConnStatus.OK:
                raise self._fault
        if answer.key is not None and status != of.COMMAND_OK:
            del self._names[answer.key]

    def _wait(self, unsent: bool, until: float) -> bool:
        """Until something can be read, or written when not all has left; returns whether some is still to leave."""
        self._poll.modify(self._pg.socket, POLLIN | POLLOUT if unsent else POLLIN)
        found = self._poll.poll(max(0.0, until - monotonic()) * 1000)
        if not found:
            self._db.close()
            raise psycopg.OperationalError(pg_link.SILENT)
        if found[0][1] & ~POLLOUT:
            self._pg.consume_input()
        return unsent and bool(self._pg.flush())


# ---------------------------------------------------------------- values


def encoded(bindings: tuple[Any, ...]) -> tuple[list[bytes | None], tuple[int, ...], list[int] | None]:
    """Values, types and formats for libpq.

    >>> encoded((1, "a", None, b"\\0"))
    ([b'1', b'a', None, b'\\x00'], (20, 0, 0, 17), [0, 0, 0, 1])
    """
    if not bindings:
        return [], (), None
    values, types, formats = zip(*[ENCODERS[type(value)](value) for value in bindings], strict=True)
    return list(values), types, list(formats)


def _text(value: str) -> bytes:
    if "\0" in value:
        raise psycopg.DataError("text cannot contain NUL (0x00) bytes")
    return value.encode()


def array(values: list[Any]) -> str:
    r"""Of whole numbers, numbers, texts or bytes, or of nothing.

    >>> print(array([1, 2]), array(["a", 'b"']), array([None, 0.5]), array([b"a"]), array([]))
    {1,2} {"a","b\""} {NULL,0.5} {"\\x61"} {}
    """
    if values and values.count(values[0]) == len(values):  # most columns of a turn
        return "{" + ",".join([_element(values[0])] * len(values)) + "}"
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"\\\\x' + value.hex() + '"' if isinstance(value, bytes) else repr(value)


# Whole numbers are bigints whatever their size: one prepared statement for all. Texts are what their place wants.
ENCODERS: dict[type, Any] = {
    int: lambda value: (b"%d" % value, 20, 0),
    str: lambda value: (_text(value), 0, 0),
    type(None): lambda value: (None, 0, 0),
    bytes: lambda value: (value, 17, 1),
    float: lambda value: (repr(value).encode(), 701, 0),
    bool: lambda value: (b"%d" % value, 16, 0),
    list: lambda value: (_text(array(value)), 0, 0),
}
