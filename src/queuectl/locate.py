"""Where the store is: found as git finds a repository, trusted only when nobody else could have put it there."""

from __future__ import annotations

import os

from .errors import InvalidInput, NotAllowed
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DATABASE_NAME = "queuectl.db"


class Place(Record):
    """The store's database file and the folder whose `job_logs/` and settings belong to it. Of a store on a server only
    the URL is known until it has been opened; then `database` names no file, but what lies beside it is this machine's."""

    database: str
    personal: bool = False  # the user's own queue, made on first use
    url: str = ""  # of a store on a server; may hold a password, so it is never shown
    shown: str = ""  # how to call it, when not by its file

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.shown or self.database

    @property
    def folder(self) -> str:
        return os.path.dirname(self.database)

    @property
    def logs(self) -> str:
        return os.path.join(self.folder, "job_logs")

    @property
    def run(self) -> str:
        """What is of this machine and this moment: bells, journals, payloads, the background worker's own log."""
        return self.database + ".run"


def locate(environ: Mapping[str, str], cwd: str | None = None) -> Place:
    """QUEUECTL_URL, else QUEUECTL_DB_PATH, else the nearest queuectl.db here or above, else the user's own queue."""
    url = environ.get("QUEUECTL_URL")
    if url:
        return from_url(url)
    path = environ.get("QUEUECTL_DB_PATH")
    if path:
        return Place(_absolute(path))
    found = nearest(cwd if cwd is not None else _cwd())
    if found:
        _check_trusted(found)
        return Place(found)
    state = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local/state")
    return Place(os.path.join(state, "queuectl", DATABASE_NAME), personal=True)


def from_url(url: str) -> Place:
    """The place that a URL names: `sqlite:///absolute/path`, or a plain path."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        return Place("", url="postgresql://" + rest)
    if not separator:
        return Place(_absolute(url))
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Place(rest)
    hint = "write sqlite:///absolute/path/queuectl.db, postgresql://user@host/database or a plain path"
    raise InvalidInput(f"store URL {_without_secrets(url)!r} is not understood", hint=hint, field="QUEUECTL_URL")


def _without_secrets(url: str) -> str:
    return url.split("@")[-1].partition("?")[0]


def from_argument(database: str, environ: Mapping[str, str]) -> Place:
    """The place in a process that was started for it, which was given `Place.database`: of a store on a server the URL,
    for its password, is in the environment."""
    url = environ.get("QUEUECTL_URL", "")
    shared = url.startswith(("postgresql://", "postgres://")) and os.path.basename(database) == "postgresql"
    return from_url(url).but(database=database) if shared else Place(database)


def _absolute(path: str) -> str:
    if "\0" in path:
        raise InvalidInput("the store's path contains a NUL byte")
    return os.path.abspath(path)


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise InvalidInput("the working folder is gone", hint="cd somewhere else") from None


def nearest(folder: str) -> str | None:
    while True:
        candidate = os.path.join(folder, DATABASE_NAME)
        if os.path.lexists(candidate):
            return candidate
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _check_trusted(database: str) -> None:
    """Its commands run as this user, so a database that somebody else could have written is refused, as git does."""
    me = os.geteuid()
    hint = "set QUEUECTL_DB_PATH if you mean this one all the same"
    owner = os.stat(database).st_uid if os.path.exists(database) else os.lstat(database).st_uid
    if owner != me:
        raise NotAllowed(f"{database} is not trusted", why=f"it belongs to user {owner}", hint=hint)
    folder = os.path.dirname(database)
    sticky_is_fine = False  # in the folder itself anybody could make job_logs; above it a sticky bit is enough
    while True:
        facts = os.stat(folder)
        if facts.st_uid not in (me, 0):
            raise NotAllowed(f"{database} is not trusted", why=f"folder {folder} belongs to user {facts.st_uid}", hint=hint)
        own_group = facts.st_gid == os.getegid() == me
        loose = facts.st_mode & (0o002 if own_group else 0o022)
        if loose and not (sticky_is_fine and facts.st_mode & 0o1000):
            raise NotAllowed(f"{database} is not trusted", why=f"others can write to folder {folder}", hint=hint)
        if folder == "/":
            return
        folder, sticky_is_fine = os.path.dirname(folder), True


_status = (0, -1)  # a process's own, by a descriptor that stays open: half of what reading it costs is to find it


def umask() -> int:
    """This process's umask, read where it can be: setting it to learn it would show to other threads."""
    global _status
    for _ in range(2):
        try:
            if _status[0] != os.getpid():
                _status = os.getpid(), os.open("/proc/self/status", os.O_RDONLY)
            name, value = os.pread(_status[1], 200, 0).split(b"\n")[1].split()
            if name == b"Umask:":
                return int(value, 8)
        except (OSError, ValueError, IndexError):
            pass  # not Linux, or somebody has closed what he did not open, and it may be another file now
        _status = (0, -1)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
