"""queuectl store copy, queuectl store check."""

from __future__ import annotations

from .. import jsontext
from ..locate import from_url
from ..queue import Queue
from .command import JSON, Arguments, Command
from .open import the_queue
from .text import note, out, table


def copy(arguments: Arguments) -> int:
    from .. import moving

    source, target = arguments.words
    with Queue(from_url(source), create=False) as old, Queue(from_url(target)) as new:
        found = moving.copy(old, new, note)
        note(f"{old.place.name} is now {new.place.name}: set QUEUECTL_URL; the old one takes no workers and no changes any more")
    table(("TABLE", "ROWS", "COPIED"), [(one.table, one.rows, one.there) for one in found])
    return 0


def keep(arguments: Arguments) -> int:
    from .. import moving

    with the_queue(create=False) as queue:
        note("it takes workers and changes again" if moving.keep(queue) else "it was not being moved")
    return 0


def check(arguments: Arguments) -> int:
    from .. import moving

    with the_queue(create=False) as queue:
        found = moving.check(queue.store)
    if arguments.json:
        out(jsontext.dumps({name: {"rows": rows, "checksum": total} for name, rows, total in found}) + "\n")
    else:
        table(("TABLE", "ROWS", "CHECKSUM"), found)
    return 0


COMMANDS = {
    "store copy": Command(
        copy,
        words="FROM TO",
        least=2,
        most=2,
        example="queuectl store copy sqlite:///home/me/queuectl.db postgresql://db.example/queue",
        about="Jobs, their history, schedules, limits, settings, logs. Stop the workers first; changes are refused on both sides "
        "from then on. Cut off, it goes on when it is called again; in the end counts and checksums of all tables are compared.",
    ),
    "store keep": Command(keep, example="queuectl store keep"),
    "store check": Command(check, options=(JSON,), example="queuectl store check"),
}
