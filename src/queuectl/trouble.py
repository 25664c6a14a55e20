"""What is wrong with the place of a queue, in words; the short list that `status` shows."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place

FREE_BYTES, SMALL_DISK_PARTS = 100_000_000, 20
WAL_BYTES_MAX = 100_000_000


def warnings(place: Place, min_free: int | str) -> list[str]:
    low = disk_is_low(place, min_free)
    return [line for line in (f"{low}; no new job starts" if low else "", grown_log(place)) if line]


def disk_is_low(place: Place, min_free: int | str) -> str:
    """In words, when the disk of the queue has less free space than the setting `min_free`; else empty."""
    facts = os.statvfs(place.folder)
    free, floor = facts.f_bavail * facts.f_frsize, floor_bytes(min_free, facts.f_blocks * facts.f_frsize)
    if free < floor:
        return (
            f"the disk of {place.folder} is nearly full: {free / 1e6:.1f} MB are free, less than the {floor / 1e6:.1f} of min_free"
        )
    return ""


def floor_bytes(min_free: int | str, disk_bytes: int) -> int:
    """How much has to be free. A size that somebody has set counts as it is; the built-in one leaves a small disk of use.

    >>> floor_bytes("auto", 10**12), floor_bytes("auto", 10**9), floor_bytes(3 * 10**9, 10**9)
    (100000000, 50000000, 3000000000)
    """
    return min(FREE_BYTES, disk_bytes // SMALL_DISK_PARTS) if isinstance(min_free, str) else min_free


def grown_log(place: Place) -> str:
    try:
        size = os.stat(place.database + "-wal").st_size
    except FileNotFoundError:
        return ""
    if size > WAL_BYTES_MAX:
        return f"the write-ahead log has {size // 1_000_000} MB: some program keeps the database open for reading"
    return ""
