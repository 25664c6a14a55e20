"""Limits of one job, set by a shell between the worker and the program: posix_spawn knows none, and limits set around
the spawn would hold for the worker too."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Options

CANNOT_LIMIT = 125


def limited(argv: tuple[bytes, ...], options: Options) -> tuple[bytes, ...]:
    """The arguments that set the job's limits and become its program; the same ones when it has none.

    `memory` limits the address space of each process, which is all that a limit can do without a control group.

    >>> from ..model import Options
    >>> limited((b"make",), Options())
    (b'make',)
    >>> limited((b"make",), Options(cpu_time_s=60.0, nice=10))[2]
    b'ulimit -t 60 || exit 125; exec nice -n 10 "$@"'
    """
    steps = []
    if options.memory is not None:
        steps.append(f"ulimit -v {max(1, options.memory // 1024)}")
    if options.cpu_time_s is not None:
        steps.append(f"ulimit -t {max(1, round(options.cpu_time_s))}")
    if options.processes is not None:
        # The letter for processes is u in bash and p in dash.
        steps.append(f"{{ ulimit -u {options.processes} 2>/dev/null || ulimit -p {options.processes}; }}")
    if not steps and options.nice is None:
        return argv
    start = 'exec "$@"' if options.nice is None else f'exec nice -n {options.nice} "$@"'
    script = "".join([f"{step} || exit {CANNOT_LIMIT}; " for step in steps]) + start
    return (b"/bin/sh", b"-c", os.fsencode(script), b"queuectl", *argv)
