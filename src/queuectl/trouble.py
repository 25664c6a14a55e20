"""What is wrong with the place of a queue, in words; the short list that `status` shows."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place

DISK_SHARE = 0.05  # of a small disk this much counts as room enough, whatever `min_free` says
WAL_BYTES_MAX = 100_000_000


def warnings(place: Place, min_free: int) -> list[str]:
    low = disk_is_low(place, min_free)
    return [line for line in (f"{low}; no new job starts" if low else "", _wal(place)) if line]


def disk_is_low(place: Place, min_free: int) -> str:
    """In words, when the disk of the queue has less free space than the setting `min_free`; else empty."""
    facts = os.statvfs(place.folder)
    free = facts.f_bavail * facts.f_frsize
    if free < min(min_free, DISK_SHARE * facts.f_blocks * facts.f_frsize):
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
