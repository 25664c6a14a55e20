"""Tasks: Python functions that are jobs, known by a name.

import queuectl

@queuectl.task
def resize(path, width=100): ...

job = resize.add("a.png", width=9)          # now it is a job; `queuectl worker start --app MODULE` runs it
resize("a.png")                             # a plain call, here and now
"""

from __future__ import annotations

import sys

from . import codec
from .errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .model import Function, Job
    from .queue import Queue

RESULT = b"queuectl-result: "  # begins the last line that a task's process writes
RESULT_MAX = 1_000_000  # bytes of a result

known: dict[str, Task] = {}  # every task of this process


class Task:
    """A function under its name. `fields` are those of a job, for each time it is added."""

    def __init__(self, function: Callable[..., Any], name: str, queue: Queue | None, fields: dict[str, Any]) -> None:
        self.function = function
        self.name = codec.function(name).name
        self._queue = queue
        self._fields = fields
        codec.spec(self.job(), fields)  # a field that is wrong is told where it is written
        self.__doc__ = function.__doc__
        earlier = known.setdefault(self.name, self)
        if earlier.function is not function and _place(earlier.function) != _place(function):
            where = f"{function.__module__} and {earlier.function.__module__}"
            raise Conflict(f"two tasks are called {self.name!r}", why=where, hint="give one of them another name=")
        known[self.name] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, here and now."""
        return self.function(*args, **kwargs)

    def job(self, *args: Any, **kwargs: Any) -> Function:
        """This call of the function as work, for `queue.add(…, priority=5)`. Raises InvalidInput when JSON cannot hold
        an argument."""
        return codec.function(self.name, args, kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Job:
        """Add this call of the function to its queue, else to the one that the command line would find."""
        work = self.job(*args, **kwargs)
        if self._queue is not None:
            return self._queue.add(work, **self._fields)
        with sys.modules[__package__].open() as queue:  # the package itself, which is above its modules
            job: Job = queue.add(work, **self._fields)
            return job


def _place(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__  # a module that is imported again brings the same one


def task(function: Callable[..., Any] | None = None, *, name: str | None = None, queue: Queue | None = None, **fields: Any) -> Any:
    """Make a function a task: `@task`, or `@task(name="resize", max_retries=5, timeout=60)`.

    Raises InvalidInput for a name or field that is not allowed, Conflict when another function has the name.
    """
    if function is None:
        return lambda decorated: Task(decorated, name or decorated.__name__, queue, fields)
    return Task(function, name or function.__name__, queue, fields)


def result(queue: Queue, job_id: str | int) -> Any:
    """What a task returned. Raises Conflict when it has not completed, NotFound when it returned nothing that JSON holds."""
    from . import jsontext

    job = queue.get(job_id)
    if job.state != "completed":
        raise Conflict(f"job {job.id} has no result", why=f"it is {job.state}", hint=f"'queuectl explain {job.id}' says more")
    end = b""
    for piece in queue.logs(job.id, run=job.run):
        end = (end + piece)[-RESULT_MAX - 1000 :]
    lines = end.rstrip(b"\n").split(b"\n")
    if not lines[-1].startswith(RESULT):
        raise NotFound(f"job {job.id} left no result", hint="only tasks do, and only what JSON can hold")
    return jsontext.loads(lines[-1][len(RESULT) :].decode())
