"""queuectl serve, queuectl dashboard: the API, the dashboard and workers in one command, each in a process of its own."""

from __future__ import annotations

import json
import os
import sys

from .. import codec, files, tokens
from ..doors.http import sockets
from ..errors import NotAllowed
from ..run import start
from .command import Arguments, Command, Option
from .open import the_queue
from .text import note
from .worker_start import OFFERS, offered

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from ..queue import Queue

HOST, PORT = "127.0.0.1", "5000"
SOCKET = "http.sock"
COUNT_MAX = 10_000


def serve(arguments: Arguments) -> int:
    """Bind first: whoever cannot listen is told at once, and starts nothing."""
    count = codec.whole(arguments.count or "1", "count", 0, COUNT_MAX)
    queues = [codec.queue_name(name) for text in arguments.queue or () for name in text.split(",")]
    with the_queue() as queue:
        wanted = _wanted(arguments)
        files.private_folder(queue.place.run)
        wanted["socket"] = os.path.abspath(arguments.socket) if arguments.socket else os.path.join(queue.place.run, SOCKET)
        return _become(queue, wanted, count, queues, ",".join(offered(arguments)))


def dashboard(arguments: Arguments) -> int:
    with the_queue() as queue:
        return _become(queue, {**_wanted(arguments), "read_only": not arguments.writes}, 0, [])


def _wanted(arguments: Arguments) -> dict[str, Any]:
    """What the web is to do. Raises NotAllowed when it would be open to strangers."""
    host = arguments.host or HOST
    basic = os.path.abspath(arguments.basic_auth) if arguments.basic_auth else ""
    if basic:
        tokens.listed(basic)  # a list that cannot be used is told here
    strict = bool(arguments.require_token)
    if not sockets.is_loopback(host) and not basic and not strict:
        hint = "--require-token, or --basic-auth FILE"
        raise NotAllowed(f"{host} can be reached by others", why="and nobody would be asked who they are", hint=hint)
    return {
        "host": host,
        "port": codec.whole(arguments.port or PORT, "port", 0, 65535),
        "read_only": bool(arguments.read_only),
        "basic": basic,
        "strict": strict,
        "hosts": arguments.allow_host or [],
    }


def _become(queue: Queue, wanted: dict[str, Any], count: int, queues: list[str], flags: str = "") -> int:
    """Turn into the keeper of the web and of workers; the sockets go with it."""
    place = queue.place
    files.private_folder(place.run)
    queue.settings.read()  # a broken file is told here, to whom it concerns
    tokens.ensure(queue)
    listening = sockets.given(os.getpid()) or _listen(wanted)
    _announce(queue, wanted, listening)
    queue.store.checkpoint()
    environ = {**start.environ(), **sockets.hand_on(listening)}
    part = "web=" + json.dumps(wanted)
    command = start.keeper_command(place, max(1, count), queues, flags, int(count > 0), (part,))
    sys.stderr.flush()
    os.execve(sys.executable, command, environ)


def _listen(wanted: dict[str, Any]) -> list[socket.socket]:
    found = [sockets.listen_tcp(wanted["host"], wanted["port"])]
    if wanted.get("socket"):
        found.append(sockets.listen_unix(wanted["socket"]))
    wanted["port"] = found[0].getsockname()[1]
    return found


def _announce(queue: Queue, wanted: dict[str, Any], listening: list[socket.socket]) -> None:
    """Where it can be found; with a link that lets a browser in once, where being the same user is not enough."""
    import socket

    for sock in listening:
        if sock.family == socket.AF_UNIX:
            note(f"listening at {sock.getsockname()}")
            continue
        host, port = sock.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        trusted = os.geteuid() != 0 and not wanted["strict"] and not wanted["basic"] and sockets.is_loopback(host)
        note(f"listening at {url}")
        if not trusted and not wanted["basic"]:
            note(f"open {url}/login?once={tokens.make_link(queue.place)} in a browser (once, within ten minutes)")


ACCESS = (
    Option(("--host",), f"the address to listen at, default {HOST}", "HOST"),
    Option(("--port",), f"default {PORT}; 0: any that is free", "PORT"),
    Option(("--require-token",), "everybody must show the token, this user too"),
    Option(("--basic-auth",), "everybody must show a name and password of this file, lines of name:password", "FILE"),
    Option(("--allow-host",), "another name by which this server is known", "NAME", many=True),
)
COMMANDS = {
    "serve": Command(
        serve,
        options=(
            *ACCESS,
            Option(("--socket",), "the Unix socket to listen at, default http.sock beside the database", "PATH"),
            Option(("-c", "--count"), "how many jobs at once, default 1; 0: only serve", "N"),
            Option(("--queue",), "serve only these queues", "QUEUE", many=True),
            *OFFERS,
            Option(("--read-only",), "refuse everything that changes something"),
        ),
        example="queuectl serve --count 4",
        about="The API, the dashboard and workers, each in a process of its own. Ctrl-C or SIGTERM: finish what runs, "
        "then end. Over the Unix socket, and over loopback, the user who started it needs no token (root does, over "
        "loopback); others need the one that 'queuectl token' shows. Sockets of systemd are taken over.",
    ),
    "dashboard": Command(
        dashboard,
        options=(*ACCESS, Option(("--writes",), "let the page change things too")),
        example="queuectl dashboard",
        about="The same page without workers, to look at only.",
    ),
}
