"""queuectl worker stop, queuectl worker restart."""

from __future__ import annotations

from .. import codec, workers
from ..errors import InvalidInput, StorageError, WaitTimeout
from .command import Arguments, Command, Option
from .open import the_queue
from .text import note


def stop(arguments: Arguments) -> int:
    if arguments.now and arguments.leave:
        raise InvalidInput("--now and --leave exclude each other", hint="end running jobs, or leave them running")
    return _ask("now" if arguments.now else "leave" if arguments.leave else "finish", arguments)


def restart(arguments: Arguments) -> int:
    return _ask("restart", arguments)


def _ask(what: str, arguments: Arguments) -> int:
    timeout = None if arguments.timeout is None else codec.seconds(arguments.timeout, "timeout")
    again = 0
    with the_queue(upgrade=False) as queue:
        running = workers.ask_all(queue, what)
        if not running:
            note("no worker is running")
            return 0
        # A caller ends when its calls have, and is started again when there are others to make.
        commands = [row for row in running if row.runs_commands]
        awaited = commands if what == "restart" and commands else running
        left = workers.wait_until_gone(queue, awaited, timeout)
        if what == "restart" and not left:
            again = workers.wait_for_heirs(queue, commands, START_S)
        elif not left and not workers.living(queue.store):
            workers.wait_until_unwatched(queue.place.run, START_S)
    if left:
        raise WaitTimeout(f"{len(left)} workers have not ended yet", hint="they end when their jobs do; --now ends those")
    if what == "restart" and again < len(commands):
        why = f"{len(commands)} ended and {again} began"
        raise StorageError("not every worker has begun anew", why=why, hint="'queuectl worker list', 'queuectl worker start'")
    note(f"{len(awaited)} worker{'' if len(awaited) == 1 else 's'} {'restarted' if what == 'restart' else 'stopped'}")
    return 0


START_S = 15.0  # a keeper starts the next worker at once
TIMEOUT = Option(("--timeout",), "wait at most this long for it, then exit status 124", "TIME")
COMMANDS = {
    "worker stop": Command(
        stop,
        options=(
            Option(("--now",), "end running jobs and put them back into the queue"),
            Option(("--leave",), "leave running jobs running; the next worker takes them over"),
            TIMEOUT,
        ),
        example="queuectl worker stop",
        about="Without options running jobs are finished first. From any terminal; none running is fine.",
    ),
    "worker restart": Command(restart, options=(TIMEOUT,), example="queuectl worker restart"),
}
