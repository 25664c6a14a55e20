"""`queuectl_config.json` beside the store: only what somebody set, over the built-in values.

It is typed JSON, may be edited by hand, and is never overwritten when broken.
"""

from __future__ import annotations

import os

from . import jsontext
from .config import Config, checked, setting_name
from .errors import InvalidInput, NotFound, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FILE_NAME = "queuectl_config.json"


class ConfigFile:
    """The file beside the store: read at most once per change, written whole and renamed into place."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, FILE_NAME)
        self._seen: tuple[int, int, int] | None = None
        self._config = Config()

    def read(self) -> Config:
        """The settings in force now. Raises StorageError when the file is broken."""
        try:
            facts = os.stat(self.path)
        except FileNotFoundError:
            return Config()
        seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        if seen != self._seen:
            self._config = Config(**self.stored())
            self._seen = seen
        return self._config

    def stored(self) -> dict[str, Any]:
        """What the file holds, checked."""
        try:
            with open(self.path, encoding="utf-8-sig") as file:
                found = jsontext.loads(file.read())
        except FileNotFoundError:
            return {}
        except InvalidInput as fault:
            raise self._broken(fault.what + (f": {fault.why}" if fault.why else "")) from None
        except (UnicodeDecodeError, OSError) as fault:
            raise self._broken(str(fault)) from None
        if not isinstance(found, dict):
            raise self._broken("it is not a JSON object")
        try:
            return {(name := setting_name(key)): checked(name, value) for key, value in found.items()}
        except (InvalidInput, NotFound) as fault:
            raise self._broken(fault.what + (f": {fault.why}" if fault.why else "")) from None

    def _broken(self, why: str) -> StorageError:
        return StorageError(f"settings in {self.path} cannot be used", why=why, hint="correct or remove the file")

    def set(self, name: str, value: Any) -> Any:
        """Store one setting; returns it as stored."""
        name = setting_name(name)
        value = checked(name, value)
        self._change(lambda stored: stored | {name: value})
        return value

    def unset(self, name: str) -> None:
        name = setting_name(name)
        self._change(lambda stored: {k: v for k, v in stored.items() if k != name})

    def _change(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        from .files import exclusive, replace_file

        with exclusive(self.path + ".lock"):
            replace_file(self.path, (jsontext.dumps(change(self.stored()), indent=2) + "\n").encode())
