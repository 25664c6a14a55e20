"""The command line: a table from word to module; each command is parse → verb → show.

Start-up time is paid by every user every time, so nothing is imported here that the named command does not need.
"""

from __future__ import annotations

import os
import sys

from ..errors import InvalidInput, QueueError
from ..saying import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .command import Arguments, Command

# word → (module, what it does). Words with a space are subcommands.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "make a queue in this folder"),
    "enqueue": ("enqueue", "add a job, or a pile of them"),
    "run": ("run", "add a job, follow it, end with its exit status"),
    "status": ("status", "how many jobs are in each state, and who runs them"),
    "list": ("list", "the jobs, newest first"),
    "show": ("show", "everything known of a job"),
    "logs": ("logs", "what a job wrote"),
    "wait": ("wait", "wait until jobs have ended"),
    "explain": ("explain", "why a job waits"),
    "cancel": ("change", "cancel jobs: waiting ones at once, running ones by their worker"),
    "hold": ("change", "keep waiting jobs from starting"),
    "release": ("change", "let held jobs run"),
    "retry": ("change", "run dead, cancelled or failed jobs again"),
    "edit": ("edit", "change a job that waits"),
    "rerun": ("edit", "add the same again as a new job"),
    "clean": ("clean", "remove jobs that have ended"),
    "serve": ("serve", "the API, the dashboard and workers in one command"),
    "dashboard": ("serve", "the dashboard alone, to look at"),
    "token": ("token", "what lets others use the API"),
    "token rotate": ("token", "make another token; the old one is worth nothing then"),
    "token link": ("token", "a link that lets a browser in, once"),
    "worker start": ("worker_start", "run jobs, in the foreground or in the background"),
    "worker stop": ("worker_stop", "stop the workers of this queue"),
    "worker restart": ("worker_stop", "start the workers again with new code; running jobs run on"),
    "worker forget": ("worker_forget", "give up a machine that will not come back, and the jobs that wait for it"),
    "worker list": ("worker_list", "who runs, since when, on what"),
    "dlq list": ("dlq", "the dead-letter queue: jobs that failed for good"),
    "dlq retry": ("dlq", "run dead jobs again"),
    "queue list": ("queue", "the queues, how much waits in each, their limits"),
    "queue pause": ("queue", "start no more jobs of a queue"),
    "queue resume": ("queue", "start jobs of a paused queue again"),
    "queue limit": ("queue", "how many jobs of a queue may run at once, how often one may start"),
    "limit list": ("queue", "the limits of keys that jobs share"),
    "limit set": ("queue", "limit all jobs with a key, in whatever queue"),
    "limit remove": ("queue", "take a key's limit away"),
    "schedule add": ("schedule", "add a job again and again, by a cron expression"),
    "schedule list": ("schedule", "the schedules, when each is due next"),
    "schedule pause": ("schedule", "add no more jobs of a schedule"),
    "schedule resume": ("schedule", "let a paused schedule go on"),
    "schedule run": ("schedule", "add a schedule's job now"),
    "schedule remove": ("schedule", "take a schedule away; its jobs stay"),
    "config set": ("config", "change a setting"),
    "config get": ("config", "show a setting"),
    "config list": ("config", "show all settings"),
    "config unset": ("config", "put a setting back to its built-in value"),
    "secret set": ("secret", "make or store a secret that calls are signed with"),
    "secret list": ("secret", "the names of the secrets"),
    "secret unset": ("secret", "forget a secret"),
    "metrics": ("metrics", "throughput, success rate, durations"),
    "doctor": ("care", "what is wrong with this queue, its machine, its unit, and how to mend it"),
    "backup": ("care", "copy the queue's database while everything runs"),
    "restore": ("care", "put a backup in the queue's place"),
    "store copy": ("store", "move a queue to another store: from SQLite to PostgreSQL, or back"),
    "store keep": ("store", "give up moving this queue: it takes workers again"),
    "store check": ("store", "counts and checksums of all that is stored"),
    "service install": ("care", "run the worker as a systemd user service"),
    "service run": ("care", "what the unit of that service calls"),
    "service uninstall": ("care", "remove that service"),
    "service status": ("care", "how that service is"),
    "export": ("transfer", "write jobs as JSON lines"),
    "import": ("transfer", "read jobs from an export or a jobs_database.json"),
    "send": ("send", "put a packet into a folder that another machine's queue runs in order"),
    "spool attach": ("spool", "run the packets that arrive in a folder as jobs, strictly in order"),
    "spool list": ("spool", "the attached folders, what each is at"),
    "spool detach": ("spool", "run no more packets of a folder"),
    "spool retry": ("spool", "run the packet again at which a spool has stopped"),
    "spool skip": ("spool", "go on without a packet that failed or never came"),
    "completion": ("completion", "shell completion for bash, zsh or fish"),
}

