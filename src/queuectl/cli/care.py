"""queuectl doctor, backup, restore, service."""

from __future__ import annotations

import os

from .. import jsontext
from ..locate import locate
from .command import JSON, Arguments, Command, Option
from .open import the_queue
from .text import note, out, safe


def doctor(arguments: Arguments) -> int:
    from .. import doctor

    found = list(doctor.examine(locate(os.environ)))
    if arguments.json:
        shown = [{"what": f.what, "level": f.level, "say": f.say, "mend": f.mend} for f in found]
        out(jsontext.dumps(shown) + "\n")
    else:
        for f in found:
            out(f"{f.level:<8} {safe(f.what)}: {safe(f.say)}\n")
            if f.mend:
                out(f"{'':<8} → {safe(f.mend)}\n")
    return 1 if any(f.level == doctor.WRONG for f in found) else 0


def backup(arguments: Arguments) -> int:
    from ..backup import back_up

    with the_queue(create=False) as queue:
        size = back_up(queue, arguments.words[0])
    note(f"{size} bytes, whole and on disk")
    return 0


def restore(arguments: Arguments) -> int:
    from ..backup import restore as put_back

    kept = put_back(locate(os.environ), arguments.words[0])
    note("restored" + (f"; what was there is kept as {kept}" if kept else ""))
    return 0


def install(arguments: Arguments) -> int:
    from .. import codec, service

    slots = codec.whole(arguments.count or str(os.cpu_count() or 1), "count", 1, 10_000)
    with the_queue() as queue:
        for line in service.install(queue.place, slots):
            out(line + "\n")
    return 0


def service_run(arguments: Arguments) -> int:
    from .. import codec
    from ..run import serviced

    slots = codec.whole(arguments.count or str(os.cpu_count() or 1), "count", 1, 10_000)
    return serviced.run(locate(os.environ), slots)


def uninstall(arguments: Arguments) -> int:
    from .. import service

    for line in service.uninstall():
        out(line + "\n")
    return 0


def service_status(arguments: Arguments) -> int:
    from .. import doctor, service

    found = list(service.examine())
    for f in found:
        out(f"{f.level:<8} {safe(f.say)}\n")
    return 1 if any(f.level == doctor.WRONG for f in found) else 0


COUNT = Option(("--count",), "jobs at once, default one for each processor", "N")
COMMANDS = {
    "doctor": Command(doctor, options=(JSON,), example="queuectl doctor", about="Ends with 1 when something is wrong."),
    "backup": Command(
        backup,
        words="FILE",
        least=1,
        most=1,
        example="queuectl backup monday.db",
        about="It overwrites nothing. Output (job_logs) and stored inputs (queuectl.db.run/stdin) are files beside the database.",
    ),
    "restore": Command(
        restore, words="FILE", least=1, most=1, example="queuectl restore monday.db", about="What is there is kept beside it."
    ),
    "service install": Command(install, options=(COUNT,), example="queuectl service install --count 4"),
    "service run": Command(
        service_run,
        options=(COUNT,),
        example="queuectl service run --count 4",
        about="SIGTERM ends the worker and leaves its jobs running; the next start takes them over.",
    ),
    "service uninstall": Command(uninstall, example="queuectl service uninstall"),
    "service status": Command(service_status, example="queuectl service status"),
}
