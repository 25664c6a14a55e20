"""What `fspl --help` says, written from the table of subcommands."""

from __future__ import annotations

import os

from queuectl.compat.fspl.args import FLAGS, OPTIONS, VERBS
from queuectl.packets.descriptors import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.compat.fspl.args import Arguments

VERSION = "filespooler 1.2.4\n"
_ABOUT = "fspl, the Filespooler command of queuectl: packets that carry a job, and folders of them run in order."
_SUMMARY = {
    b"prepare": "Write a packet that carries parameters and input to stdout",
    b"prepare-nop": "Write a packet that does nothing and succeeds",
    b"prepare-fail": "Write a packet that does nothing and fails",
    b"prepare-get-next": "Show the number the next packet will have",
    b"prepare-set-next": "Set the number the next packet will have",
    b"queue-init": "Create a queue folder",
    b"queue-write": "Put the packet on stdin into a queue",
    b"queue-ls": "List the jobs of a queue",
    b"queue-info": "Show what one job of a queue says",
    b"queue-payload": "Write the payload of one job of a queue to stdout",
    b"queue-get-next": "Show the number a queue runs next",
    b"queue-set-next": "Set the number a queue runs next",
    b"queue-process": "Run a command for each job of a queue, in order",
    b"stdin-info": "Show what the packet on stdin says",
    b"stdin-payload": "Write the payload of the packet on stdin to stdout",
    b"stdin-process": "Run a command for the packet on stdin",
    b"gen-uuid": "Print a random UUID",
    b"gen-filename": "Print a file name for a packet",
    b"show-license": "Print the licence",
}
_OPTION = {
    "seqfile": ("FILE", "File with the next number; '-' for none at all"),
    "input": ("INPUT", "File to carry as payload; '-' for stdin"),
    "queuedir": ("DIR", "The queue folder"),
    "job": ("ID", "Number of the job"),
    "decoder": ("DECODECMD", "Shell command that turns a stored file into a packet"),
    "maxjobs": ("JOBS", "Take at most so many jobs"),
    "append_only": ("", "A queue that is only written to here"),
    "never_delete": ("", "Keep the files of jobs that are done"),
    "order_by": ("ORDERING", "sequence (default) or timestamp"),
    "on_error": ("ONERROR", "retry (default), delete or leave"),
    "output_to": ("DEST", "passboth (default) or saveboth"),
    "allow_job_params": ("", "Add the job's own parameters to the command line"),
    "ignore_payload": ("", "Leave stdin as it is instead of the payload"),
    "timeout": ("SECONDS", "Kill a command that takes longer, with all it started"),
    "log_level": ("LEVEL", "error, warn, info (default), debug or trace"),
}


def page(topic: bytes) -> str:
    """The help of a subcommand, or of the whole command."""
    verb = VERBS.get(topic)
    if verb is None:
        verbs = "".join(f"    {name.decode():<18}{summary}\n" for name, summary in _SUMMARY.items())
        return f"{_ABOUT}\n\n{usage(b'')}\nOPTIONS:\n{_option('log_level')}{_flags(True)}\nSUBCOMMANDS:\n{verbs}"
    options = "".join(map(_option, verb.options)) + _flags(False)
    return f"{_SUMMARY[topic]}\n\n{usage(topic)}\nOPTIONS:\n{options}"


def usage(topic: bytes) -> str:
    verb = VERBS.get(topic)
    if verb is None:
        return "USAGE:\n    fspl [OPTIONS] <SUBCOMMAND>\n"
    needed = "".join(f" --{name} <{_OPTION[name][0]}>" for name in verb.required)
    words = "".join(f" <{word.upper()}>" for word in verb.words) + (" [-- <PARAMS>...]" if verb.params else "")
    return f"USAGE:\n    fspl {topic.decode()} [OPTIONS]{needed}{words}\n"


def _option(name: str) -> str:
    spelled = ", ".join(word.decode() for word, known in OPTIONS.items() if known == name)
    value, summary = _OPTION[name]
    return f"    {spelled + ('' if name in FLAGS else f' <{value}>'):<32}{summary}\n"


def _flags(version: bool) -> str:
    text = f"    {'-h, --help':<32}Print this\n"
    return text + (f"    {'-V, --version':<32}Print the version\n" if version else "")


def show_license(args: Arguments) -> None:
    write_all(1, _license().encode() + b"\n")


def _license() -> str:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution("queuectl").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if os.path.basename(file) == "LICENSE":
            return file.read_text()
    return "This fspl is part of queuectl, written anew; the licence is in the file LICENSE of its source.\n"