# What other documents and habits call them: the words stand for these.
ALIASES: dict[str, tuple[str, ...]] = {
    "add": ("enqueue",),
    "ls": ("list",),
    "st": ("status",),
    "rm": ("clean",),
    "requeue": ("retry",),
    "worker-run": ("worker", "start"),
    "worker-start": ("worker", "start", "--background"),
    "worker-stop": ("worker", "stop"),
    "worker run": ("worker", "start"),
}
PROGRAMS = ("fspl", "taskspoold", "taskspoolctl", "tasker")  # programs of their own, reachable as `queuectl NAME …`


def entry() -> NoReturn:
    """The console script. Ends without the interpreter's tidying up, which takes as long as adding a job."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _fill_closed()
    os._exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Run one command; returns its exit code. Errors are one line on stderr, never a traceback."""
    try:
        code = dispatch(argv)
        sys.stdout.flush()
        return code
    except QueueError as fault:
        _complain(str(fault))
        return fault.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141  # whoever read our output wants no more of it
    except OSError as fault:
        _complain(f"{fault.filename or 'cannot read or write'}: {fault.strerror or fault}")
        return 7 if fault.errno in (5, 28, 30, 122) else 1
    except (RecursionError, MemoryError) as fault:
        _complain(f"the input is too large ({type(fault).__name__})")
        return 2
    except Exception as fault:
        # A mistake of ours. The user gets one line, whoever mends it the traceback.
        if os.environ.get("QUEUECTL_DEBUG"):
            raise
        _complain(f"internal fault, please report it: {type(fault).__name__}: {fault} (QUEUECTL_DEBUG=1 shows where)")
        return 1


def dispatch(argv: list[str]) -> int:
    if not argv:
        from .help import overview

        return overview(sys.stderr, 2)
    word, rest = argv[0], argv[1:]
    if word in PROGRAMS:
        from importlib import import_module

        return int(import_module(f"queuectl.compat.{word}").main(rest))
    for name in (f"{word} {rest[0]}" if rest else "", word):
        if name in ALIASES:
            return dispatch([*ALIASES[name], *argv[name.count(" ") + 1 :]])
        if name in COMMANDS:
            return run(name, argv[name.count(" ") + 1 :])
    from .help import other_word

    return other_word(argv)


def load(name: str) -> Command:
    from importlib import import_module

    module = import_module(f".{COMMANDS[name][0]}", __name__)
    command: Command = module.COMMANDS[name]
    return command


def run(name: str, argv: list[str]) -> int:
    command = load(name)
    arguments: Arguments | int | None = command.read(argv)
    if arguments is None:
        from .help import read_or_explain

        arguments = read_or_explain(name, command, argv)
    if isinstance(arguments, int):
        return arguments
    if os.environ.get("QUEUECTL_URL", "").startswith(("http://", "https://", "http+unix://")):
        from .remote import instead

        command = instead(name, command)
    try:
        return command.run(arguments)
    except UnicodeEncodeError as fault:
        raise InvalidInput("an argument is not valid UTF-8", why=repr(fault.object)[:60], hint="put it into a file") from None


def _complain(line: str) -> None:
    from .text import safe

    say(safe(line))


def _fill_closed() -> None:
    """Started with a standard descriptor closed: the next file opened would take its place and be written into."""
    while (null := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(null)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
