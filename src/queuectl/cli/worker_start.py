"""queuectl worker start: a keeper and its worker, here or in the background."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic

from .. import codec, files, workers
from ..errors import InvalidInput, StorageError
from ..model import TAG
from ..run import start
from .command import Arguments, Command, Option
from .open import the_queue
from .text import note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..locate import Place

COUNT_MAX = 10_000
START_S = 15.0
LOG_MAX = 1_000_000  # bytes of a worker's own words; a longer file is put aside at the next start, over the one before


def run(arguments: Arguments) -> int:
    count = codec.whole(arguments.count or "1", "count", 1, COUNT_MAX)
    queues = [codec.queue_name(name) for text in arguments.queue or () for name in text.split(",")]
    apart = bool(arguments.use_processes)
    with the_queue() as queue:
        place = queue.place
        files.private_folder(place.run)
        if not os.access(place.run, os.W_OK):
            raise StorageError(f"cannot write to {place.run}", why="it is read-only for you", hint="check its owner, mode and disk")
        queue.settings.read()  # a broken file is told here, to whom it concerns
    flags = ",".join(["until-idle"] * bool(arguments.until_idle) + offered(arguments))
    slots, processes = (1, count) if apart else (count, 1)
    command = start.keeper_command(place, slots, queues, flags, processes)
    if not arguments.background:
        os.execve(sys.executable, command, start.environ())
    return _background(place, command, count)


def offered(arguments: Arguments) -> list[str]:
    """What the workers can run besides commands, as flags of theirs: tags here, tasks by the environment."""
    if arguments.app:
        _take_app(arguments.app)
    return [TAG + tag for text in arguments.tag or () for tag in codec.tags(text)]


def _take_app(name: str) -> None:
    """Refused now, with what is wrong with it, rather than by each worker."""
    from ..run import apps

    app = apps.here(name)
    found = apps.tasks_of(app)
    if not found:
        raise InvalidInput(f"app {name} has no tasks", hint="put @queuectl.task above a function", field="app")
    os.environ[apps.VARIABLE] = app.text()
    note("tasks: " + ", ".join(found))


def _background(place: Place, command: list[str], count: int) -> int:
    """Start a keeper that belongs to no terminal, and return when its workers run."""
    log = os.path.join(place.run, "worker.log")
    try:
        if os.stat(log).st_size > LOG_MAX:
            os.replace(log, log + ".1")
    except FileNotFoundError:
        pass  # there is none yet, or another start has just put it aside
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, files.FILE_MODE)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, fd, 1), (os.POSIX_SPAWN_DUP2, fd, 2)]
    with the_queue() as queue:
        before = {row.id for row in workers.living(queue.store)}
        pid = os.posix_spawn(sys.executable, command, start.environ(), file_actions=actions, setsid=True)
        os.close(fd)
        deadline = monotonic() + START_S
        with queue.listener("done") as ears:
            while True:
                started = [row for row in workers.living(queue.store) if row.id not in before]
                if sum(row.slots for row in started if row.runs_commands) >= count:
                    break
                ended, _ = os.waitpid(pid, os.WNOHANG)
                if ended or monotonic() > deadline:
                    if not ended:
                        os.kill(pid, signal.SIGTERM)  # what is told not to have started does not start later
                    raise StorageError("the worker did not start", why=f"its own words are in {log}", hint="read them")
                ears.wait(0.02)
    runs, it = ("workers run", "them") if count > 1 else ("worker runs", "it")
    note(f"{count} {runs} in the background; 'queuectl worker stop' ends {it}")
    return 0


OFFERS = (
    Option(("--app",), "run the tasks of this Python module too: functions marked @queuectl.task", "MODULE"),
    Option(("--tag",), "what this machine has, for jobs that ask for it with --where", "TAG", many=True),
)
COMMANDS = {
    "worker start": Command(
        run,
        options=(
            Option(("-c", "--count"), "how many jobs at once, default 1", "N"),
            Option(("--queue",), "serve only these queues", "QUEUE", many=True),
            *OFFERS,
            Option(("--until-idle",), "end when nothing is left that would still run"),
            Option(("--background",), "return when the workers run"),
            Option(("--use-processes",), "one worker process for each job at once"),
        ),
        example="queuectl worker start --count 4",
        about="Ctrl-C or SIGTERM: finish what runs, then end; a second time: end it now and put it back. "
        "A worker that dies is started again and takes its running jobs over.",
    )
}
