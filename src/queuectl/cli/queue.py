"""queuectl queue, queuectl limit: what is shown of queues and keys, their limits and pause switches."""

from __future__ import annotations

from .. import codec, limits, shown
from ..errors import InvalidInput
from ..schedule import interval_us, rate_text
from ..store import stats
from .command import JSON, NAMES_ONLY, Arguments, Command, Option
from .list import print_array
from .open import the_queue
from .text import note, out, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STATES = ("pending", "processing", "failed", "dead", "completed")
PARALLEL_MAX = 1_000_000


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        counts = stats.by_queue(queue.store)
        rows = limits.of_queues(queue)
    found: list[dict[str, Any]] = [
        {"queue": r.name, "paused": r.paused, "parallel": r.parallel, "rate": rate_text(r.interval_us), **counts.get(r.name, {})}
        for r in rows
    ]
    if arguments.json:
        print_array(found)
        return 0
    if arguments.quiet:
        out("".join([f["queue"] + "\n" for f in found]))
        return 0
    rows_shown = [
        (f["queue"], "paused" if f["paused"] else "", f["parallel"] or "", f["rate"] or "", *[f.get(s, 0) for s in STATES])
        for f in found
    ]
    table(("QUEUE", "", "LIMIT", "RATE", *[state.upper() for state in STATES]), rows_shown)
    return 0


def pause(arguments: Arguments) -> int:
    return _set(arguments, "is paused; what runs goes on", paused=1)


def resume(arguments: Arguments) -> int:
    return _set(arguments, "is served again", must_exist=True, paused=0)


def limit_queue(arguments: Arguments) -> int:
    changes: dict[str, Any] = {}
    if len(arguments.words) > 1:
        changes["parallel"] = _parallel(arguments.words[1])
    if arguments.rate is not None:
        changes["interval_us"] = interval_us(arguments.rate)
    if not changes:
        raise InvalidInput("no limit is given", hint="a number at once, --rate 10/s, or none")
    return _set(arguments, "has its limit", **changes)


def _set(arguments: Arguments, done: str, must_exist: bool = False, **changes: Any) -> int:
    name = codec.queue_name(arguments.words[0])
    with the_queue() as queue:
        limits.set_queue(queue, name, must_exist=must_exist, **changes)
    note(f"queue {name} {done}")
    return 0


def _parallel(text: str) -> int | None:
    return None if text == "none" else codec.whole(text, "limit", 1, PARALLEL_MAX)


def list_limits(arguments: Arguments) -> int:
    with the_queue() as queue:
        rows = limits.of_keys(queue)
    if arguments.json:
        print_array(map(shown.limit_object, rows))
        return 0
    cells = [(r.name, r.parallel or "", rate_text(r.interval_us) or "", shown.iso(r.next_us) or "") for r in rows]
    table(("KEY", "LIMIT", "RATE", "NEXT"), cells)
    return 0


def set_limit(arguments: Arguments) -> int:
    if arguments.parallel is None and arguments.rate is None:
        raise InvalidInput("no limit is given", hint="--parallel 2, --rate 10/s, or both")
    key = codec.label_text(arguments.words[0], "key")
    parallel = None if arguments.parallel is None else _parallel(arguments.parallel)
    with the_queue() as queue:
        limits.set_key(queue, str(key), parallel, None if arguments.rate is None else interval_us(arguments.rate))
    note(f"key {key} has its limit")
    return 0


def remove_limit(arguments: Arguments) -> int:
    with the_queue() as queue:
        limits.remove_key(queue, arguments.words[0])
    note(f"key {arguments.words[0]} has no limit")
    return 0


RATE = Option(("--rate",), "how often one may start: 10/s, 30/min, 100/h, or none", "RATE")

COMMANDS = {
    "queue list": Command(show, options=(JSON, NAMES_ONLY), example="queuectl queue list"),
    "queue pause": Command(pause, words="QUEUE", least=1, most=1, example="queuectl queue pause default"),
    "queue resume": Command(resume, words="QUEUE", least=1, most=1, example="queuectl queue resume default"),
    "queue limit": Command(
        limit_queue,
        options=(RATE,),
        words="QUEUE [N|none]",
        least=1,
        most=2,
        example="queuectl queue limit downloads 2 --rate 10/s",
    ),
    "limit list": Command(list_limits, options=(JSON,), example="queuectl limit list"),
    "limit set": Command(
        set_limit,
        options=(Option(("--parallel",), "how many may run at once, or none", "N"), RATE),
        words="KEY",
        least=1,
        most=1,
        example="queuectl limit set api.example.org:443 --parallel 4 --rate 10/s",
        about="Limits all jobs with this limit key, those that wait already too. A call's key is its target, host:port, "
        "unless it says otherwise.",
    ),
    "limit remove": Command(remove_limit, words="KEY", least=1, most=1, example="queuectl limit remove api.example.org:443"),
}
