"""queuectl: commands that run later, in order, in parallel, again if they fail, and are never lost.

    import queuectl
    queue = queuectl.open()                     # found as the command line finds it
    job = queue.add("gzip -k big.log", max_retries=2)
    queuectl.Worker(queue, slots=2).run(until_idle=True)
    print(queue.get(job.id).state)
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import Conflict as Conflict
    from .errors import InvalidInput as InvalidInput
    from .errors import NotAllowed as NotAllowed
    from .errors import NotFound as NotFound
    from .errors import QueueError as QueueError
    from .errors import StorageError as StorageError
    from .errors import TryAgainLater as TryAgainLater
    from .errors import WaitTimeout as WaitTimeout
    from .model import Argv as Argv
    from .model import Call as Call
    from .model import Function as Function
    from .model import Job as Job
    from .model import Query as Query
    from .model import Shell as Shell
    from .model import Spec as Spec
    from .queue import Queue as Queue
    from .run.worker import Worker as Worker
    from .tasks import Task as Task
    from .tasks import task as task

_HOME = {
    **dict.fromkeys(("Argv", "Call", "Function", "Job", "Query", "Shell", "Spec"), "model"),
    **dict.fromkeys(("Task", "task"), "tasks"),
    **dict.fromkeys(("Conflict", "InvalidInput", "NotAllowed", "NotFound"), "errors"),
    **dict.fromkeys(("QueueError", "StorageError", "TryAgainLater", "WaitTimeout"), "errors"),
    "Queue": "queue",
    "Worker": "run.worker",
}

__all__ = ["open", *_HOME]


def open(url: str | None = None, *, create: bool = True, token: str = "") -> Queue:
    """The queue at a path or URL (`sqlite:///…`, `postgresql://…`, or of a server: `http://…`, `http+unix:///…`); without
    one, found as the command line finds it. `token` is for servers, else QUEUECTL_TOKEN.

    Raises NotAllowed when a database that was found could have been put there by somebody else.
    """
    import os

    from .locate import from_url, locate
    from .queue import Queue

    server = os.environ.get("QUEUECTL_URL", "") if url is None else url
    if server.startswith("http"):
        from .remote import RemoteQueue, is_remote

        if is_remote(server):
            return RemoteQueue(server, token)
    return Queue(from_url(url) if url else locate(os.environ), create=create)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'queuectl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
