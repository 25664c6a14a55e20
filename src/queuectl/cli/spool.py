"""queuectl spool: folders of packets whose packets become jobs, one after the other."""

from __future__ import annotations

import os
import sys

from .. import codec, jsontext, spool_rows, spools
from ..errors import InvalidInput
from ..workers import living
from .command import JSON, NAMES_ONLY, Arguments, Command, Option
from .open import the_queue
from .text import note, out, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


def attach(arguments: Arguments) -> int:
    folder = arguments.words[0]
    name = arguments.name or os.path.basename(os.path.realpath(folder))
    with the_queue() as queue:
        spool = spools.attach(queue, name, folder, _terms(arguments), os.environb)
        note(f"spool {name} is attached; {spools.waits_for(queue, spool)[0]}")
        if not any(row.host == spool.host or not spool.host for row in living(queue.store)):
            note(f"no worker is running{' on ' + spool.host if spool.host else ''}; start one with 'queuectl worker start'")
    return 0


def _terms(arguments: Arguments) -> spool_rows.Terms:
    if not arguments.rest:
        raise InvalidInput("a command is missing", hint="queuectl spool attach DIR -- tar -x -f -")
    optional = codec.FIELDS
    umask = os.umask(0o077)
    os.umask(umask)
    return spool_rows.Terms(
        command=codec.words(list(arguments.rest)),
        queue=codec.queue_name(arguments.queue or "default"),
        decoder=arguments.decoder,
        verify=arguments.verify,
        allow_job_params=bool(arguments.allow_job_params),
        on_error=_on_error(arguments.on_error or "stop"),
        max_retries=optional["max_retries"][1](arguments.max_retries),
        timeout_s=optional["timeout"][1](arguments.timeout),
        priority=optional["priority"][1](arguments.priority or 0),
        cwd=os.getcwd(),
        umask=umask,
    )


def _on_error(word: str) -> str:
    known = {**{how: how for how in spools.ON_ERROR}, "retry": "stop"}  # what Filespooler calls it
    if word.lower() not in known:
        raise InvalidInput(f"on-error cannot be {word!r}", hint=f"one of {', '.join(spools.ON_ERROR)}", field="on_error")
    return known[word.lower()]


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        found = [spools.shown(queue, spool) for spool in spool_rows.all_of(queue.store)]
    if arguments.json:
        out(jsontext.dumps(found) + "\n")
    elif arguments.quiet:
        out("".join([f"{spool['name']}\n" for spool in found]))
    elif found:
        rows = [(s["name"], spool_rows.placed(s["host"], s["folder"]), s["queue"], s["next"], s["is"][0]) for s in found]
        table(("SPOOL", "FOLDER", "QUEUE", "NEXT", "WHAT"), rows)
    elif sys.stdout.isatty():
        note("no spool is attached")
    return 0


def detach(arguments: Arguments) -> int:
    name = arguments.words[0]
    with the_queue(create=False) as queue:
        gone = spools.detach(queue, name)
    note(f"spool {name} is detached; its folder is as it was" if gone else f"spool {name} is detached when its packet has ended")
    return 0


def retry(arguments: Arguments) -> int:
    with the_queue(create=False) as queue:
        spool = spools.retry(queue, arguments.words[0])
    note(f"packet {spool.number} of spool {spool.name} runs again")
    return 0


def skip(arguments: Arguments) -> int:
    name, *number = arguments.words
    with the_queue(create=False) as queue:
        skipped = spools.skip(queue, name, codec.whole(number[0], "number", 0, (1 << 64) - 1) if number else None)
    note(f"packet {skipped} of spool {name} was skipped")
    return 0


COMMANDS = {
    "spool attach": Command(
        attach,
        options=(
            Option(("--name",), "its name, default the folder's", "NAME"),
            Option(("--queue",), "the queue that its packets become jobs of", "QUEUE"),
            Option(("-d", "--decoder"), "shell command that turns a stored file into a packet", "CMD"),
            Option(("--verify",), "shell command that ends with 0 for a stored file that may be trusted", "CMD"),
            Option(("--allow-job-params",), "the packets' parameters become arguments of the command"),
            Option(("--on-error",), "a packet that has failed for good: stop (default), delete it, leave it", "HOW"),
            Option(("--max-retries",), "how often a packet that fails runs again before that", "N"),
            Option(("--timeout",), "how long one run may take", "TIME"),
            Option(("--priority",), "of its jobs", "N"),
        ),
        words="DIR",
        least=1,
        most=1,
        takes_rest=True,
        example="queuectl spool attach ~/queue --name backups -d 'gpg -d' -- tar -x -g /dev/null -C /backups -f -",
        about="Packets are run strictly in the order of their numbers; one that is not there yet is waited for.",
    ),
    "spool list": Command(show, options=(JSON, NAMES_ONLY), example="queuectl spool list"),
    "spool detach": Command(detach, words="SPOOL", least=1, most=1, example="queuectl spool detach backups"),
    "spool retry": Command(retry, words="SPOOL", least=1, most=1, example="queuectl spool retry backups"),
    "spool skip": Command(
        skip,
        words="SPOOL [NUMBER]",
        least=1,
        most=2,
        example="queuectl spool skip backups 7",
        about="Goes on after a packet that has failed for good or will never come; its file goes to the folder `rejected`.",
    ),
}
