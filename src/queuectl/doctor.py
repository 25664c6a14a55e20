"""Everything that can be wrong with a queue, its machine and its unit, each with how to mend it."""

from __future__ import annotations

import os
import shutil

from . import backup, bulk, clock, service, trouble, workers
from .config import Config
from .errors import NotFound, QueueError
from .queue import Queue
from .record import Record
from .settings import ConfigFile
from .store import pg_sql, stats
from .store.light import apsw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .locate import Place
    from .queue import Settings

FINE, WARNING, WRONG = "ok", "warning", "wrong"
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "glusterfs", "ceph")
OLD_SQLITE = (3, 51, 3)  # before it two processes could, rarely, damage a database in WAL mode
# The rows and their sums as they are in one and the same moment, so that nobody has to be kept from writing. Jobs of a pile
# that is still being added are rows without a sum.
ROWS_AND_SUMS = """
select 'rows', state, count(*) from jobs where lane not in (select id from lanes where adder is not null) group by state
union all select 'sums', state, sum(n) from {sums} group by state"""


class Finding(Record):
    """One thing looked at: how it is, and what to do when it is not fine."""

    what: str
    level: str
    say: str
    mend: str = ""


def examine(place: Place) -> Iterator[Finding]:
    """Look at everything; never raises for what it finds."""
    yield from _queue(place) if place.url else _file(place)
    yield from _machine()
    yield from service.examine()


def _file(place: Place) -> Iterator[Finding]:
    yield Finding("store", FINE, place.database)
    yield from _modes(place)
    yield _file_system(place)
    yield from _settings(place, ConfigFile(place.folder))
    yield _sqlite()
    grown = trouble.grown_log(place)
    if grown:
        yield Finding("log", WARNING, grown, "end that program: the next write makes the log small again")
    damage = backup.check(place.database) if os.path.exists(place.database) else ""
    if damage:
        yield Finding("database", WRONG, damage, "keep the file; 'queuectl restore BACKUP' puts a backup in its place")
    else:
        yield from _queue(place)


def _queue(place: Place) -> Iterator[Finding]:
    try:
        with Queue(place, create=False) as queue:
            if queue.store.shared:
                yield Finding("store", FINE, queue.place.name)
                yield from _modes(queue.place)
                yield from _settings(queue.place, queue.settings)
            else:
                yield Finding("database", FINE, "whole")
            yield _sums(queue)
            yield from _workers(queue)
            yield _piles(queue)
    except NotFound as fault:
        yield Finding("database", FINE, fault.what)
    except QueueError as fault:
        yield Finding("database", WRONG, str(fault), fault.hint)


def _modes(place: Place) -> Iterator[Finding]:
    """Nobody else may read or write what the commands of this user are in."""
    for path in (place.database, place.database + "-wal", place.logs, place.run):
        try:
            name, facts = os.lstat(path), os.stat(path)  # a link of ours to a folder of ours is fine, whatever its own mode
        except FileNotFoundError:
            continue
        strangers = {name.st_uid, facts.st_uid} - {os.geteuid()}
        if strangers:
            yield Finding("owner", WRONG, f"{path} belongs to user {strangers.pop()}", "use it as that user, or chown it")
        elif facts.st_mode & 0o077:
            yield Finding("mode", WRONG, f"others have rights on {path}", f"chmod go-rwx {path}")
    folder = os.stat(place.folder) if os.path.isdir(place.folder) else None
    if folder and folder.st_mode & 0o002 and not folder.st_mode & 0o1000:
        yield Finding("mode", WRONG, f"everybody can write to {place.folder}", f"chmod o-w {place.folder}")


def _file_system(place: Place) -> Finding:
    name = _mounted(place.folder)
    if name.startswith(NETWORK_FILE_SYSTEMS):
        return Finding("file system", WRONG, f"{name}: locks between machines are not safe there", "keep the store on a local disk")
    return Finding("file system", FINE, name or "unknown")


def _mounted(folder: str) -> str:
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return ""
    path = os.path.realpath(folder) + "/"
    fitting = [m for m in mounts if path.startswith(m[1].rstrip("/") + "/")]
    return max(fitting, key=lambda m: len(m[1]))[2] if fitting else ""


def _settings(place: Place, settings: Settings) -> Iterator[Finding]:
    """Whether they can be read, and the free space that they ask for."""
    config = Config()
    try:
        config = settings.read()
        yield Finding("settings", FINE, "readable")
    except QueueError as fault:
        yield Finding("settings", WRONG, str(fault), fault.hint)
    yield _space(place, config)


def _space(place: Place, config: Config) -> Finding:
    if not os.path.isdir(place.folder):
        return Finding("disk", FINE, f"{place.folder} is not there yet")
    low = trouble.disk_is_low(place, config.min_free)
    if low:
        return Finding("disk", WRONG, low, "free some space: 'queuectl clean --older 7d' removes old jobs")
    return Finding("disk", FINE, f"{shutil.disk_usage(place.folder).free // 1_000_000} MB free")


def _sqlite() -> Finding:
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < OLD_SQLITE:
        return Finding("SQLite", WARNING, f"{version} can, rarely, damage a database that several processes write", "upgrade apsw")
    return Finding("SQLite", FINE, version)


def _sums(queue: Queue) -> Finding:
    """The sums that `status` shows against the rows themselves."""
    found: dict[str, dict[str, int]] = {"rows": {}, "sums": {}}
    sums = f"({pg_sql.COUNTS}) as folded (queue, state, stage, n)" if queue.store.shared else "counts"
    for what, state, n in queue.store.run(ROWS_AND_SUMS.format(sums=sums)):
        found[what][state] = int(n)
    rows, kept = found["rows"], found["sums"]
    wrong = sorted(state for state in rows | kept if rows.get(state, 0) != kept.get(state, 0))
    if wrong:
        return Finding("sums", WRONG, f"status and rows differ for {', '.join(wrong)}", "report this; the rows are the truth")
    return Finding("sums", FINE, f"{sum(rows.values())} jobs, as status says")


def _workers(queue: Queue) -> Iterator[Finding]:
    living = {row.id for row in workers.living(queue.store)}
    for row in queue.store.workers():
        if row.id not in living:
            n = len(queue.store.jobs_of_worker(row.id))
            jobs = f"{n} job{'' if n == 1 else 's'}"
            how = f"has left {jobs} running, as asked" if row.stopping == "leave" else f"is dead and had {jobs}"
            yield Finding("worker", WARNING, f"worker {row.id} {how}", "the next worker takes over: 'queuectl worker start'")
    waiting = stats.by_state(queue.store)["pending"]
    if not living and waiting:
        wait = "job waits" if waiting == 1 else "jobs wait"
        yield Finding("worker", WARNING, f"{waiting} {wait} and no worker runs", "'queuectl worker start'")
    else:
        yield Finding("workers", FINE, f"{len(living)} running")


def _piles(queue: Queue) -> Finding:
    owners = [owner for (owner,) in queue.store.run("select adder from lanes where adder is not null")]
    dead = [owner for owner in owners if not bulk.adder_lives(owner)]
    if dead:
        return Finding("piles", WARNING, f"{len(dead)} bulk adds did not finish", "the next worker takes their remains out")
    return Finding("piles", FINE, f"{len(owners)} being added")


def _machine() -> Iterator[Finding]:
    if not clock.boot_id():
        yield Finding("machine", WARNING, "the system names no boot", "jobs interrupted by a reboot cannot be told from others")
    if not hasattr(os, "pidfd_open"):
        yield Finding("machine", WARNING, "no pidfd (Linux 5.3)", "the portable way is used: ends are seen a little later")
