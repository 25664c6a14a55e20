"""Starting a job's process and finding all that it started.

On Linux a job is started with `posix_spawn` (vfork inside: its cost does not grow with the worker) as leader of a
session of its own, standard output straight into its log, and watched through a pidfd. Elsewhere `system` does
what it can.
"""

from __future__ import annotations

import errno
import os
import sys

from .. import jsontext
from ..model import Job
from ..record import Record
from . import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .journal import Trace

COOKIE = b"QUEUECTL_RUN"  # in every job's environment: "store:job:run", to find what left its session
SHELL = "/bin/sh"
# A packet's job is a process of ours, for which the job's variables are another's: nothing of them says where Python looks.
PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DELIVER = f"import sys; sys.path.insert(0, {PACKAGES!r}); from queuectl.run.delivery import main; main(sys.argv[1])".encode()
NOT_EXECUTABLE, NOT_FOUND, CANNOT_START = 126, 127, 125

# What a shell reads as more than a plain word, and the words it runs itself (or might) instead of a program. Shell text
# without any of these means the same to execve, as make has known for long; a shell start is saved.
SPECIAL = frozenset("|&;<>()$`\\\"'*?[]#~=%!{}\n\r\t^")
BUILTIN_WORDS = (
    ". : [ alias bg bind break builtin caller case cd chdir command compgen complete continue declare dirs disown do done"
    " echo elif else enable esac eval exec exit export fc fg fi for function getopts hash help history if in jobs kill"
    " let local logout mapfile popd printf pushd pwd read readarray readonly return select set shift shopt source"
    " suspend test then time times trap type typeset ulimit umask unalias unset until wait while"
)
BUILTINS = frozenset(BUILTIN_WORDS.split())


class CannotStart(Exception):
    """The program could not be started; `status` is what a shell would have ended with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.trace: Trace | None = None  # of the run that did not begin


class Launch(Record):
    """All that execve needs."""

    argv: tuple[bytes, ...]
    path: bytes
    env: Environment
    own: tuple[bytes, ...]  # what the environment says of this job alone
    cwd: str
    umask: int
    stdin: str
    stdout: int  # descriptor
    stderr: int


def argv_for(job: Job) -> tuple[bytes, ...]:
    """The program and arguments of a job: its own, or a shell with its text.

    >>> from ..lifecycle import a_job
    >>> argv_for(a_job(command="gzip -k big.log")), argv_for(a_job(command="cd /tmp && ls"))
    ((b'gzip', b'-k', b'big.log'), (b'/bin/sh', b'-c', b'cd /tmp && ls'))
    """
    if job.kind == "argv":
        return tuple([os.fsencode(word) for word in jsontext.loads(job.work or "[]")])
    if job.kind == "packet":
        return (os.fsencode(sys.executable), b"-I", b"-S", b"-c", DELIVER, os.fsencode(job.work or "{}"))
    if job.kind == "function":
        from .apps import argv  # a worker without an app needs none of it

        return argv()
    text = job.command
    words = text.split(" ")
    if SPECIAL.isdisjoint(text) and words[0] not in BUILTINS and all(words):
        return tuple([os.fsencode(word) for word in words])
    # A text that begins with a dash would be an option of the shell.
    return (os.fsencode(SHELL), b"-c", b" " * text.startswith(("-", "+")) + os.fsencode(text))


def start(launch: Launch) -> int:
    """Start the process; returns its pid. Raises CannotStart when the program or its folder is the reason, OSError
    when the system is (out of processes, memory): then nothing was started and it may be tried again."""
    _enter(launch.cwd)
    old_umask = os.umask(launch.umask)
    try:
        return _spawn(launch, _executable(launch.argv[0], launch.path))
    finally:
        os.umask(old_umask)


def _enter(cwd: str) -> None:
    """posix_spawn knows no folder; the loop that calls this has no use for its own."""
    try:
        os.chdir(cwd)
    except OSError as fault:
        if fault.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise
        gone = isinstance(fault, FileNotFoundError)
        raise CannotStart(CANNOT_START, f"working folder {cwd} {'is gone' if gone else 'cannot be entered'}") from None


def _executable(name: bytes, path: bytes) -> bytes:
    """The file that execvp would run, looked up in the job's own PATH."""
    if b"/" in name:
        return name
    known = _found.get((name, path))
    if known and os.access(known, os.X_OK):
        return known
    if len(_found) > FOUND_MAX:
        _found.clear()
    found = _found[name, path] = _looked_up(name, path)
    return found


