"""Random names: version 4 UUIDs, and the file names of jobs made from them."""

from __future__ import annotations

import os


def uuid4() -> bytes:
    """A random UUID in lower case."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


def job_name() -> bytes:
    """A name no other job has."""
    return b"fspl-" + uuid4() + b".fspl"


def is_job_name(name: bytes) -> bool:
    return name.startswith(b"fspl-") and name.endswith(b".fspl")


def done_name(store: str, job: int) -> bytes:
    """What a packet is called when the job that a store made of it has succeeded; the name counts as no job."""
    return f"tmp-done-{store}-{job}.tmp".encode()
