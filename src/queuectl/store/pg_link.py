"""The link to a PostgreSQL server: how it is made, what bounds it, what its faults mean to a user.

Nothing waits longer than some ten seconds for a server that does not answer: connecting, a dead link (keepalives alone
would wait for minutes behind unsent data), statements and locks each have their bound. What the URL holds as a password
is never part of any text made here.
"""

from __future__ import annotations

from math import ceil
from time import monotonic
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..errors import Conflict, InvalidInput, NotAllowed, QueueError, StorageError, TryAgainLater
from ..record import Record
from .engine import fenced
from .pg_sql import FENCED

try:
    import psycopg as psycopg
    from psycopg import adapt
    from psycopg.types import numeric
except ImportError as fault:
    raise StorageError(
        "PostgreSQL cannot be used", why=f"its driver is missing ({fault})", hint="pip install 'psycopg[binary,pool]'"
    ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

DEFAULT_SCHEMA = "queuectl"
SILENT = "the server does not answer"
ANSWER_S = 9.0  # a server that has said nothing for so long is given up: its processes may be frozen, its kernel not
# A server that does not answer is given up after this: for the link libpq and the kernel see to it, for statements the server.
LINK = {
    "connect_timeout": "5",
    "tcp_user_timeout": "8000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "application_name": "queuectl",
}
SESSION = {
    "statement_timeout": "8500",
    "lock_timeout": "6000",
    "idle_in_transaction_session_timeout": "30000",  # a frozen worker's locks are not everybody's
    "tcp_user_timeout": "20000",  # and the server's own look at a client whose machine has died
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "default_transaction_isolation": r"read\ committed",  # a statement behind a lock sees what came before it was given
    "timezone": "UTC",
    "jit": "off",  # nothing here runs for so long that compiling it would pay
}
# For a worker, whose statements are few and always the same: a plan that was made while few jobs were there is kept, and would
# read them all when there are many; and what is planned anew at each turn takes longer to plan than to run.
PLANS = "select set_config('enable_seqscan', 'off', false), set_config('plan_cache_mode', 'force_generic_plan', false)"


class Address(Record):
    """Where a store is: the URL for libpq, and what is ours in it (`schema`, `pooled`)."""

    url: str
    schema: str
    pooled: bool  # through a transaction pooler: nothing may be left to a session

    @property
    def shown(self) -> str:
        return shown(self.url)


def address(url: str) -> Address:
    """
    >>> a = address("postgresql://me:secret@db/q?schema=tools&pooled=1&sslmode=require")
    >>> a.url, a.schema, a.pooled, a.shown
    ('postgresql://me:secret@db/q?sslmode=require', 'tools', True, 'postgresql://me@db/q')
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in options if name in ("schema", "pooled")}
    rest = urlencode([(n, v) for n, v in options if n not in ours], quote_via=quote)
    schema = ours.get("schema", DEFAULT_SCHEMA)
    if not schema.replace("_", "").isalnum() or not schema.isascii() or len(schema) > 60:
        raise InvalidInput(f"schema {schema[:70]!r} is not allowed", hint="use letters, digits and _", field="QUEUECTL_URL")
    return Address(parts._replace(query=rest).geturl(), schema, ours.get("pooled", "") in ("1", "true", "yes"))


def shown(url: str) -> str:
    """The URL as it may be shown: without password and options.

    >>> shown("postgresql://me:a%40b@db:5433/q?password=x")
    'postgresql://me@db:5433/q'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return f"postgresql://{user.partition(':')[0]}{at}{unquote(host)}{parts.path}"


class Bounded(psycopg.Connection["tuple[Any, ...]"]):
    """A connection whose waits are bounded."""

    def wait(self, gen: Any, *rest: Any, **more: Any) -> Any:
        return super().wait(self._until(gen, monotonic() + ANSWER_S), *rest, **more)

    def _until(self, gen: Any, deadline: float) -> Any:
        """The driver's generator, ended when the deadline finds it waiting. The driver looks in ten times a second."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(SILENT)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


def connect(to: Address, *, listening: bool = False, within_s: float | None = None) -> Connection:
    """A connection in autocommit mode, bounded in time. Raises our errors."""
    settings = dict(SESSION) if not listening else {"timezone": "UTC"}
    settings["search_path"] = f"{to.schema},pg_catalog"
    more: dict[str, Any] = dict(LINK)
    given = dict(parse_qsl(urlsplit(to.url).query))
    if not to.pooled:  # a pooler refuses what it cannot keep; there each transaction sets its own
        ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
        more["options"] = " ".join(filter(None, [given.get("options"), ours]))
    for name in given.keys() & more.keys() - {"options"}:
        del more[name]  # what the user says of the link holds
    if within_s is not None:
        more["connect_timeout"] = str(ceil(within_s))
    try:
        kind = psycopg.Connection if listening else Bounded
        db = kind.connect(to.url, autocommit=True, prepare_threshold=None if to.pooled else 3, **more)
    except psycopg.Error as fault:
        raise translated(fault, to.shown) from None
    # Every whole number as a bigint: one prepared statement, whatever the size of its values. The driver's own class, not
    # one made from it: it has that one in C.
    db.adapters.register_dumper(int, numeric.Int8Dumper)
    db.adapters.register_loader("numeric", _PlainNumber)
    db.adapters.register_loader("numeric", _PlainNumberBinary)
    return db


class _PlainNumber(adapt.Loader):
    """Sums of whole numbers come back as `numeric`: ours are whole."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text or "N" in text else int(text)


class _PlainNumberBinary(numeric.NumericBinaryLoader):
    def load(self, data: Any) -> Any:
        found = super().load(data)
        return int(found) if found == found.to_integral_value() else float(found)


def shut(db: Connection) -> None:
    """End a connection under whoever waits for it in another thread: that gets an error at once."""
    import os
    import socket

    try:
        end = socket.socket(fileno=os.dup(db.fileno()))
        end.shutdown(socket.SHUT_RDWR)
        end.close()
    except (OSError, psycopg.Error):
        pass  # it has ended


def settings_sql(to: Address) -> str:
    """What a transaction through a pooler begins with, where a session would have it."""
    kept = {name: SESSION[name] for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")}
    kept["search_path"] = f"{to.schema},pg_catalog"
    return "".join(f"set local {name} = {value if name == 'search_path' else repr(value)};" for name, value in kept.items())


# ---------------------------------------------------------------- what faults mean

TRY_AGAIN = {
    "40P01": "two changes waited for each other",
    "40001": "another change came between",
    "55P03": "somebody else has held it for too long",
    "57014": "the server did not finish in time",
    "57P01": "the server is being stopped",
    "57P02": "the server has crashed",
    "57P03": "the server is starting up or shutting down",
    "53300": "the server has no connection left",
    "25P03": "this transaction was idle for too long",
    "08P01": "the pooler or server has no connection left",
}
BROKEN = {
    "28P01": ("the server refuses the password", "check the URL, or ~/.pgpass"),
    "28000": ("the server refuses this user from here", "check pg_hba.conf on the server"),
    "3D000": ("there is no such database", "make it with createdb"),
    "53100": ("the server's disk is full", "nothing was stored; free some space there"),
    "53200": ("the server has no memory left", "look at the server"),
    "25006": ("the server is read-only", "it is a standby: connect to the primary (target_session_attrs=read-write)"),
    "42501": ("this user may not do that there", "grant it create on the database, or usage on the schema"),
    "XX001": ("data on the server is damaged", "restore a backup"),
    "XX002": ("an index on the server is damaged", "'reindex', then find out why"),
}
POOLER = "unsupported startup parameter"  # what one says to settings that are for a whole session
REFUSED = ("password authentication failed", "no password supplied", "pg_hba.conf", "does not exist", "not support SSL")
TAKEN = {
    "jobs_name": ("that id exists already", "choose another id"),
    "jobs_pkey": ("that id exists already", "choose another id"),
    "jobs_key": ("that key was added in this moment", "ask again: the answer is that job"),
    "spools_pkey": ("that spool exists already", "choose another name"),
    "spools_folder": ("that folder is attached already", ""),
}


def translated(fault: psycopg.Error, where: str) -> QueueError:
    code, text = fault.sqlstate or "", _first_line(fault)
    if POOLER in text:
        return StorageError(f"the store at {where} cannot be used", why="a pooler stands before it", hint="add pooled=1 to the URL")
    if code in TRY_AGAIN:
        return TryAgainLater(f"the store at {where} is busy", why=TRY_AGAIN[code], hint="try again")
    if code in BROKEN:
        what, hint = BROKEN[code]
        return (NotAllowed if code == "42501" else StorageError)(f"the store at {where} cannot be used", why=what, hint=hint)
    if code == FENCED:
        return fenced(where, text)
    if code == "23505":
        what, hint = TAKEN.get(fault.diag.constraint_name or "", ("it was added in this moment by somebody else", "try again"))
        return Conflict(what, hint=hint)
    if isinstance(fault, (psycopg.OperationalError, psycopg.InterfaceError)) and (not code or code[:2] in ("08", "57")):
        return _unreachable(text, where)
    if isinstance(fault, psycopg.DataError):
        return InvalidInput("a value cannot be stored", why=text)
    return StorageError(f"the store at {where} failed", why=text, hint="look at the server's log")


def _unreachable(text: str, where: str) -> QueueError:
    """Libpq knows no code for what happens before a server has answered."""
    if any(known in text for known in REFUSED):
        return StorageError(f"the store at {where} cannot be used", why=text, hint="check the URL and the server")
    return TryAgainLater(f"the store at {where} cannot be reached", why=text, hint="try again when the server is back")


def _first_line(fault: psycopg.Error) -> str:
    text = fault.diag.message_primary or str(fault)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].removeprefix("connection failed: ") if lines else type(fault).__name__
