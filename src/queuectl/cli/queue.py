"""queuectl queue: lanes of the store, their limits and pause switches."""

from __future__ import annotations

from .. import bell, codec
from ..errors import NotFound
from ..store import stats
from .command import JSON, NAMES_ONLY, Arguments, Command
from .list import print_array
from .open import the_queue
from .text import note, out, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        counts = stats.by_queue(queue.store)
        rows = queue.store.run("select name, paused, parallel from queues order by name")
    found = [{"queue": n, "paused": bool(p), "parallel": limit, **counts.get(n, {})} for n, p, limit in rows]
    if arguments.json:
        print_array(found)
        return 0
    if arguments.quiet:
        out("".join([f["queue"] + "\n" for f in found]))
        return 0
    shown = [(f["queue"], "paused" if f["paused"] else "", f["parallel"] or "", *[f.get(s, 0) for s in STATES]) for f in found]
    table(("QUEUE", "", "LIMIT", *[state.upper() for state in STATES]), shown)
    return 0


STATES = ("pending", "processing", "failed", "dead", "completed")


def _set(column: str, value: Callable[[Arguments], object], done: str) -> Callable[[Arguments], int]:
    def run(arguments: Arguments) -> int:
        name = codec.queue_name(arguments.words[0])
        with the_queue() as queue:
            with queue.store.transaction():
                if not queue.store.run("select 1 from queues where name = ?", (name,)):
                    if column == "paused" and not value(arguments):
                        raise NotFound(f"there is no queue {name!r}", hint="'queuectl queue list' shows what there is")
                    queue.store.lane_of(name)
                queue.store.run(f"update queues set {column} = ? where name = ?", (value(arguments), name))
            bell.ring(queue.place.run, bell.WORK)
        note(f"queue {name} {done}")
        return 0

    return run


def _limit(arguments: Arguments) -> int | None:
    text = arguments.words[1]
    return None if text == "none" else codec.whole(text, "limit", 1, 1_000_000)


COMMANDS = {
    "queue list": Command(show, options=(JSON, NAMES_ONLY), example="queuectl queue list"),
    "queue pause": Command(
        _set("paused", lambda a: 1, "is paused; what runs goes on"),
        words="QUEUE",
        least=1,
        most=1,
        example="queuectl queue pause default",
    ),
    "queue resume": Command(
        _set("paused", lambda a: 0, "is served again"),
        words="QUEUE",
        least=1,
        most=1,
        example="queuectl queue resume default",
    ),
    "queue limit": Command(
        _set("parallel", _limit, "has its limit"),
        words="QUEUE N|none",
        least=2,
        most=2,
        example="queuectl queue limit downloads 2",
    ),
}
