"""A million and more damaged packets, found by coverage; part of `make chaos`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SOURCE, enveloped
from .test_packets import ACCEPTED, golden

RUNS = 1_000_000 if os.environ.get("QUEUECTL_CHAOS") == "long" else 100_000
TARGET = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import atheris
with atheris.instrument_imports():
    from queuectl.packet import PacketError, decode, encode
import struct, zlib
def one(text):
    if text[:1] < b"\\x80":
        prefix = b"*FILESPOOLER" + struct.pack(">HQI", 1, len(text), zlib.crc32(text))
        text = prefix + struct.pack(">I", zlib.crc32(prefix)) + text
    else:
        text = text[1:]
    try:
        packet, length = decode(text)
    except PacketError:
        return
    assert decode(encode(packet))[0] == packet and 30 <= length <= len(text)
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_million_damaged_packets_do_no_harm(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed, so nothing was fuzzed")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for name, packet in golden().items():
        (seeds / name).write_bytes(b"\xff" + packet)
    for number, metadata in enumerate(ACCEPTED.values()):
        (seeds / str(number)).write_bytes(b"\xff" + enveloped(metadata))
    options = [f"-runs={RUNS}", "-max_len=4096", "-rss_limit_mb=256", "-timeout=5", str(seeds)]
    done = subprocess.run(
        [sys.executable, "-c", TARGET, str(SOURCE), *options], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr, done.stderr[-3000:]