FOUND_MAX = 1000
_found: dict[tuple[bytes, bytes], bytes] = {}  # what a shell calls its hash table


def _looked_up(name: bytes, path: bytes) -> bytes:
    denied = False
    for folder in path.split(b":"):
        candidate = os.path.join(folder or b".", name)
        if os.access(candidate, os.X_OK):
            if not os.path.isdir(candidate):
                return candidate
        elif os.path.isfile(candidate):
            denied = True
    if denied:
        raise CannotStart(NOT_EXECUTABLE, f"{os.fsdecode(name)} is not executable")
    raise CannotStart(NOT_FOUND, f"program {os.fsdecode(name)} was not found")


def _spawn(launch: Launch, path: bytes) -> int:
    argv = launch.argv
    for _ in range(2):
        try:
            return system.spawn(path, argv, launch)
        except OSError as fault:
            if fault.errno == 8 and path != os.fsencode(SHELL):  # ENOEXEC: a script without #! is the shell's, as for execvp
                argv, path = (os.fsencode(SHELL), path, *argv[1:]), os.fsencode(SHELL)
                continue
            raise _reason(fault, launch) from None
    raise CannotStart(NOT_EXECUTABLE, f"{os.fsdecode(launch.argv[0])} is not executable")


def _reason(fault: OSError, launch: Launch) -> Exception:
    name = os.fsdecode(launch.argv[0])
    if not os.path.exists(launch.stdin):
        return CannotStart(CANNOT_START, f"input file {launch.stdin} is gone")
    match fault.errno:
        case 2:
            return CannotStart(NOT_FOUND, f"program {name} was not found")
        case 13 | 21 | 20:
            return CannotStart(NOT_EXECUTABLE, f"{name} is not executable")
        case 7:
            return CannotStart(NOT_EXECUTABLE, f"arguments and environment of {name} are too long for the system")
    return fault


def exit_code(wait_status: int) -> int:
    """The exit status, or the negative number of the signal that ended the process."""
    return os.waitstatus_to_exitcode(wait_status)


def cookie_of(store_id: str, job: Job) -> bytes:
    return cookie(store_id, job.number, job.run)


def cookie(store_id: str, number: int, run: int) -> bytes:
    return f"{store_id}:{number}:{run}".encode()


class Environment:
    """A stored environment, made ready for execve once for all jobs that share it."""

    def __init__(self, path: bytes, entries: list[bytes]) -> None:
        self.path = path  # what programs are looked up in
        self.entries = entries  # NAME=value
        self.array: Any = None  # as execve takes it, see `libc`


def own_variables(job: Job, store_id: str) -> tuple[bytes, ...]:
    """What a job may want to know of itself; a function's process, what it is to call."""
    function = (b"QUEUECTL_FUNCTION=" + (job.work or "").encode(),) if job.kind == "function" else ()
    return (
        *function,
        b"%s=%s" % (COOKIE, cookie_of(store_id, job)),
        b"QUEUECTL_JOB_ID=" + job.id.encode(),
        b"QUEUECTL_ATTEMPT=%d" % (job.attempts + 1),
        b"QUEUECTL_QUEUE=" + job.queue.encode(),
    )


def environment(variables: Mapping[bytes, bytes]) -> Environment:
    """Without what another job's environment says of itself, when the submitter was a job."""
    kept = {name: value for name, value in variables.items() if name not in OURS}
    return Environment(kept.get(b"PATH", os.defpath.encode()), [name + b"=" + value for name, value in kept.items()])


OURS = frozenset((COOKIE, b"QUEUECTL_FUNCTION", b"QUEUECTL_APP", b"QUEUECTL_JOB_ID", b"QUEUECTL_ATTEMPT", b"QUEUECTL_QUEUE"))
