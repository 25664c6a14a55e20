"""Large output in an object store: pieces that are not worth the database's own disk, named in its table all the same."""

from __future__ import annotations

from ..errors import StorageError, TryAgainLater

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def opened(url: str) -> Any:
    """The object store at a URL: `s3://bucket/folder`, `file:///folder`, whatever `obstore` knows. Keys and regions come
    from its usual environment variables."""
    try:
        from obstore.store import from_url
    except ImportError:
        hint = "pip install obstore"
        raise StorageError("the object store cannot be used", why="its library is missing", hint=hint) from None
    from obstore.exceptions import BaseError

    try:
        return from_url(url)
    except (BaseError, ValueError) as fault:
        raise StorageError("the setting object_store is no place that can be used", why=_line(fault)) from None


def name_of(store_id: str, job: int, stream: str, start: int) -> str:
    return f"{store_id}/{job}{stream}/{start:020}"


def put(url: str, name: str, body: bytes) -> None:
    _do("put", url, name, body)


def get(url: str, name: str) -> bytes:
    return bytes(_do("get", url, name).bytes())


def delete(url: str, names: list[str]) -> None:
    if names:
        _do("delete", url, names)


def _do(verb: str, url: str, *arguments: Any) -> Any:
    store = opened(url)
    import obstore
    from obstore.exceptions import BaseError

    try:
        return getattr(obstore, verb)(store, *arguments)
    except (BaseError, OSError) as fault:
        raise TryAgainLater("the object store does not answer", why=_line(fault), hint="try again") from None


def _line(fault: BaseException) -> str:
    return str(fault).partition("\n")[0][:200]
