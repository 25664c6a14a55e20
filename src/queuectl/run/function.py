"""The process of a task's job: imports the app, calls the function, writes what it returned as its last line.

    returned        → exit status 0, `queuectl-result: JSON`
    raised          → its traceback, exit status 1; SystemExit as it says
    not in the app  → exit status 127
    no such app     → exit status 126
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

from .. import jsontext, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "QUEUECTL_FUNCTION"
NO_APP, NO_FUNCTION = 126, 127


def main(arguments: list[str]) -> int:
    app = jsontext.loads(arguments[0])
    work = os.environ.pop(VARIABLE, "{}")
    sys.path[:0] = app["paths"]
    try:
        found = import_app(app["name"])
    except BaseException as fault:
        traceback.print_exception(fault)
        print(f"queuectl: app {app['name']} cannot be imported: {type(fault).__name__}: {fault}", file=sys.stderr)
        return NO_APP
    if arguments[1:] == ["--list"]:
        print(jsontext.dumps(sorted(found)))
        return 0
    return _run(found, jsontext.loads(work))


def import_app(name: str) -> dict[str, tasks.Task]:
    """Its tasks by name: those that importing the module has made. Raises whatever the module does."""
    module, _, attribute = name.partition(":")
    imported = import_module(module)
    if attribute:
        getattr(imported, attribute)  # made by now; told if it is not there
    return tasks.known


def _run(found: dict[str, tasks.Task], work: dict[str, Any]) -> int:
    task = found.get(work["name"])
    if task is None:
        print(f"queuectl: there is no task {work['name']!r} in this app", file=sys.stderr)
        return NO_FUNCTION
    args, kwargs = jsontext.loads(work.get("args", "[]")), jsontext.loads(work.get("kwargs", "{}"))
    try:
        returned = task.function(*args, **kwargs)
    except Exception as fault:
        traceback.print_exception(fault.with_traceback(_theirs(fault)))
        return 1
    finally:
        sys.stdout.flush()
    _tell(returned)
    return 0


def _theirs(fault: BaseException) -> Any:
    """The traceback from where our own code ends."""
    return fault.__traceback__.tb_next if fault.__traceback__ else None


def _tell(returned: Any) -> None:
    """In one write, behind whatever the function has printed."""
    try:
        text = jsontext.dumps(returned).encode()
    except (TypeError, ValueError, RecursionError) as fault:
        print(f"queuectl: what it returned cannot be written as JSON and is not kept: {fault}", file=sys.stderr)
        return
    if len(text) > tasks.RESULT_MAX:
        print(f"queuectl: what it returned has {len(text)} bytes of JSON and is not kept", file=sys.stderr)
        return
    sys.stderr.flush()
    line = tasks.RESULT + text + b"\n"
    while line:
        line = line[os.write(1, line) :]
