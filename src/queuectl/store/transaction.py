"""A transaction of a store, as a `with` block."""

from __future__ import annotations

from .sums import Sums

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from .base import Store


class Transaction:
    """All or nothing: `with store.transaction():`. The sums collected inside are written with it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Self:
        self._store.lock.acquire()
        try:
            self._store.sums = Sums()
            self._store.begin()
        except BaseException:
            self._store.lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        store = self._store
        try:
            if kind is None:
                store.write_sums()
                store.end()
        except BaseException:
            kind = BaseException
            raise
        finally:
            if kind is not None:
                store.undo()
                store._lanes.clear()  # one may have been made in the transaction that is no more,
            store.lock.release()
