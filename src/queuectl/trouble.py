"""What is wrong with the place of a queue, in words; the short list that `status` shows."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place

FREE_SHARE_MIN, FREE_BYTES_MIN = 0.02, 200_000_000
WAL_BYTES_MAX = 100_000_000


def warnings(place: Place) -> list[str]:
    return [line for line in (_disk(place), _wal(place)) if line]


def _disk(place: Place) -> str:
    facts = os.statvfs(place.folder)
    free = facts.f_bavail * facts.f_frsize
    if free < min(FREE_BYTES_MIN, FREE_SHARE_MIN * facts.f_blocks * facts.f_frsize):
        return f"the disk of {place.folder} is nearly full: {free // 1_000_000} MB are free"
    return ""


def _wal(place: Place) -> str:
    try:
        size = os.stat(place.database + "-wal").st_size
    except FileNotFoundError:
        return ""
    if size > WAL_BYTES_MAX:
        return f"the write-ahead log has {size // 1_000_000} MB: some program keeps the database open for reading"
    return ""
