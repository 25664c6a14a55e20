"""Settings of a store that machines share: rows of its table `settings`, read again now and then."""

from __future__ import annotations

from threading import get_ident
from time import monotonic

from . import jsontext
from .config import Config, checked, setting_name
from .errors import InvalidInput, NotFound, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .store.base import Store

FRESH_S = 2.0
PUT = "insert into settings (name, value) values (?, ?) on conflict (name) do update set value = excluded.value"


class StoredSettings:
    """What `settings.ConfigFile` is for a store in a file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._config = Config()
        self._read_s = float("-inf")
        self.path = f"{store.place.name} (table settings)"

    def read(self) -> Config:
        """The settings in force, as they were some moments ago at most. While the store is busy for somebody else, or out
        of reach, those that were: nobody waits for settings. Raises StorageError when they are broken."""
        if monotonic() - self._read_s < FRESH_S:
            return self._config
        first = self._read_s == float("-inf")
        if self._store.patient and self._store.patient != get_ident() and not first:
            return self._config  # in a worker one thread alone waits for the server; the others know what it knows
        if self._store.lock.acquire(blocking=first):
            try:
                self._config = Config(**self.stored())
            finally:
                self._store.lock.release()
            self._read_s = monotonic()
        return self._config

    def stored(self) -> dict[str, Any]:
        """What the table holds, checked."""
        try:
            rows = self._store.run("select name, value from settings order by name")
            return {(known := setting_name(name)): checked(known, jsontext.loads(text)) for name, text in rows}
        except (InvalidInput, NotFound) as fault:
            hint = "'queuectl config unset' removes one"
            raise StorageError(f"settings in {self.path} cannot be used", why=fault.what, hint=hint) from None

    def set(self, name: str, value: Any) -> Any:
        """Store one setting; returns it as stored."""
        name = setting_name(name)
        value = checked(name, value)
        with self._store.transaction():
            self._store.run(PUT, (name, jsontext.dumps(value)))
        self._read_s = float("-inf")
        return value

    def unset(self, name: str) -> None:
        with self._store.transaction():
            self._store.run("delete from settings where name = ?", (setting_name(name),))
        self._read_s = float("-inf")
