"""An answer that is written piece by piece: to a reader who keeps up, until it is complete or the reader has gone."""

from __future__ import annotations

import asyncio
from time import monotonic

from starlette.responses import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from typing import Any

SLOW_S = 30.0  # a reader that takes no byte for so long has gone
ALLOWED_S = 5.0  # who listens on is looked at again as often: a token that was replaced lets nobody hear more


class StreamResponse(Response):
    """Pieces of bytes as they come. What makes them is closed at once when nobody reads them any more, or may any more, as the
    scope's `queuectl.allowed` says: then the connection is cut, so that nobody takes it for the end."""

    def __init__(self, pieces: AsyncIterator[bytes], status: int, headers: dict[str, str], media_type: str) -> None:
        self._pieces = pieces
        self.status_code = status
        self.media_type = media_type
        self.background = None
        self.init_headers({**headers, "Content-Type": media_type})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        writing = asyncio.create_task(self._write(send, scope["queuectl.allowed"]))
        leaving = asyncio.create_task(_gone(receive))
        stopped = False
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            stopped = True  # the server that we are mounted in ends, and does not wait: a stream ends with it, in order
        finally:
            leaving.cancel()
            if not writing.done():
                writing.cancel()
        try:
            await writing
        except asyncio.CancelledError:
            if stopped and b"content-length" not in dict(self.raw_headers):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, PermissionError):
            drop(scope)

    async def _write(self, send: Any, allowed: Callable[[], bool]) -> None:
        pieces: AsyncGenerator[bytes] = self._pieces  # type: ignore[assignment]
        looked_s = monotonic()
        try:
            async for piece in pieces:
                if monotonic() - looked_s > ALLOWED_S:
                    looked_s = monotonic()
                    if not allowed():
                        raise PermissionError
                async with asyncio.timeout(SLOW_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            async with asyncio.timeout(SLOW_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await pieces.aclose()


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def drop(scope: Any) -> None:
    """Cut the connection, where the server lets us."""
    cut = scope.get("state", {}).get("drop")
    if cut:
        cut()
