"""The web of a queue as an ASGI application, to be mounted in one's own.

    from starlette.applications import Starlette
    from starlette.routing import Mount

    import queuectl
    import queuectl.http

    site = Starlette(routes=[Mount("/queue", app=queuectl.http.app(queuectl.open()))])

Where the surrounding program cuts no prefix off (Django), `prefix="/queue"` does, at a path boundary. Who may: as for
`queuectl serve` (the token, a session, the same user over loopback); or `who`, asked of each request's scope, names the
user and so lets them in. Pages elsewhere and foreign hosts stay out either way.
"""

from __future__ import annotations

from .doors.http import process
from .doors.http.answers import Desk
from .doors.http.app import App
from .doors.http.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from typing import Any

    from .queue import Queue


def app(
    queue: Queue,
    *,
    prefix: str = "",
    read_only: bool = False,
    hosts: Iterable[str] = (),
    who: Callable[[MutableMapping[str, Any]], str | None] | None = None,
) -> App:
    """The API, its streams and the dashboard of a queue. `hosts`: the names that the surrounding site is known by."""
    wanted = {"hosts": list(hosts)}
    desk = Desk(Service(queue.place, read_only=read_only))
    return App(desk, process.terms_of(queue.place, wanted), prefix.rstrip("/"), who)


__all__ = ["app"]
