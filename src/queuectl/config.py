"""Settings as one frozen Config: what there is to set, its built-in value, what is accepted. The file is `settings`'s."""

from __future__ import annotations

from .codec import seconds, size_bytes, whole
from .errors import InvalidInput, NotFound
from .record import Record
from .schedule import Backoff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


AUTO = "auto"


class Config(Record):
    """Every setting with its built-in value. Retry limit is fixed in a job when it is added, the rest is read when used."""

    max_retries: int = 3
    backoff_base: float = 2
    backoff_max: float = 0  # seconds; 0: no ceiling
    backoff_jitter: float = 0  # 0.1: up to ten percent longer
    job_timeout: float = 0  # seconds; 0: none
    kill_grace: float = 5  # seconds between TERM and KILL
    capture_env: str = "all"
    max_output: int = 1_000_000_000  # bytes of one run's output; 0: no limit
    output_over: str = "cut"  # when a run writes more: cut (keep head and tail) or kill
    min_free: int | str = AUTO  # bytes; with less free space no new job starts; `trouble` knows how much is meant
    keep_days: float = 0  # days that ended jobs are kept; 0: for ever
    copy_output: int = 16_000_000  # bytes of one run's output that other machines can read
    object_store: str = ""  # URL of the object store that takes what is large of it
    lease: float = 60  # seconds; a machine that was not heard of for so long is dead to the others
    call_slots: int = 2000  # calls at once: most of them only wait
    call_parallel: int = 64  # calls of one target at once
    call_timeout: float = 300  # seconds for a call whose job says nothing else; 0: none
    call_connect_timeout: float = 10
    call_max_output: int = 1_000_000  # bytes of an answer's body that are kept
    call_allow: str = ""  # networks that may be called although they are refused
    call_deny: str = ""
    call_ca: str = ""  # file of certificates that are trusted beside the system's

    @property
    def backoff(self) -> Backoff:
        return Backoff(float(self.backoff_base), float(self.backoff_max), float(self.backoff_jitter))


def _number(value: Any, name: str, least: float, most: float) -> float:
    number: Any = value
    if isinstance(value, str):
        try:
            number = float(value) if any(c in value for c in ".eE") else int(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not least <= number <= most:
        raise InvalidInput(f"{name} must be a number from {least:g} to {most:g}", why=f"it is {value!r}", field=name)
    return number


def _plain_seconds(value: Any, name: str) -> float:
    found = seconds(value, name)
    return int(found) if found == int(found) else found


def _url_or_empty(value: Any, name: str) -> str:
    if not isinstance(value, str) or (value and "://" not in value):
        raise InvalidInput(f"{name} must be a URL", why=f"it is {value!r}", hint="s3://bucket or file:///folder", field=name)
    return value


def _file_or_empty(value: Any, name: str) -> str:
    if not isinstance(value, str) or (value and not value.startswith("/")) or "\0" in value:
        raise InvalidInput(f"{name} must be the path of a file", why=f"it is {value!r}", hint="from / on", field=name)
    return value


def _size_or_auto(value: Any, name: str) -> int | str:
    return AUTO if value == AUTO else size_bytes(value, name)


def _one_of(*choices: str) -> Callable[[Any, str], str]:
    def check(value: Any, name: str) -> str:
        if value not in choices:
            raise InvalidInput(f"{name} must be one of {', '.join(choices)}", why=f"it is {value!r}", field=name)
        return str(value)

    return check


def _networks(value: Any, name: str) -> str:
    from .addresses import networks  # here: who sets no such thing has no use for them

    return networks(value, name) if value != "" else ""


# One row per setting: check, and what it means.
SETTINGS: dict[str, tuple[Callable[[Any, str], Any], str]] = {
    "max_retries": (lambda v, n: whole(v, n, 0, 1_000_000), "retries after the first run"),
    "backoff_base": (lambda v, n: _number(v, n, 0, 1000), "the n-th retry waits base ** n seconds"),
    "backoff_max": (_plain_seconds, "longest wait between runs in seconds, 0: none"),
    "backoff_jitter": (lambda v, n: _number(v, n, 0, 10), "widen each wait by up to this share"),
    "job_timeout": (_plain_seconds, "seconds a run may take, 0: no limit"),
    "kill_grace": (_plain_seconds, "seconds between TERM and KILL"),
    "capture_env": (_one_of("all", "basic", "none"), "what of the submitter's environment a job gets"),
    "max_output": (size_bytes, "bytes of output kept of a run, for example 500M; 0: no limit"),
    "output_over": (_one_of("cut", "kill"), "when a run writes more: cut out the middle, or end the run"),
    "min_free": (_size_or_auto, "bytes; with less free space on its disk no new job starts; auto: 100M, or 5 % of a disk below 2G"),
    "keep_days": (lambda v, n: _number(v, n, 0, 36500), "days that ended jobs are kept, 0: for ever"),
    "copy_output": (size_bytes, "on PostgreSQL: bytes of a run's output that other machines can read; 0: all"),
    "object_store": (_url_or_empty, "on PostgreSQL: URL of an object store for what is large of it, s3://bucket or file:///folder"),
    "lease": (lambda v, n: _number(v, n, 2, 3600), "on PostgreSQL: seconds without a word after which a machine is dead"),
    "call_slots": (lambda v, n: whole(v, n, 1, 20_000), "HTTP calls at once"),
    "call_parallel": (lambda v, n: whole(v, n, 1, 20_000), "HTTP calls of one target at once"),
    "call_timeout": (_plain_seconds, "seconds a call may take when its job says nothing, 0: no limit"),
    "call_connect_timeout": (_plain_seconds, "seconds that connecting may take, 0: no limit"),
    "call_max_output": (size_bytes, "bytes of an answer's body that are kept, for example 1M"),
    "call_allow": (_networks, "networks that may be called although they are refused"),
    "call_deny": (_networks, "networks that must not be called, for example private"),
    "call_ca": (_file_or_empty, "file of certificates (PEM) that calls trust beside the system's"),
}


def setting_name(text: str) -> str:
    """The setting that is meant; `-` and `_` are the same. Raises NotFound."""
    name = text.replace("-", "_")
    if name not in SETTINGS:
        raise NotFound(f"unknown setting {text!r}", hint="known: " + ", ".join(SETTINGS), field=name)
    return name


def checked(name: str, value: Any) -> Any:
    return SETTINGS[name][0](value, name)
