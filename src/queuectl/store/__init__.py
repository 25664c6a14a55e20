"""The durable truth: what every engine offers is in `base`, what is particular to one in its own module."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..locate import Place
    from .base import Store


def open_store(place: Place, create: bool = True, upgrade: bool = True) -> Store:
    """The store at this place, made if it is missing and `create` says so, brought up to date if it is of an older
    version, unless `upgrade` is false. Raises StorageError, NotAllowed."""
    if place.url:
        from .postgres import PostgresStore

        return PostgresStore(place, create=create, upgrade=upgrade)
    from .sqlite import SqliteStore

    return SqliteStore(place, create=create, upgrade=upgrade)
