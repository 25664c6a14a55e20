"""queuectl schedule: jobs that are added again and again, by a cron expression."""

from __future__ import annotations

from .. import schedules, shown
from ..errors import InvalidInput
from .command import JSON, NAMES_ONLY, Arguments, Command, Option
from .enqueue import JOB_OPTIONS, asked_spec
from .list import print_array
from .open import the_queue
from .text import note, out, safe, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Schedule
    from ..queue import Queue

NOT_HERE = ("--id", "--key", "--delay", "--run-at", "--stdin", "--after", "--after-any", "--after-failed")


def add(arguments: Arguments) -> int:
    if len(arguments.words) < 2:
        raise InvalidInput("a name and a cron expression are needed", hint="queuectl schedule add nightly '0 3 * * *' -- backup")
    name, expression, *words = arguments.words
    arguments.words = words
    with the_queue() as queue:
        terms = {k: getattr(arguments, k) for k in ("zone", "overlap", "catch_up") if getattr(arguments, k) is not None}
        added = schedules.add(queue, name, expression, asked_spec(arguments, queue), **terms)
    note(f"schedule {name} adds its first job at {shown.iso(added.next_us)}" if added.next_us else f"schedule {name} is never due")
    return 0


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        found = schedules.all_of(queue)
        last = {s.name: job.id for s in found if s.job is not None and (job := queue.store.job(s.job))}
    if arguments.json:
        print_array(shown.schedule_object(s, last.get(s.name)) for s in found)
    elif arguments.quiet:
        out("".join([s.name + "\n" for s in found]))
    else:
        table(("SCHEDULE", "CRON", "ZONE", "NEXT", "JOBS", "SKIPPED", "LAST", "COMMAND"), [_cells(s, last) for s in found])
    return 0


def _cells(s: Schedule, last: dict[str, str]) -> tuple[object, ...]:
    due = s.note or ("paused" if s.paused else shown.iso(s.next_us) or "never")
    return s.name, s.cron, s.zone, due, s.fired, s.skipped, last.get(s.name, ""), safe(shown.template_command(s))


def _named(verb: Callable[[Queue, str], object], done: str) -> Callable[[Arguments], int]:
    def run(arguments: Arguments) -> int:
        with the_queue() as queue:
            for name in arguments.words:
                verb(queue, name)
        note(f"schedule {', '.join(arguments.words)} {done}")
        return 0

    return run


def run_now(arguments: Arguments) -> int:
    with the_queue() as queue:
        out(schedules.run_now(queue, arguments.words[0]).id + "\n")
    return 0


COMMANDS = {
    "schedule add": Command(
        add,
        options=(
            Option(("--zone",), "time zone of the expression, default this machine's", "ZONE"),
            Option(("--overlap",), "while its last job has not ended: skip (the default) or allow", "WHAT"),
            Option(("--catch-up",), "of what was missed while no worker ran: one (the default), none or all", "WHAT"),
            *[option for option in JOB_OPTIONS if option.flags[0] not in NOT_HERE],
        ),
        words="NAME CRON",
        most=None,
        takes_rest=True,
        example="queuectl schedule add nightly '30 2 * * *' --zone Europe/Berlin -- ./backup.sh",
        about="Five fields as in crontab, or @hourly, @daily, @weekly, @monthly, @yearly. At the changes of summer time it does "
        "what Debian's cron does. Workers add the jobs, each labelled with the schedule's name.",
    ),
    "schedule list": Command(show, options=(JSON, NAMES_ONLY), example="queuectl schedule list"),
    "schedule pause": Command(
        _named(schedules.pause, "is paused"), words="NAME", least=1, most=None, example="queuectl schedule pause nightly"
    ),
    "schedule resume": Command(
        _named(schedules.resume, "goes on"), words="NAME", least=1, most=None, example="queuectl schedule resume nightly"
    ),
    "schedule remove": Command(
        _named(schedules.remove, "is gone; its jobs stay"),
        words="NAME",
        least=1,
        most=None,
        example="queuectl schedule remove nightly",
    ),
    "schedule run": Command(run_now, words="NAME", least=1, most=1, example="queuectl schedule run nightly"),
}
