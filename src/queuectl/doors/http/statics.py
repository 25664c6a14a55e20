"""The dashboard's files, read once at the start: a page never mixes the files of two versions."""

from __future__ import annotations

import hashlib
import mimetypes
import os

from starlette.requests import Request
from starlette.responses import Response

from .problems import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

FOLDER = os.path.join(os.path.dirname(__file__), "static")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8"}
TYPES |= {".svg": "image/svg+xml", ".json": "application/json"}
PAGES = ("/", "/tasks")


def endpoints() -> dict[str, Endpoint]:
    files = _read()

    async def page(request: Request) -> Response:
        return _file(files, "index.html", request)

    async def static(request: Request) -> Response:
        return _file(files, request.path_params["name"], request)

    return {**dict.fromkeys(PAGES, page), "/static/{name:path}": static}


def _read() -> dict[str, tuple[bytes, str, str]]:
    """name → content, type, tag."""
    found = {}
    for folder, _, names in os.walk(FOLDER):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                content = file.read()
            kind = TYPES.get(os.path.splitext(name)[1]) or mimetypes.guess_type(name)[0] or "application/octet-stream"
            tag = '"' + hashlib.sha256(content).hexdigest()[:24] + '"'
            found[os.path.relpath(path, FOLDER)] = (content, kind, tag)
    return found


def _file(files: dict[str, tuple[bytes, str, str]], name: str, request: Request) -> Response:
    if name not in files:
        raise Refused(404, "there is nothing here")
    content, kind, tag = files[name]
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Type": kind}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return Response(b"", 304, headers) if tag in known else Response(content, 200, headers)
