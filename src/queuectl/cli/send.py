"""queuectl send: a Filespooler packet with parameters and standard input, into a folder or to standard output."""

from __future__ import annotations

import os

from ..errors import InvalidInput, QueueError
from ..files import private_folders
from .command import Arguments, Command, Option
from .text import out


def run(arguments: Arguments) -> int:
    from ..packets.deliver import into_folder, stream
    from ..packets.faults import FsplError

    target = arguments.words[0]
    folder = None if target == "-" else _folder(target)
    seqfile = os.fsencode(arguments.sequence or _own_sequence(folder or "stdout"))
    params = [os.fsencode(word) for word in arguments.rest or ()]
    source = None if arguments.no_stdin or os.isatty(0) else 0
    try:
        if folder is None:
            stream(seqfile, params, source, 1)
        else:
            out(f"{into_folder(os.fsencode(folder), seqfile, params, source)}\n")
    except FsplError as fault:
        hint = "'fspl prepare-set-next' sets it"
        raise QueueError(f"sequence {os.fsdecode(seqfile)} cannot be used", why=str(fault), hint=hint) from None
    return 0


def _folder(target: str) -> str:
    """Where packets of this target go: a queue's folder of jobs, else the folder itself."""
    jobs = os.path.join(target, "jobs")
    folder = jobs if os.path.isdir(jobs) else target
    if not os.path.isdir(folder):
        hint = "'fspl queue-init -q DIR' makes a queue; - is standard output"
        raise InvalidInput(f"{target} is not a folder", hint=hint)
    return os.path.realpath(folder)


def _own_sequence(target: str) -> str:
    """The numbers that this user has sent to a target: never in the folder itself, which is somebody else's too."""
    from hashlib import sha1

    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local/state")
    name = f"{os.path.basename(target) or 'root'}-{sha1(os.fsencode(target)).hexdigest()[:12]}"
    return os.path.join(private_folders(os.path.join(state, "queuectl", "send")), name)


COMMANDS = {
    "send": Command(
        run,
        options=(
            Option(("--sequence",), "the file that counts the packets; left out: one of your own for this target", "FILE"),
            Option(("--no-stdin",), "send no input"),
        ),
        words="DIR|-",
        least=1,
        most=1,
        takes_rest=True,
        example="tar -c -g state /home | queuectl send ~/synced -- monday",
        about="Makes a Filespooler packet of the parameters after -- and of standard input (unless that is a terminal), numbered "
        "one after the other. Into a folder it appears whole, and its number, which is printed, is used up only then; "
        "- writes the packet to standard output. Run the packets with 'fspl queue-process'.",
    )
}
