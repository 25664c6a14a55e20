"""The web of a queue as an ASGI application, to be mounted in one's own.

    from starlette.applications import Starlette
    from starlette.routing import Mount

    import queuectl
    import queuectl.http

    site = Starlette(routes=[Mount("/queue", app=queuectl.http.app(queuectl.open()))])

Where the surrounding program cuts no prefix off (Django), `prefix="/queue"` does, at a path boundary. Who may: whoever
shows the token or a session; or `who`, a function or a coroutine function asked of each request's scope, names the user
and so lets them in. That a request comes from this machine and this user means nothing here: a proxy's does too. Pages
elsewhere and foreign hosts stay out either way. `close()` the application when the program ends.
"""

from __future__ import annotations

from .doors.http import process
from .doors.http.answers import Desk
from .doors.http.app import App
from .doors.http.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .doors.http.app import Who
    from .queue import Queue


def app(
    queue: Queue,
    *,
    prefix: str = "",
    read_only: bool = False,
    hosts: Iterable[str] = (),
    who: Who | None = None,
) -> App:
    """The API, its streams and the dashboard of a queue. `hosts`: the names that the surrounding site is known by."""
    wanted = {"hosts": list(hosts), "strict": True}
    desk = Desk(Service(queue.place, read_only=read_only))
    return App(desk, process.terms_of(queue.place, wanted), prefix.rstrip("/"), who)


__all__ = ["app"]
